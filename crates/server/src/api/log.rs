//! The log: search, follow, prove, export.

use std::collections::BTreeMap;

use chancery_model::problem::{NO_BODY, NO_DECISION, Problem, READ_FAILED, STORE_FAILED, VERIFY_FAILED};
use chancery_model::{ActResult, Change, DecisionId, Kind, Outcome};
use chancery_record::{Filter, Found, RecordError};
use serde::{Deserialize, Serialize};

use crate::failure::{Answer, Failure};
use crate::input;

pub(crate) mod checkpoint;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod proof;
pub(crate) mod search;
pub(crate) mod tile;

/// An entry as the API shows it; times in RFC 3339, absent members left out.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) sentence: String,
    at: String,
    committed_at: String,
    #[serde(flatten)]
    words: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chain: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grants: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl From<&Found> for View {
    fn from(found: &Found) -> Self {
        let draft = &found.entry.draft;
        let texts = |list: &[std::sync::Arc<str>]| list.iter().map(|text| text.to_string()).collect();
        Self {
            id: DecisionId(found.position).to_string(),
            kind: kind(draft.kind),
            sentence: sentence(found),
            at: draft.at.rfc3339(),
            committed_at: found.committed_at.rfc3339(),
            words: words(found),
            chain: draft.who.chain.clone(),
            fields: draft.what.fields.clone(),
            grants: texts(&draft.authority.grants),
            policies: texts(&draft.authority.policies),
            reasons: draft.reasons.clone(),
        }
    }
}

/// Every single-valued member that is there.
fn words(found: &Found) -> BTreeMap<&'static str, String> {
    let draft = &found.entry.draft;
    let (who, what, why, authority) = (&draft.who, &draft.what, &draft.why, &draft.authority);
    let change = draft.change.as_ref();
    let members = [
        ("agent_id", who.agent.clone()),
        ("agent", who.name.clone()),
        ("instance", who.instance.clone()),
        ("human", who.human.clone()),
        ("enforcer", who.enforcer.clone()),
        ("server", what.server.clone()),
        ("action", what.action.clone()),
        ("tool", what.tool.clone()),
        ("resource", what.resource.clone()),
        ("reason", why.reason.clone()),
        ("trace", why.trace.clone()),
        ("session", authority.session.clone()),
        ("flow", authority.flow.clone()),
        ("task", authority.task.clone()),
        ("limits", authority.limits.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect())),
        ("approval", authority.approval.clone()),
        ("token", authority.token.clone()),
        ("policy_version", authority.policy_version.as_ref().map(|v| v.to_string())),
        ("decision", draft.decision.map(|outcome| outcome_name(outcome).to_owned())),
        ("closes", draft.closes.map(|position| DecisionId(position).to_string())),
        ("result", draft.result.map(|result| result_name(result).to_owned())),
        ("detail", draft.detail.clone()),
        ("change", change.map(|c| format!("{} {}", c.verb, c.noun))),
        ("changed", change.map(|c| c.id.clone())),
        ("after", change.and_then(|c| c.after.clone())),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The entry as a person would tell it.
fn sentence(found: &Found) -> String {
    let draft = &found.entry.draft;
    let agent = draft.who.name.as_deref().or(draft.who.agent.as_deref());
    match draft.kind {
        Kind::Change => changed(draft.who.human.as_deref().or(agent), draft.change.as_ref()),
        Kind::Outcome => {
            let closes = draft.closes.map(|p| DecisionId(p).to_string()).unwrap_or_default();
            let result = draft.result.map_or("ended", result_name).replace('_', " ");
            format!("{closes} {result}")
        }
        Kind::Intent | Kind::Decision => {
            let may = match draft.decision {
                Some(Outcome::Allow) => "may",
                _ => "may not",
            };
            format!("{} {may} {}", agent.unwrap_or("somebody unknown"), act(found))
        }
    }
}

fn act(found: &Found) -> String {
    let what = &found.entry.draft.what;
    let (action, server) = (what.action.as_deref().unwrap_or("act"), what.server.as_deref());
    match (&what.tool, &what.resource, server) {
        (Some(tool), _, Some(server)) => format!("call {server}/{tool}"),
        (None, Some(resource), _) => format!("{action} on {resource}"),
        (_, _, Some(server)) => format!("{action} at {server}"),
        _ => action.to_owned(),
    }
}

fn changed(by: Option<&str>, change: Option<&Change>) -> String {
    let by = by.unwrap_or("chancery");
    change.map_or_else(|| format!("{by} changed something"), |c| format!("{by}: {} {} {}", c.verb, c.noun, c.id))
}

pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Decision => "decision",
        Kind::Intent => "intent",
        Kind::Outcome => "outcome",
        Kind::Change => "change",
    }
}

pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::RequireApproval => "require_approval",
        Outcome::StepUp => "step_up",
    }
}

pub(crate) fn result_name(result: ActResult) -> &'static str {
    match result {
        ActResult::Succeeded => "succeeded",
        ActResult::Failed => "failed",
        ActResult::NotSent => "not_sent",
        ActResult::Indeterminate => "indeterminate",
    }
}

/// Which entries, as query parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    agent: Option<String>,
    human: Option<String>,
    break_glass: Option<String>,
    chain: Option<String>,
    server: Option<String>,
    tool: Option<String>,
    session: Option<String>,
    instance: Option<String>,
    decision: Option<Outcome>,
    kind: Option<KindName>,
    since: Option<String>,
    until: Option<String>,
    before: Option<DecisionId>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    Decision,
    Intent,
    Outcome,
    Change,
}

impl Wanted {
    fn filter(self) -> Answer<Filter> {
        let time = |text: Option<String>| text.as_deref().map(input::time).transpose();
        Ok(Filter {
            agent: self.agent,
            human: self.human,
            break_glass: self.break_glass,
            chain: self.chain,
            server: self.server,
            tool: self.tool,
            session: self.session,
            instance: self.instance,
            decision: self.decision,
            kind: self.kind.map(|kind| match kind {
                KindName::Decision => Kind::Decision,
                KindName::Intent => Kind::Intent,
                KindName::Outcome => Kind::Outcome,
                KindName::Change => Kind::Change,
            }),
            since: time(self.since)?,
            until: time(self.until)?,
            before: self.before.map(|id| id.0),
        })
    }
}

/// The id of an entry in a path.
pub(crate) fn entry_id(text: &str) -> Answer<DecisionId> {
    text.parse().map_err(|e: chancery_model::BadId| Problem::new(NO_DECISION, e.to_string()).into())
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::NoSuchEntry(_) => Problem::new(NO_DECISION, error.to_string()).into(),
            RecordError::NoSuchBody { .. } => Problem::new(NO_BODY, error.to_string()).into(),
            RecordError::Inconsistent(_) => Problem::new(VERIFY_FAILED, error.to_string()).into(),
            RecordError::NotAnIntent | RecordError::Interrupted(_) => {
                Problem::new(STORE_FAILED, error.to_string()).into()
            }
            _ => Problem::new(READ_FAILED, error.to_string()).into(),
        }
    }
}
