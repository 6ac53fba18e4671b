//! Which entries are told, and what is said of them. This table is all of it: what stands in no row is told to nobody.
//!
//! An event says what happened to what, by whom, and where to look. It never carries arguments, results or secrets:
//! of what an entry says of its noun, the named members are told and no others.

use chancery_model::{Change, DecisionId, Entry, Severity};
use serde_json::{Value, json};

use super::text::plain;
use crate::follow::Followed;

/// One kind of event.
struct Row {
    noun: &'static str,
    verb: &'static str,
    /// What it is called in configurations and messages.
    name: &'static str,
    severity: Severity,
    /// What happened, for people. What it happened to follows.
    title: &'static str,
    /// The members of the noun that are told.
    told: &'static [&'static str],
}

/// An event on its way to the channels that want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it is about, for instance `approval/apr_…`: later events of one thread say what became of it.
    pub(crate) thread: String,
    /// The channel that alone is told, where it is not about all.
    pub(crate) only: Option<String>,
    severity: Severity,
    summary: String,
    facts: Vec<(&'static str, String)>,
}

const APPROVAL: &[&str] = &["agent", "server", "target", "state", "expires_at"];
const CONTAINMENT: &[&str] = &["scope", "subject", "reason", "lift_reason"];
const FINDING: &[&str] = &["rule", "subject", "evidence"];
const TRIGGER: &[&str] = &["trigger", "agent", "subject", "reason", "contained", "remark"];
const GLASS: &[&str] = &["person", "reason"];
const QUESTION: &[&str] = &["agent", "person", "resource", "expires_at"];
const NOTHING: &[&str] = &[];

macro_rules! rows {
    ($($noun:literal $verb:literal => $name:literal, $severity:ident, $title:literal, $told:ident;)*) => {
        const ROWS: &[Row] = &[$(Row {
            noun: $noun, verb: $verb, name: $name, severity: Severity::$severity, title: $title, told: $told,
        }),*];

        /// The names of all events.
        pub(crate) const NAMES: &[&str] = &[$($name),*];
    };
}

rows! {
    "approval" "request" => "approval.requested", Medium, "an approval is asked for", APPROVAL;
    "approval" "approve" => "approval.approved", Low, "approved", APPROVAL;
    "approval" "deny" => "approval.denied", Low, "denied", APPROVAL;
    "approval" "expire" => "approval.expired", Low, "nobody approved in time", APPROVAL;
    "approval" "use" => "approval.used", Low, "what was approved is done", APPROVAL;
    "approval" "cancel" => "approval.cancelled", Low, "the approval was cancelled", APPROVAL;
    "consent" "ask_elsewhere" => "consent.asked", Medium, "an agent asks to act for a person", QUESTION;
    "containment" "contain" => "containment.contained", High, "contained", CONTAINMENT;
    "containment" "lift" => "containment.lifted", Medium, "the containment was lifted", CONTAINMENT;
    "break_glass" "open" => "break_glass.opened", High, "the glass was broken", GLASS;
    "break_glass" "end" => "break_glass.ended", Medium, "break-glass ended", GLASS;
    "break_glass" "review" => "break_glass.reviewed", Low, "break-glass was reviewed", GLASS;
    "trigger" "fire" => "trigger.fired", High, "a trigger fired", TRIGGER;
    "finding" "open" => "finding.opened", Medium, "a finding", FINDING;
    "finding" "close" => "finding.closed", Low, "the finding is settled", FINDING;
    "server" "review" => "tool.quarantined", High, "tools wait for approval", NOTHING;
    "manifest" "state" => "manifest.stated", Medium, "another manifest was stated", NOTHING;
    "agent" "register" => "agent.registered", Low, "an agent was registered", NOTHING;
    "agent" "suspend" => "agent.suspended", Medium, "an agent was suspended", NOTHING;
    "agent" "resume" => "agent.resumed", Low, "an agent was resumed", NOTHING;
    "blueprint" "suspend" => "blueprint.suspended", Medium, "a blueprint was suspended", NOTHING;
    "blueprint" "resume" => "blueprint.resumed", Low, "a blueprint was resumed", NOTHING;
    "person" "suspend" => "person.suspended", Medium, "a person was suspended", NOTHING;
    "person" "resume" => "person.resumed", Low, "a person was resumed", NOTHING;
    "policy" "load" => "policy.loaded", Low, "other policies are in force", NOTHING;
    "key" "retire" => "key.retired", Low, "a key was retired", NOTHING;
    "body" "erase" => "body.erased", Medium, "a body of the record was erased", NOTHING;
    "log" "start" => "log.started", Low, "the server started", NOTHING;
    "channel" "test" => "channel.tested", Low, "this is a test", NOTHING;
}

/// What is told of an entry, if anything is.
pub(crate) fn of(entry: &Entry) -> Option<Event> {
    let change = entry.draft.change.as_ref()?;
    let row = ROWS.iter().find(|row| row.noun == change.noun && row.verb == change.verb)?;
    let after: Value = change.after.as_deref().and_then(|after| serde_json::from_str(after).ok()).unwrap_or_default();
    let mut facts = facts(row, entry, &after);
    if row.noun == "server" {
        facts.insert(0, ("tools", quarantined(&after)?));
    }
    Some(Event {
        name: row.name,
        thread: thread(change),
        only: (row.noun == "channel").then(|| change.id.clone()),
        severity: severity(&after).unwrap_or(row.severity),
        summary: summary(row, change, &facts),
        facts,
    })
}

/// The tools of a listing that may not be called until somebody looked at them, if there are any.
fn quarantined(after: &Value) -> Option<String> {
    let tools = after.get("tools")?.as_array()?.iter().filter(|tool| tool["state"] == "quarantined");
    let names: Vec<&str> = tools.filter_map(|tool| tool["name"].as_str()).collect();
    (!names.is_empty()).then(|| plain(&names.join(", ")))
}

/// Ids may hold whatever strangers named things.
fn thread(change: &Change) -> String {
    format!("{}/{}", change.noun, plain(&change.id))
}

fn severity(after: &Value) -> Option<Severity> {
    serde_json::from_value(after.get("severity")?.clone()).ok()
}

/// Who did it, and the members that may be told. The reason of an agent is its own claim, and is not told.
fn facts(row: &Row, entry: &Entry, after: &Value) -> Vec<(&'static str, String)> {
    let by = entry.draft.who.human.as_deref().or(entry.draft.who.name.as_deref());
    let by = by.map(|by| ("by", plain(by)));
    let reason = entry.draft.why.reason.as_deref().filter(|_| entry.draft.who.agent.is_none());
    let reason = reason.filter(|_| !row.told.contains(&"reason")).map(|reason| ("reason", plain(reason)));
    let told = row.told.iter().filter_map(|name| Some((*name, plain(&shown(after.get(name)?)?))));
    told.chain(by).chain(reason).collect()
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn summary(row: &Row, change: &Change, facts: &[(&'static str, String)]) -> String {
    let fact = |wanted: &str| facts.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    let what = match (fact("agent"), fact("server"), fact("target")) {
        (Some(agent), Some(server), Some(target)) => format!("{agent}: {server}/{target}"),
        _ => match (fact("scope"), fact("rule"), fact("subject")) {
            (Some(scope), _, Some(subject)) => format!("{scope} {subject}"),
            (Some(scope), _, None) => scope.to_owned(),
            (None, Some(rule), Some(subject)) => format!("{rule} of {subject}"),
            (None, None, Some(subject)) if row.noun == "trigger" => subject.to_owned(),
            _ => format!("{} {}", change.noun.replace('_', " "), plain(&change.id)),
        },
    };
    format!("{}: {what}", row.title)
}

impl Event {
    /// The message as it is sent: CloudEvents 1.0, JSON format. `source` is our address.
    pub(crate) fn payload(&self, followed: &Followed, source: &str) -> Value {
        let facts: serde_json::Map<String, Value> =
            self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        json!({
            "specversion": "1.0",
            "id": followed.id(),
            "source": source,
            "type": self.name,
            "subject": self.thread,
            "time": followed.entry.draft.at.rfc3339(),
            "datacontenttype": "application/json",
            "data": {
                "summary": self.summary,
                "severity": self.severity,
                "link": link(&self.thread, followed.id(), source),
                "entry": followed.id(),
                "facts": facts,
            },
        })
    }
}

/// Where to look. What has no page of its own is found by its entry.
fn link(thread: &str, _entry: DecisionId, source: &str) -> String {
    match thread.strip_prefix("approval/") {
        Some(id) if id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => format!("{source}/approvals/{id}"),
        _ if thread.starts_with("consent/ask_") => format!("{source}/asked"),
        _ => format!("{source}/"),
    }
}

#[cfg(test)]
mod tests {
    use chancery_model::{Draft, Header, Kind, Position, Timestamp, Who, Why};

    use super::*;

    pub(crate) fn followed(noun: &str, verb: &str, id: &str, after: Value) -> Followed {
        let change = Change { noun: noun.into(), verb: verb.into(), id: id.into(), after: Some(after.to_string()) };
        let who = Who { human: Some("ada".into()), ..Who::default() };
        let draft = Draft { kind: Kind::Change, change: Some(change), who, ..Draft::default() };
        let position = Position { writer: 0, seq: 7 };
        let header = Header { position, prev: [0; 32], commitments: Vec::new() };
        Followed { position, committed_at: Timestamp(1), entry: Entry { header, draft } }
    }

    #[test]
    fn arguments_and_what_is_not_named_stay_here() {
        let after = json!({"agent": "billing", "server": "pay", "target": "refund", "arguments": {"iban": "DE00CANARY"},
            "digest": "CANARY", "expires_at": "2026-11-23T16:00:00Z"});
        let entry = followed("approval", "request", "apr_1", after);
        let event = of(&entry.entry).unwrap();
        let payload = event.payload(&entry, "https://chancery.example").to_string();
        assert!(!payload.contains("CANARY"), "{payload}");
        assert!(payload.contains("an approval is asked for: billing: pay/refund"), "{payload}");
        assert!(payload.contains("https://chancery.example/approvals/apr_1"), "{payload}");
    }

    #[test]
    fn what_an_agent_claims_is_not_told() {
        let mut entry = followed("approval", "request", "apr_1", json!({}));
        entry.entry.draft.who.agent = Some("agt_1".into());
        entry.entry.draft.why = Why { reason: Some("the CEO agreed".into()), trace: None };
        let payload = of(&entry.entry).unwrap().payload(&entry, "https://c.example").to_string();
        assert!(!payload.contains("CEO"), "{payload}");
        entry.entry.draft.who.agent = None;
        let payload = of(&entry.entry).unwrap().payload(&entry, "https://c.example").to_string();
        assert!(payload.contains("CEO"), "a person's reason is told");
    }

    #[test]
    fn names_of_strangers_are_neutralised_wherever_they_stand() {
        let evil = "x\u{202e}\n<!channel> https://evil.example";
        let entry = followed("finding", "open", evil, json!({"rule": "tool-new", "subject": evil, "evidence": evil}));
        let payload = of(&entry.entry).unwrap().payload(&entry, "https://c.example").to_string();
        assert!(!payload.contains('\u{202e}') && !payload.contains("\\n") && !payload.contains("://evil"), "{payload}");
    }

    #[test]
    fn a_listing_is_told_only_where_tools_wait() {
        let listing =
            |state: &str| followed("server", "review", "pay", json!({"tools": [{"name": "refund", "state": state}]}));
        assert_eq!(of(&listing("pinned").entry), None);
        let entry = listing("quarantined");
        let payload = of(&entry.entry).unwrap().payload(&entry, "https://c.example");
        assert_eq!(
            (&payload["type"], &payload["data"]["facts"]["tools"]),
            (&json!("tool.quarantined"), &json!("refund"))
        );
    }

    #[test]
    fn a_question_to_a_person_leads_to_where_they_answer_and_says_nothing_of_the_agents() {
        let after = json!({"agent": "helper", "person": "mara", "resource": "https://c.example/mcp/crm", "message": "CANARY",
            "limits": ["CANARY"], "expires_at": "2026-11-23T16:00:00Z"});
        let entry = followed("consent", "ask_elsewhere", "ask_1", after);
        let payload = of(&entry.entry).unwrap().payload(&entry, "https://c.example");
        assert_eq!(
            (&payload["data"]["link"], &payload["data"]["facts"]["person"]),
            (&json!("https://c.example/asked"), &json!("mara"))
        );
        assert!(!payload.to_string().contains("CANARY"), "{payload}");
    }

    #[test]
    fn most_entries_are_told_to_nobody() {
        assert_eq!(of(&followed("session", "open", "ses_1", json!({})).entry), None);
        assert_eq!(of(&Entry { draft: Draft::default(), ..followed("a", "b", "c", json!({})).entry }), None);
    }

    #[test]
    fn each_name_is_there_once() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().collect();
        assert_eq!(names.len(), NAMES.len());
    }
}
