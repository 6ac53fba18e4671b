//! What the rules have seen, and what they make of the next entry. Everything here is bounded.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chancery_model::{Entry, Finding, Kind, Outcome, Position, Span, Timestamp};
use chancery_store::tool_uses::ToolUse;
use serde_json::Value;

use super::config::{Rule, Target, Trigger};
use super::{EVIDENCE, MEMORY};
use crate::follow::Followed;

/// Agents whose rates are counted at a time, for each rule.
const AGENTS: usize = 10_000;
/// How often those who are quiet are forgotten, where there is no room.
const SWEEP: Span = Span::seconds(1);
/// Calls without an outcome that are kept in mind.
const OPEN: usize = 50_000;
/// Tools of one agent that are kept in mind.
const TOOLS: usize = 2_000;
/// How exactly the last use of a tool is kept.
const HOURLY: Span = Span::hours(1);
/// Whoever is new uses everything for the first time: for so long nothing is made of it.
const NEWCOMER: Span = Span::days(1);

/// Something fired.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub(super) trigger: Arc<Trigger>,
    /// Whose act it was, if it was an agent's.
    pub(super) agent: Option<String>,
    /// What it is about, for people.
    pub(super) subject: String,
    /// What is contained, as containments name it, if there is such a thing.
    pub(super) contain: Option<String>,
    /// What happened.
    pub(super) what: String,
    pub(super) evidence: Vec<Position>,
}

/// When each of a few recent entries was, oldest first.
type Recent = VecDeque<(Timestamp, Position)>;

/// One rule and what it counts.
struct Armed {
    trigger: Arc<Trigger>,
    rule: Rule,
    /// By agent.
    recent: HashMap<String, Recent>,
    /// When those who are quiet were forgotten last: looking through all for each newcomer would cost too much.
    swept: Timestamp,
}

/// A call without an outcome.
struct Open {
    at: Timestamp,
    actor: Actor,
    /// The rules that have fired for it.
    fired: Vec<usize>,
}

/// Who acted, on what.
#[derive(Clone, Debug, Default)]
struct Actor {
    id: String,
    name: Option<String>,
    session: Option<String>,
    server: Option<String>,
    tool: Option<String>,
}

pub(super) struct Watch {
    rules: Vec<Armed>,
    /// For each writer the sequence number that was not looked at yet.
    places: BTreeMap<u32, u64>,
    open: BTreeMap<Position, Open>,
    known: HashMap<String, HashMap<(String, String), ToolUse>>,
    used: Vec<ToolUse>,
    /// Until when a trigger does not fire for the same subject again.
    quiet: HashMap<(String, String), Timestamp>,
    /// When triggers contained something.
    contained: VecDeque<Timestamp>,
    most: usize,
    due: VecDeque<Firing>,
    /// Entries of firings of this process, until they come by: what they say is known.
    own: HashSet<Position>,
}

impl Watch {
    pub(super) fn new(rules: Vec<Trigger>, most: u32) -> Self {
        let armed = |trigger: Trigger| {
            let rule = trigger.rule().ok()?;
            Some(Armed { trigger: Arc::new(trigger), rule, recent: HashMap::new(), swept: Timestamp::default() })
        };
        Self {
            rules: rules.into_iter().filter_map(armed).collect(),
            places: BTreeMap::new(),
            open: BTreeMap::new(),
            known: HashMap::new(),
            used: Vec::new(),
            quiet: HashMap::new(),
            contained: VecDeque::new(),
            most: most as usize,
            due: VecDeque::new(),
            own: HashSet::new(),
        }
    }

    /// A use of a tool that was written down before.
    pub(super) fn knows(&mut self, used: ToolUse) {
        self.known.entry(used.agent.clone()).or_default().insert((used.server.clone(), used.tool.clone()), used);
    }

    /// Everything of a writer before this was looked at.
    pub(super) fn stands(&mut self, writer: u32, next: u64) {
        self.places.insert(writer, next);
    }

    /// An entry, for what the rules count, setting nothing off.
    pub(super) fn learn(&mut self, followed: &Followed) {
        if self.is_new(followed.position) {
            let before = self.due.len();
            self.see(followed, &|_, _| None);
            self.due.truncate(before);
            self.recall(&followed.entry);
        }
    }

    /// An entry, and what it sets off.
    pub(super) fn look(&mut self, followed: &Followed, meters: &dyn Fn(&str, &str) -> Option<i64>) {
        if self.is_new(followed.position) {
            self.see(followed, meters);
            if !self.own.remove(&followed.position) {
                self.recall(&followed.entry);
            }
        }
    }

    /// An entry may be handed over twice, and is counted once.
    fn is_new(&mut self, position: Position) -> bool {
        let next = self.places.entry(position.writer).or_default();
        let new = position.seq >= *next;
        *next = (*next).max(position.seq + 1);
        new
    }

    /// What triggers did before a restart.
    fn recall(&mut self, entry: &Entry) {
        let Some(change) = entry.draft.change.as_ref().filter(|c| c.noun == "trigger" && c.verb == "fire") else {
            return;
        };
        let after: Value =
            change.after.as_deref().and_then(|after| serde_json::from_str(after).ok()).unwrap_or_default();
        let (Some(name), Some(subject)) = (after["trigger"].as_str(), after["subject"].as_str()) else { return };
        if after["contained"] == true && after["remark"].is_null() {
            self.contained.push_back(entry.draft.at);
        }
        let cool_down =
            self.rules.iter().find(|armed| armed.trigger.name == name).map(|armed| armed.trigger.cool_down());
        if let Some(cool_down) = cool_down {
            self.quiet.insert((name.to_owned(), subject.to_owned()), entry.draft.at + cool_down);
        }
    }

    fn see(&mut self, followed: &Followed, meters: &dyn Fn(&str, &str) -> Option<i64>) {
        let (entry, position) = (&followed.entry, followed.position);
        match entry.draft.kind {
            Kind::Decision if entry.draft.decision == Some(Outcome::Deny) => self.refused(entry, position),
            Kind::Decision => {}
            Kind::Intent => self.called(entry, position, meters),
            Kind::Outcome => self.ended(entry),
            Kind::Change => self.changed(entry, position),
        }
    }

    fn refused(&mut self, entry: &Entry, position: Position) {
        let Some(actor) = Actor::of(entry) else { return };
        for at in 0..self.rules.len() {
            if let Rule::Refusals(count, within) = self.rules[at].rule {
                self.count(at, &actor, (entry.draft.at, position), (count, within), "refused calls");
            }
        }
    }

    fn called(&mut self, entry: &Entry, position: Position, meters: &dyn Fn(&str, &str) -> Option<i64>) {
        let Some(actor) = Actor::of(entry) else { return };
        let when = entry.draft.at;
        let last = self.use_tool(&actor, when);
        for at in 0..self.rules.len() {
            match self.rules[at].rule.clone() {
                Rule::Calls(count, within) => self.count(at, &actor, (when, position), (count, within), "calls"),
                Rule::FirstUse(quiet) => self.novel(at, &actor, (when, position), last, quiet),
                Rule::Meter(meter, over) => self.measured(at, &actor, (entry, position), (&meter, over), meters),
                Rule::Refusals(..) | Rule::Finding(_) | Rule::Unfinished(_) => {}
            }
        }
        if self.open.len() < OPEN && self.rules.iter().any(|armed| matches!(armed.rule, Rule::Unfinished(_))) {
            self.open.insert(position, Open { at: when, actor, fired: Vec::new() });
        }
    }

    fn ended(&mut self, entry: &Entry) {
        if let Some(intent) = entry.draft.closes {
            self.open.remove(&intent);
        }
    }

    fn changed(&mut self, entry: &Entry, position: Position) {
        for (rule, subject) in opened(entry) {
            let armed =
                self.rules.iter().filter(|armed| matches!(&armed.rule, Rule::Finding(wanted) if *wanted == rule));
            let triggers = armed.map(|armed| Arc::clone(&armed.trigger)).filter(|trigger| is_about(trigger, &subject));
            for trigger in triggers.collect::<Vec<_>>() {
                let contain = contained_by(trigger.contain, &subject);
                let agent = (!subject.contains('/')).then(|| subject.clone());
                let (what, evidence) = (format!("finding {rule}"), vec![position]);
                let firing = Firing { trigger, agent, subject: subject.clone(), contain, what, evidence };
                self.fire(firing, entry.draft.at);
            }
        }
    }

    /// Adds one to what an agent did lately; fires when that is as many as the rule says.
    fn count(
        &mut self,
        at: usize,
        actor: &Actor,
        (when, position): (Timestamp, Position),
        (count, within): (u32, Span),
        what: &str,
    ) {
        let armed = &mut self.rules[at];
        if !actor.within(&armed.trigger) {
            return;
        }
        if armed.recent.len() >= AGENTS && !armed.recent.contains_key(&actor.id) {
            if when - armed.swept < SWEEP {
                return;
            }
            armed.swept = when;
            armed.recent.retain(|_, recent| recent.back().is_some_and(|(last, _)| when - *last <= within));
            if armed.recent.len() >= AGENTS {
                return;
            }
        }
        let recent = armed.recent.entry(actor.id.clone()).or_default();
        recent.push_back((when, position));
        while recent.len() > count as usize || recent.front().is_some_and(|(first, _)| when - *first > within) {
            recent.pop_front();
        }
        if recent.len() < count as usize {
            return;
        }
        let evidence = newest(recent);
        let what = format!("{count} {what} within {} s", within.as_seconds());
        self.acted(at, actor, what, evidence, when);
    }

    /// When the agent last used this tool, if it did, and since when it is known at all; and that it uses it now.
    fn use_tool(&mut self, actor: &Actor, when: Timestamp) -> Option<(Option<Timestamp>, Timestamp)> {
        if !self.rules.iter().any(|armed| matches!(armed.rule, Rule::FirstUse(_))) {
            return None;
        }
        let (server, tool) = (actor.server.clone()?, actor.tool.clone()?);
        let tools = self.known.entry(actor.id.clone()).or_default();
        let known = tools.values().map(|used| used.since).min().unwrap_or(when);
        let last = tools.get(&(server.clone(), tool.clone())).map(|used| used.used_at);
        let room = tools.len() < TOOLS || last.is_some();
        if room && last.is_none_or(|last| when - last >= HOURLY) {
            let since = tools.get(&(server.clone(), tool.clone())).map_or(when, |used| used.since);
            let used =
                ToolUse { agent: actor.id.clone(), server: server.clone(), tool: tool.clone(), since, used_at: when };
            tools.insert((server, tool), used.clone());
            self.used.push(used);
        }
        Some((last, known))
    }

    fn novel(
        &mut self,
        at: usize,
        actor: &Actor,
        (when, position): (Timestamp, Position),
        last: Option<(Option<Timestamp>, Timestamp)>,
        quiet: Span,
    ) {
        let Some((last, known)) = last else { return };
        if !actor.within(&self.rules[at].trigger) || when - known < NEWCOMER {
            return;
        }
        let what = match last {
            None => format!("the first use of {}", actor.tool_name()),
            Some(last) if when - last >= quiet => {
                format!("the first use of {} after {} days", actor.tool_name(), (when - last).as_seconds() / 86_400)
            }
            Some(_) => return,
        };
        self.acted(at, actor, what, vec![position], when);
    }

    fn measured(
        &mut self,
        at: usize,
        actor: &Actor,
        (entry, position): (&Entry, Position),
        (meter, over): (&str, i64),
        meters: &dyn Fn(&str, &str) -> Option<i64>,
    ) {
        if !actor.within(&self.rules[at].trigger) {
            return;
        }
        let stands = entry.draft.uses.iter().filter(|used| &*used.meter == meter);
        let above = stands.filter_map(|used| meters(meter, &used.subject)).find(|stands| *stands > over);
        if let Some(stands) = above {
            let what = format!("meter {meter} stands at {stands}, over {over}");
            self.acted(at, actor, what, vec![position], entry.draft.at);
        }
    }

    /// Calls that had no outcome for too long.
    pub(super) fn overdue(&mut self, now: Timestamp) {
        for at in 0..self.rules.len() {
            let Rule::Unfinished(after) = self.rules[at].rule else { continue };
            let late: Vec<(Position, Actor, Timestamp)> = self
                .open
                .iter()
                .filter(|(_, open)| now - open.at > after && !open.fired.contains(&at))
                .map(|(position, open)| (*position, open.actor.clone(), open.at))
                .collect();
            for (position, actor, since) in late {
                if let Some(open) = self.open.get_mut(&position) {
                    open.fired.push(at);
                }
                if actor.within(&self.rules[at].trigger) {
                    let what = format!("a call has no outcome after {} s", (now - since).as_seconds());
                    self.acted(at, &actor, what, vec![position], now);
                }
            }
        }
        let oldest = now - MEMORY - MEMORY;
        self.open.retain(|_, open| open.at >= oldest || open.fired.is_empty());
    }

    fn acted(&mut self, at: usize, actor: &Actor, what: String, evidence: Vec<Position>, when: Timestamp) {
        let trigger = Arc::clone(&self.rules[at].trigger);
        let contain = match trigger.contain {
            Target::Agent => Some(actor.id.clone()),
            Target::Session => actor.session.clone(),
            Target::Tool => actor.server.as_ref().zip(actor.tool.as_ref()).map(|_| actor.tool_name()),
        };
        let agent = actor.name.clone().unwrap_or_else(|| actor.id.clone());
        let subject = match trigger.contain {
            Target::Agent | Target::Session => agent.clone(),
            Target::Tool => actor.tool_name(),
        };
        self.fire(Firing { trigger, agent: Some(agent), subject, contain, what, evidence }, when);
    }

    fn fire(&mut self, firing: Firing, when: Timestamp) {
        let key = (firing.trigger.name.clone(), firing.subject.clone());
        if self.quiet.get(&key).is_some_and(|until| when < *until) {
            return;
        }
        self.quiet.retain(|_, until| *until > when);
        self.quiet.insert(key, when + firing.trigger.cool_down());
        self.due.push_back(firing);
    }

    /// What is to be carried out next.
    pub(super) fn due(&self) -> Option<Firing> {
        self.due.front().cloned()
    }

    /// The first of them was carried out, and this is its entry.
    pub(super) fn done(&mut self, entry: Position, now: Timestamp) {
        self.own.insert(entry);
        self.due.pop_front();
        self.forget(now);
    }

    pub(super) fn may_contain(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        self.contained.len() < self.most
    }

    pub(super) fn contained(&mut self, now: Timestamp) {
        self.contained.push_back(now);
    }

    fn forget(&mut self, now: Timestamp) {
        while self.contained.front().is_some_and(|at| now - *at > MEMORY) {
            self.contained.pop_front();
        }
    }

    pub(super) fn take_used(&mut self) -> Vec<ToolUse> {
        std::mem::take(&mut self.used)
    }
}

impl Actor {
    fn of(entry: &Entry) -> Option<Self> {
        let draft = &entry.draft;
        Some(Self {
            id: draft.who.agent.clone()?,
            name: draft.who.name.clone(),
            session: draft.authority.session.clone(),
            server: draft.what.server.clone(),
            tool: draft.what.tool.clone(),
        })
    }

    fn within(&self, trigger: &Trigger) -> bool {
        trigger.scope.at(self.name.as_deref(), self.server.as_deref(), self.tool.as_deref())
    }

    fn tool_name(&self) -> String {
        format!("{}/{}", self.server.as_deref().unwrap_or_default(), self.tool.as_deref().unwrap_or_default())
    }
}

/// The newest of them, oldest first.
fn newest(recent: &Recent) -> Vec<Position> {
    recent.iter().skip(recent.len().saturating_sub(EVIDENCE)).map(|(_, position)| *position).collect()
}

/// Does a trigger look at what a finding is about: an agent, or a tool as `SERVER/TOOL`?
fn is_about(trigger: &Trigger, subject: &str) -> bool {
    match subject.split_once('/') {
        Some((server, tool)) => trigger.scope.at(None, Some(server), Some(tool)),
        None => trigger.scope.at(Some(subject), None, None),
    }
}

/// What a finding is about, as containments name it.
fn contained_by(target: Target, subject: &str) -> Option<String> {
    match target {
        Target::Agent => (!subject.contains('/')).then(|| subject.to_owned()),
        Target::Tool => subject.contains('/').then(|| subject.to_owned()),
        Target::Session => None,
    }
}

/// The findings that an entry opens: rule and subject. Some are opened along with what they are about.
fn opened(entry: &Entry) -> Vec<(String, String)> {
    let Some(change) = &entry.draft.change else { return Vec::new() };
    let after: Value = change.after.as_deref().and_then(|after| serde_json::from_str(after).ok()).unwrap_or_default();
    match (change.noun.as_str(), change.verb.as_str()) {
        ("finding", "open") => {
            let named = after["rule"].as_str().zip(after["subject"].as_str());
            let named = named.or_else(|| change.id.split_once(['/', ' ']));
            named.map(|(rule, subject)| (rule.to_owned(), subject.to_owned())).into_iter().collect()
        }
        ("manifest", "state") if !after["approved"].is_null() && after["approved"] != after["stated"] => {
            vec![(Finding::MANIFEST_CHANGED.to_owned(), change.id.clone())]
        }
        ("server", "review") => {
            let waiting = after["tools"].as_array().into_iter().flatten().filter(|tool| tool["state"] == "quarantined");
            let rule = |tool: &Value| if tool["digest"].is_null() { "tool-new" } else { "tool-changed" };
            let found =
                |tool: &Value| Some((rule(tool).to_owned(), format!("{}/{}", change.id, tool["name"].as_str()?)));
            waiting.filter_map(found).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use chancery_model::{Authority, Change, Draft, Header, Use, What, Who};
    use serde_json::json;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_000_000_000_000);

    fn watch(rules: &[Value]) -> Watch {
        Watch::new(rules.iter().map(|rule| serde_json::from_value(rule.clone()).unwrap()).collect(), 10)
    }

    fn followed(seq: u64, draft: Draft) -> Followed {
        let position = Position { writer: 0, seq };
        let header = Header { position, prev: [0; 32], commitments: Vec::new() };
        Followed { position, committed_at: draft.at, entry: Entry { header, draft } }
    }

    fn act(kind: Kind, agent: &str, at: Timestamp) -> Draft {
        Draft {
            kind,
            at,
            who: Who { agent: Some(format!("agt_{agent}")), name: Some(agent.into()), ..Who::default() },
            what: What { server: Some("pay".into()), tool: Some("refund".into()), ..What::default() },
            authority: Authority { session: Some("ses_1".into()), ..Authority::default() },
            decision: (kind == Kind::Decision).then_some(Outcome::Deny),
            ..Draft::default()
        }
    }

    fn see(watch: &mut Watch, seq: u64, draft: Draft) -> Vec<Firing> {
        watch.look(&followed(seq, draft), &|_, _| None);
        std::mem::take(&mut watch.due).into()
    }

    fn refusals(cool_down: &str) -> Value {
        json!({"name": "loop", "when": {"refusals": 3, "within": "60s"}, "do": "contain", "cool_down": cool_down})
    }

    #[test]
    fn a_rate_is_crossed_exactly() {
        let mut watch = watch(&[refusals("1s")]);
        let at = |seconds| NOON + Span::seconds(seconds);
        for (seq, seconds, fires) in [(0, 0, false), (1, 40, false), (2, 61, false), (3, 99, true), (4, 101, true)] {
            let fired = see(&mut watch, seq, act(Kind::Decision, "a", at(seconds)));
            assert_eq!(!fired.is_empty(), fires, "entry {seq}");
        }
        assert!(see(&mut watch, 5, act(Kind::Decision, "b", at(101))).is_empty(), "each agent for itself");
        let allowed = Draft { decision: Some(Outcome::Allow), ..act(Kind::Decision, "b", at(101)) };
        for seq in 6..12 {
            assert!(see(&mut watch, seq, allowed.clone()).is_empty(), "an allow is no refusal");
        }
    }

    #[test]
    fn the_evidence_is_what_was_counted() {
        let mut watch = watch(&[refusals("1h")]);
        let mut fired = Vec::new();
        for seq in [3, 5, 8, 9, 11] {
            fired.extend(see(&mut watch, seq, act(Kind::Decision, "a", NOON)));
        }
        assert_eq!(fired.len(), 1, "quiet for an hour");
        let seqs: Vec<u64> = fired[0].evidence.iter().map(|position| position.seq).collect();
        assert_eq!((seqs, fired[0].contain.as_deref()), (vec![3, 5, 8], Some("agt_a")));
    }

    #[test]
    fn an_entry_that_comes_twice_counts_once() {
        let mut watch = watch(&[refusals("1s")]);
        for seq in [0, 1, 0, 1, 1] {
            assert!(see(&mut watch, seq, act(Kind::Decision, "a", NOON)).is_empty());
        }
    }

    #[test]
    fn what_is_learned_sets_nothing_off_and_counts() {
        let mut watch = watch(&[refusals("1s")]);
        for seq in 0..5 {
            watch.learn(&followed(seq, act(Kind::Decision, "a", NOON)));
            assert!(watch.due().is_none());
        }
        watch.quiet.clear();
        assert_eq!(see(&mut watch, 5, act(Kind::Decision, "a", NOON)).len(), 1);
    }

    #[test]
    fn memory_is_bounded_however_many_agents_come() {
        let mut watch = watch(&[refusals("1s"), json!({"name": "slow", "when": {"unfinished": "5m"}})]);
        for seq in 0..(2 * OPEN as u64) {
            let at = NOON + Span(i64::try_from(seq).unwrap());
            watch.look(&followed(2 * seq, act(Kind::Decision, &format!("a{seq}"), at)), &|_, _| None);
            watch.look(&followed(2 * seq + 1, act(Kind::Intent, "a", at)), &|_, _| None);
        }
        assert_eq!((watch.rules[0].recent.len(), watch.open.len()), (AGENTS, OPEN));
        let later = NOON + Span::minutes(10);
        see(&mut watch, u64::MAX - 1, act(Kind::Decision, "late", later));
        assert_eq!(watch.rules[0].recent.len(), 1, "whoever is quiet makes room");
    }

    #[test]
    fn a_call_without_an_outcome_is_told_once() {
        let mut watch = watch(&[json!({"name": "slow", "when": {"unfinished": "5m"}})]);
        for seq in [1, 2] {
            see(&mut watch, seq, act(Kind::Intent, "a", NOON));
        }
        let closes = Draft { closes: Some(Position { writer: 0, seq: 1 }), ..act(Kind::Outcome, "a", NOON) };
        see(&mut watch, 3, closes);
        watch.overdue(NOON + Span::minutes(5));
        assert!(watch.due().is_none());
        for _ in 0..3 {
            watch.overdue(NOON + Span::minutes(6));
        }
        let fired: Vec<Firing> = watch.due.into();
        assert_eq!((fired.len(), fired[0].evidence[0].seq), (1, 2));
    }

    #[test]
    fn a_meter_is_read_where_it_is_counted() {
        let mut watch = watch(&[json!({"name": "spent", "when": {"meter": "spent", "over": 9}})]);
        let spent = Use { meter: "spent".into(), per: chancery_model::Per::Agent, subject: "agt_a".into(), amount: 1 };
        let draft = Draft { uses: vec![spent], ..act(Kind::Intent, "a", NOON) };
        for (seq, stands, fires) in [(0, 9, false), (1, 10, true)] {
            watch.look(&followed(seq, draft.clone()), &|meter, subject| {
                assert_eq!((meter, subject), ("spent", "agt_a"));
                Some(stands)
            });
            assert_eq!(watch.due().is_some(), fires);
        }
    }

    #[test]
    fn findings_are_found_in_whatever_entry_opens_them() {
        let change = |noun: &str, id: &str, verb: &str, after: Value| {
            let change = Change { noun: noun.into(), id: id.into(), verb: verb.into(), after: Some(after.to_string()) };
            opened(&followed(0, Draft { kind: Kind::Change, change: Some(change), ..Draft::default() }).entry)
        };
        let pair = |rule: &str, subject: &str| vec![(rule.to_owned(), subject.to_owned())];
        let whole = json!({"rule": "bearer-allowed", "subject": "crm"});
        assert_eq!(change("finding", "bearer-allowed/crm", "open", whole), pair("bearer-allowed", "crm"));
        assert_eq!(
            change("finding", "credential-reflected pay", "open", Value::Null),
            pair("credential-reflected", "pay")
        );
        assert_eq!(
            change("manifest", "crm", "state", json!({"approved": "a", "stated": "b"})),
            pair("manifest-changed", "crm")
        );
        assert!(change("manifest", "crm", "state", json!({"approved": null, "stated": "b"})).is_empty());
        assert!(change("manifest", "crm", "state", json!({"approved": "b", "stated": "b"})).is_empty());
        let tools = json!({"tools": [{"name": "a", "state": "pinned", "digest": "x"},
            {"name": "b", "state": "quarantined", "digest": "x", "seen": "y"}, {"name": "c", "state": "quarantined"}]});
        let both = [pair("tool-changed", "pay/b"), pair("tool-new", "pay/c")].concat();
        assert_eq!(change("server", "pay", "review", tools), both);
        assert!(change("finding", "bearer-allowed/crm", "close", Value::Null).is_empty());
    }

    #[test]
    fn what_was_done_before_a_restart_is_remembered() {
        let mut watch = watch(&[refusals("1h")]);
        let after = json!({"trigger": "loop", "subject": "a", "contained": true, "remark": null}).to_string();
        let change = Change { noun: "trigger".into(), id: "loop/a".into(), verb: "fire".into(), after: Some(after) };
        // Also where the entry comes by only after the restart.
        watch.look(
            &followed(0, Draft { kind: Kind::Change, at: NOON, change: Some(change), ..Draft::default() }),
            &|_, _| None,
        );
        for seq in 1..9 {
            assert!(see(&mut watch, seq, act(Kind::Decision, "a", NOON)).is_empty());
        }
        watch.most = 1;
        assert!(!watch.may_contain(NOON) && watch.may_contain(NOON + Span::minutes(61)));
    }
}
