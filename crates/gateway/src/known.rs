//! What is known of a request so far: enough to record a refusal at any point of the path.

use std::sync::Arc;

use chancery_authenticate::Caller;
use chancery_authenticate::jose::sha256;
use chancery_authorize::Facts;
use chancery_model::{
    ApprovalId, Authority, Body as KeptBody, Decision, Draft, Hash, Kind, Outcome, What, Who, Why, canonical, problem,
};
use http::{HeaderMap, Response};
use serde_json::Value;

use crate::body::Body;
use crate::claim::Claim;
use crate::decide::Basis;
use crate::gateway::Gateway;
use crate::intend::Intent;
use crate::message::Message;
use crate::refusal::{Elicits, Refusal, Subject, rpc};
use crate::wire::Wire;

/// The longest stated reason that is kept and shown to policies, in characters.
const REASON: usize = 1_000;
/// The longest argument that stands in an entry in clear, in characters.
const FIELD: usize = 256;
/// How much of what went wrong stands in an entry, in characters: it may quote what was sent.
const DETAIL: usize = 1_000;

/// A request on its way.
pub(crate) struct Known {
    gateway: Arc<Gateway>,
    caller: Option<Caller>,
    pub(crate) subject: Subject,
    draft: Draft,
}

impl Known {
    pub(crate) fn new(gateway: &Arc<Gateway>, server: &str, action: &str) -> Self {
        let what = What { server: Some(server.to_owned()), action: Some(action.to_owned()), ..What::default() };
        let draft = Draft { at: gateway.clock.now(), what, ..Draft::default() };
        Self { gateway: gateway.clone(), caller: None, subject: Subject::default(), draft }
    }

    /// Who calls, and under whose authority.
    pub(crate) fn caller(&mut self, caller: &Caller) {
        self.draft.who = Who {
            agent: Some(caller.agent.id.to_string()),
            name: Some(caller.agent.name.clone()),
            instance: caller.session.instance.clone(),
            human: caller.human.clone(),
            chain: caller.chain.clone(),
            enforcer: None,
        };
        self.draft.authority = Authority {
            session: Some(caller.session.id.to_string()),
            token: Some(caller.token_id.to_string()),
            task: caller.session.purpose.clone(),
            limits: digest(caller),
            flow: (caller.flow() != caller.session.id.as_str()).then(|| caller.flow().to_owned()),
            ..Authority::default()
        };
        self.caller = Some(caller.clone());
    }

    /// What is asked, and why the agent says it asks.
    pub(crate) fn message(&mut self, message: &Message, headers: &HeaderMap) {
        self.subject.id = message.id().cloned();
        self.subject.tool_call = message.method() == "tools/call" && self.subject.id.is_some();
        self.draft.what.action = Some(match message.method() {
            "" => "response".to_owned(),
            method => method.chars().take(FIELD).collect(),
        });
        let reason = message.meta("chancery/reason").and_then(Value::as_str);
        let header = || headers.get("traceparent").and_then(|value| value.to_str().ok());
        let parent = message.meta("traceparent").and_then(Value::as_str).or_else(header);
        self.draft.why = Why {
            reason: reason.map(|text| text.chars().take(REASON).collect()),
            trace: parent.and_then(trace_id).map(str::to_owned),
        };
    }

    pub(crate) fn wire(&mut self, wire: Wire) {
        self.subject.stateless = wire.is_stateless();
    }

    /// The stated reason.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.draft.why.reason.as_deref()
    }

    /// What the request means. The arguments are kept apart from the entry, but for the fields that stand in it.
    pub(crate) fn intent(&mut self, intent: &Intent, fields: &[String]) {
        self.subject.title = match &intent.tool {
            Some(tool) => format!("{} may not call {} on {}", self.name(), tool.tool.name, tool.tool.server),
            None => format!("{} may not use {} on {}", self.name(), intent.method, intent.server),
        };
        self.draft.what.tool = intent.tool.as_ref().map(|tool| tool.tool.name.clone());
        self.draft.what.resource = intent.resource.clone();
        for name in fields {
            if let Some(value) = intent.arguments.get(name) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.draft.what.fields.insert(name.clone(), text.chars().take(FIELD).collect());
            }
        }
        let given = [("arguments", &intent.given.arguments), ("input", &intent.given.input)];
        let kept = given.into_iter().filter_map(|(name, content)| Some((name, content.clone()?)));
        self.draft.bodies = kept.map(|(name, content)| KeptBody { name, content }).collect();
    }

    fn name(&self) -> &str {
        self.draft.who.name.as_deref().unwrap_or("this agent")
    }

    /// What was decided.
    pub(crate) fn decision(&mut self, decision: &Decision) {
        let authority = &mut self.draft.authority;
        authority.grants = decision.determining.iter().filter_map(|d| d.grant.clone()).collect();
        authority.policies = decision.determining.iter().map(|d| d.policy.clone()).collect();
        authority.policy_version = Some(decision.policy_version.clone());
        self.draft.decision = Some(decision.outcome);
    }

    /// How the client can be asked to let a person open an address.
    pub(crate) fn elicits(&mut self, elicits: Elicits) {
        self.subject.elicits = elicits;
    }

    /// The approval that it waits for, or uses up.
    pub(crate) fn approval(&mut self, id: &ApprovalId) {
        self.draft.authority.approval = Some(id.to_string());
    }

    /// What it takes up, and what it was decided on.
    pub(crate) fn claim(&mut self, claim: &Claim, basis: &Basis) {
        self.draft.uses = claim.uses();
        self.facts(basis.facts());
    }

    /// What policies looked at is kept with the decision.
    fn facts(&mut self, facts: &Facts) {
        if !facts.is_none()
            && let Ok(content) = serde_json::to_vec(facts)
        {
            self.draft.bodies.push(KeptBody { name: "context", content });
        }
    }

    /// It is a dry run of this.
    pub(crate) fn rehearses(&mut self, about: &Intent) {
        let tool = about.tool_name().unwrap_or(&about.server);
        self.draft.what.action = Some(What::DRY_RUN.to_owned());
        self.draft.detail = Some(format!("a dry run of {tool}, for those who are asked to approve that"));
    }

    /// The entry of an act that is about to happen.
    pub(crate) fn take_intent(&mut self) -> Draft {
        let bodies = std::mem::take(&mut self.draft.bodies);
        Draft { kind: Kind::Intent, decision: Some(Outcome::Allow), bodies, ..self.draft.clone() }
    }

    /// The beginning of the entry of what becomes of it.
    pub(crate) fn to_outcome(&self) -> Draft {
        let what = What { fields: Default::default(), ..self.draft.what.clone() };
        let Authority { session, flow, .. } = self.draft.authority.clone();
        let authority = Authority { session, flow, ..Authority::default() };
        Draft { kind: Kind::Outcome, who: self.draft.who.clone(), what, authority, ..Draft::default() }
    }

    /// Records a refusal, where it is known whose it is, and answers it.
    pub(crate) async fn refuse(mut self, refusal: Refusal) -> Response<Body> {
        if self.caller.is_none() {
            return refusal.answer(&self.subject, None);
        }
        if let Some(decision) = refusal.decision.as_deref() {
            self.decision(decision);
        }
        if let Some(facts) = refusal.facts.as_deref() {
            self.facts(facts);
        }
        if let Some(approval) = &refusal.approval {
            self.approval(&approval.id);
        }
        if let Some(resource) = &refusal.resource {
            self.draft.what.resource = Some(resource.to_string());
        }
        let draft = Draft {
            kind: Kind::Decision,
            decision: Some(refusal.outcome()),
            reasons: vec![refusal.row.code.to_owned()],
            detail: Some(detail(&refusal.why)),
            ..self.draft
        };
        match self.gateway.recorder.decided(draft).await {
            Ok(id) => refusal.answer(&self.subject, Some(id)),
            Err(e) => {
                tracing::error!(error = %e, code = refusal.row.code, "a refusal could not be recorded");
                not_recorded(&e).answer(&self.subject, None)
            }
        }
    }
}

/// SHA-256 of what its sessions are narrowed to, if they are.
fn digest(caller: &Caller) -> Option<Hash> {
    let sets = (!caller.limits.is_empty()).then(|| serde_json::to_value(&caller.limits).ok()).flatten()?;
    canonical(&sets).ok().map(|bytes| sha256(&bytes))
}

/// What went wrong, as far as it stands in an entry.
pub(crate) fn detail(why: &str) -> String {
    why.chars().take(DETAIL).collect()
}

/// The record cannot be written: nothing happens.
pub(crate) fn not_recorded(error: &chancery_record::RecordError) -> Refusal {
    if matches!(error, chancery_record::RecordError::NotApproved) {
        return Refusal::new(problem::APPROVAL_OVER, rpc::DENIED, error.to_string());
    }
    Refusal::new(problem::STORE_FAILED, rpc::INTERNAL, error.to_string())
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2).
fn trace_id(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let sound =
        version.len() == 2 && trace.len() == 32 && hex(version) && hex(trace) && trace.bytes().any(|b| b != b'0');
    sound.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn a_trace_id_is_taken_from_its_parent() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(parent), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "00",
            "00-0-0-0",
            "00-00000000000000000000000000000000-1-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-1-1",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
