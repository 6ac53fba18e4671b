//! Oversight as data: each time that people, or what they put in place, stepped in, and how long it took.
//!
//! Everything here is read off entries of the log, and each row names the entry that it is read off: there is no second
//! record that could say something else, and whoever doubts a row asks for the proof of its entry.

use std::collections::BTreeMap;

use chancery_model::{Approval, Change, Containment, DecisionId, Demand, Draft, Entry, Kind, Outcome, Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The entry that says so.
    pub entry: DecisionId,
    /// When.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// What it was: one of [`KINDS`].
    pub kind: &'static str,
    /// What it was about.
    pub what: String,
    /// Who did it: a person, `trigger:…`, `drill:…` or `local:…`. Nothing where nobody did anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The agent whose act it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How long it took, in microseconds: from the question to the answer, from the switch to the last confirmation, from
    /// the last evidence to the firing, from the end to the review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<i64>,
    /// The entry from which that is counted, where it is not told by this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DecisionId>,
    /// An exercise.
    pub drill: bool,
    /// What else the entry says of it.
    pub detail: Value,
}

/// Every kind of step.
pub const KINDS: [&str; 14] = [
    "approval.requested",
    "approval.approved",
    "approval.denied",
    "approval.expired",
    "approval.cancelled",
    "containment.contained",
    "containment.acknowledged",
    "containment.lifted",
    "trigger.fired",
    "drill.ended",
    "break_glass.opened",
    "break_glass.ended",
    "break_glass.reviewed",
    "step_up.refused",
];

/// The nouns and verbs of the log that are steps.
const CHANGES: [(&str, &str, &str); 13] = [
    ("approval", "request", "approval.requested"),
    ("approval", "approve", "approval.approved"),
    ("approval", "deny", "approval.denied"),
    ("approval", "expire", "approval.expired"),
    ("approval", "cancel", "approval.cancelled"),
    ("containment", "contain", "containment.contained"),
    ("containment", "acknowledge", "containment.acknowledged"),
    ("containment", "lift", "containment.lifted"),
    ("trigger", "fire", "trigger.fired"),
    ("drill", "end", "drill.ended"),
    ("break_glass", "open", "break_glass.opened"),
    ("break_glass", "end", "break_glass.ended"),
    ("break_glass", "review", "break_glass.reviewed"),
];

/// How response times are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// All of them.
    #[default]
    All,
    /// By day (UTC).
    Day,
    /// By month (UTC).
    Month,
}

/// Response times of one kind in one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// `2026-11-23`, `2026-11`, or nothing where all are put together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub period: String,
    /// The kind of step.
    pub kind: &'static str,
    /// How many of them have a time.
    pub count: usize,
    /// Half of them took at most so many microseconds.
    pub p50_us: i64,
    /// Of twenty, nineteen took at most so many.
    pub p95_us: i64,
    /// None took more.
    pub most_us: i64,
}

fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

/// Is an entry a step? To be asked before it is kept: most are not.
pub fn is_step(draft: &Draft) -> bool {
    kind(draft).is_some()
}

fn kind(draft: &Draft) -> Option<&'static str> {
    match (draft.kind, &draft.change) {
        (Kind::Decision, _) => (draft.decision == Some(Outcome::StepUp)).then_some("step_up.refused"),
        (Kind::Change, Some(change)) => {
            let row = CHANGES.iter().find(|(noun, verb, _)| *noun == change.noun && *verb == change.verb);
            row.map(|(_, _, kind)| *kind)
        }
        _ => None,
    }
}

/// The step that an entry is.
pub fn step(entry: &Entry) -> Option<Step> {
    let draft = &entry.draft;
    let kind = kind(draft)?;
    let id = DecisionId(entry.header.position);
    let Some(change) = &draft.change else { return Some(refused(id, draft, kind)) };
    let after: Value = change.after.as_deref().and_then(|after| serde_json::from_str(after).ok()).unwrap_or_default();
    let text = |name: &str| after.get(name).and_then(Value::as_str).map(str::to_owned);
    let by = draft.who.human.clone().filter(|_| !matches!(kind, "approval.requested" | "approval.expired"));
    let drill = change.noun == "drill" || by.as_deref().is_some_and(|by| by.starts_with(Containment::DRILL));
    Some(Step {
        entry: id,
        at: draft.at,
        kind,
        what: about(change, &after),
        agent: text("agent"),
        took_us: took(kind, draft.at, &after),
        since: since(kind, &after),
        drill,
        detail: detail(kind, &change.id, &after),
        by,
    })
}

/// A call for which a person had to be there, and was not.
fn refused(entry: DecisionId, draft: &Draft, kind: &'static str) -> Step {
    let (server, tool) = (draft.what.server.as_deref(), draft.what.tool.as_deref().or(draft.what.action.as_deref()));
    let what = server.into_iter().chain(tool).collect::<Vec<_>>().join("/");
    Step {
        entry,
        at: draft.at,
        kind,
        what,
        by: None,
        agent: draft.who.name.clone(),
        took_us: None,
        since: None,
        drill: false,
        detail: serde_json::json!({ "human": draft.who.human, "policies": draft.authority.policies }),
    }
}

fn about(change: &Change, after: &Value) -> String {
    let text = |name: &str| after.get(name).and_then(Value::as_str);
    match (text("server"), text("target"), text("scope"), text("subject"), text("person")) {
        (Some(server), Some(target), ..) => format!("{server}/{target}"),
        (_, _, Some("everything"), ..) => "everything".to_owned(),
        (_, _, Some(scope), Some(subject), _) => format!("{scope} {subject}"),
        (.., Some(person)) => person.to_owned(),
        _ => change.id.clone(),
    }
}

/// What of it is not said elsewhere in the row.
fn detail(kind: &str, id: &str, after: &Value) -> Value {
    let names: &[&str] = match kind.split_once('.').map_or(kind, |(noun, _)| noun) {
        "approval" => &["demands", "votes", "state"],
        "containment" => &["reason", "lift_reason", "confirmations", "acknowledged"],
        "trigger" => &["trigger", "reason", "evidence", "containment", "remark"],
        "drill" => &["containment", "confirmations", "acknowledged", "agents"],
        _ => &["reason", "until", "review"],
    };
    let told = names.iter().filter_map(|name| Some(((*name).to_owned(), after.get(*name)?.clone())));
    Value::Object(told.chain([("id".to_owned(), id.into())]).collect())
}

/// How long it took, as far as the entry itself says it.
fn took(kind: &str, at: Timestamp, after: &Value) -> Option<i64> {
    match kind {
        "containment.acknowledged" | "drill.ended" => after.get("took_us")?.as_i64(),
        "approval.approved" | "approval.denied" | "approval.expired" | "approval.cancelled" => {
            // A request stands for as long as the strictest policy lets it: so its end says when it was made.
            let demands: Vec<Demand> = serde_json::from_value(after.get("demands")?.clone()).ok()?;
            let asked = moment(after, "expires_at")? - Approval::lifetime(&demands);
            Some((at - asked).0)
        }
        "break_glass.reviewed" => {
            let ended = moment(after, "ended_at").or_else(|| moment(after, "until"))?;
            Some((at - ended.min(at)).0)
        }
        _ => None,
    }
}

fn moment(after: &Value, name: &str) -> Option<Timestamp> {
    match after.get(name)? {
        Value::String(text) => Timestamp::parse(text),
        Value::Number(micros) => micros.as_i64().map(Timestamp),
        _ => None,
    }
}

/// The last entry that a firing goes by.
fn since(kind: &str, after: &Value) -> Option<DecisionId> {
    let evidence = after.get("evidence").filter(|_| kind == "trigger.fired")?.as_array()?;
    evidence.iter().filter_map(|id| id.as_str()?.parse().ok()).max_by_key(|id: &DecisionId| id.0.seq)
}

/// Response times by kind and period, in this order.
pub fn times(steps: &[Step], by: Period) -> Vec<Times> {
    let mut taken: BTreeMap<(String, &'static str), Vec<i64>> = BTreeMap::new();
    for step in steps {
        // An exercise says what an emergency would take; it is told by a kind of its own.
        if let Some(took) = step.took_us.filter(|_| !step.drill || step.kind == "drill.ended") {
            taken.entry((by.of(step.at), step.kind)).or_default().push(took);
        }
    }
    let row = |((period, kind), mut taken): ((String, &'static str), Vec<i64>)| {
        taken.sort_unstable();
        Times {
            period,
            kind,
            count: taken.len(),
            p50_us: rank(&taken, 50),
            p95_us: rank(&taken, 95),
            most_us: rank(&taken, 100),
        }
    };
    taken.into_iter().map(row).collect()
}

/// The nearest rank: the smallest number that so many of a hundred do not exceed. `sorted` is not empty.
fn rank(sorted: &[i64], of_hundred: usize) -> i64 {
    let place = (sorted.len() * of_hundred).div_ceil(100).max(1);
    sorted.get(place - 1).copied().unwrap_or_default()
}

impl Period {
    fn of(self, at: Timestamp) -> String {
        let length = match self {
            Self::All => 0,
            Self::Day => "2026-11-23".len(),
            Self::Month => "2026-11".len(),
        };
        at.rfc3339().chars().take(length).collect()
    }
}

/// How long a firing took, counted from its last evidence.
pub fn counted_from(step: &mut Step, evidence: Timestamp) {
    step.took_us = Some((step.at - evidence).0).filter(|took| *took >= 0);
}

/// The span of a window that is asked for without a beginning.
pub const USUAL: Span = Span::days(30);

#[cfg(test)]
mod tests {
    use chancery_model::{Header, Position, Who};
    use serde_json::json;

    use super::*;

    fn entry(seq: u64, (noun, verb): (&str, &str), by: &str, after: Value) -> Entry {
        let change = Change { noun: noun.into(), verb: verb.into(), id: "x_1".into(), after: Some(after.to_string()) };
        let who = Who { human: Some(by.into()), ..Who::default() };
        let at = Timestamp::parse("2026-11-23T10:00:00Z").unwrap();
        let draft = Draft { kind: Kind::Change, at, who, change: Some(change), ..Draft::default() };
        Entry {
            header: Header { position: Position { writer: 0, seq }, prev: [0; 32], commitments: Vec::new() },
            draft,
        }
    }

    fn demand(within: i64) -> Value {
        serde_json::to_value(Demand { within, ..Demand::of("p".into()) }).unwrap()
    }

    #[test]
    fn an_answer_is_timed_from_its_question() {
        let after = json!({"server": "s", "target": "refund", "agent": "helper", "state": "approved", "votes": [],
            "demands": [demand(600), demand(120)], "expires_at": "2026-11-23T10:01:30Z"});
        let said = step(&entry(7, ("approval", "approve"), "fin", after.clone())).unwrap();
        assert_eq!((said.kind, said.what.as_str(), said.by.as_deref()), ("approval.approved", "s/refund", Some("fin")));
        assert_eq!((said.took_us, said.agent.as_deref()), (Some(30_000_000), Some("helper")));
        assert_eq!(said.entry, DecisionId(Position { writer: 0, seq: 7 }));
        let asked = step(&entry(6, ("approval", "request"), "fin", after)).unwrap();
        assert_eq!((asked.by, asked.took_us), (None, None), "nobody did anything yet");
    }

    #[test]
    fn an_exercise_is_told_apart() {
        let after = json!({"scope": "agent", "subject": "canary", "took_us": 1_500, "confirmations": []});
        let drilled = step(&entry(1, ("containment", "acknowledge"), "drill:ada", after.clone())).unwrap();
        let real = step(&entry(2, ("containment", "acknowledge"), "ada", after.clone())).unwrap();
        let ended = step(&entry(3, ("drill", "end"), "drill:ada", after)).unwrap();
        assert_eq!((drilled.drill, real.drill, ended.drill), (true, false, true));
        let steps = [drilled, real, ended];
        let told: Vec<_> = times(&steps, Period::Day).into_iter().map(|t| (t.period, t.kind, t.count)).collect();
        let day = || "2026-11-23".to_owned();
        assert_eq!(told, [(day(), "containment.acknowledged", 1), (day(), "drill.ended", 1)]);
    }

    #[test]
    fn other_entries_are_no_steps() {
        assert_eq!(step(&entry(1, ("session", "open"), "ada", json!({}))), None);
        assert!(!is_step(&Draft::default()));
        let draft = Draft { kind: Kind::Decision, decision: Some(Outcome::Deny), ..Draft::default() };
        assert!(!is_step(&draft) && is_step(&Draft { decision: Some(Outcome::StepUp), ..draft }));
    }

    #[test]
    fn ranks_are_numbers_that_were_measured() {
        let taken: Vec<i64> = (1..=20).collect();
        assert_eq!([rank(&taken, 50), rank(&taken, 95), rank(&taken, 100)], [10, 19, 20]);
        assert_eq!([rank(&[7], 50), rank(&[7], 95)], [7, 7]);
    }

    #[test]
    fn each_kind_is_named() {
        assert!(CHANGES.iter().all(|(_, _, kind)| KINDS.contains(kind)));
    }
}
