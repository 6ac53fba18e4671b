//! What people approved for another enforcer (AuthZEN Access Request and Approval Profile 1.0, Draft 1, "Requestable Denial"
//! and "Approval and Re-evaluation").
//!
//! The enforcer says that it is about to carry something out by naming the approval in the evaluation. That one
//! evaluation is decided anew, under the policies of the moment, and uses the approval up in the commit of its answer.
//! Nothing else does: not `evaluations`, which may be asked to find out what could be done.

use chancery_authenticate::Caller;
use chancery_authorize::{Properties, Question, Verdict};
use chancery_model::problem::{BAD_EVALUATION, Problem, STORE_FAILED};
use chancery_model::{
    Approval, ApprovalId, ApprovalKind, ApprovalState, DecisionId, Digest, Outcome, Timestamp, canonical,
};
use chancery_record::RecordError;
use chancery_store::approvals;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Decided, REQUESTABLE, decided, draft, record};
use crate::failure::Answer;
use crate::policies::sha256;
use crate::rooms::Rooms;

/// Members of the context that belong to the protocol and not to the question ("Terminology"). `reason` is not among them:
/// here it is what an agent says, and policies may look at it.
const MACHINERY: [&str; 4] = ["access_request", "approval", "evaluated_at", "evaluation_id"];

/// What an answer says about approvals; most say nothing.
#[derive(Default, Serialize)]
pub(super) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluation_id: Option<DecisionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_request: Option<Requestable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Used>,
}

/// That people may be asked, and until when.
#[derive(Serialize)]
struct Requestable {
    expires_at: String,
}

/// What was used up.
#[derive(Serialize)]
struct Used {
    id: ApprovalId,
    approved_until: String,
}

/// Why an approval that was named does not help, and what to do next.
#[derive(Clone, Copy)]
struct Unhelpful {
    reason: &'static str,
    next: &'static str,
}

const EXPIRED: Unhelpful = Unhelpful { reason: "approval_expired", next: "request" };
const OUT_OF_SCOPE: Unhelpful = Unhelpful { reason: "out_of_scope", next: "request" };
const UNVERIFIABLE: Unhelpful = Unhelpful { reason: "approval_unverifiable", next: "none" };
const POLICY: Unhelpful = Unhelpful { reason: "policy_denied", next: "none" };

impl Told {
    /// Of a plain answer: whether people can be asked.
    pub(super) fn of(rooms: &Rooms, question: Question<'_>, verdict: &Verdict, now: Timestamp) -> Self {
        if !requestable(rooms, question, verdict, now) {
            return Self::default();
        }
        Self {
            evaluated_at: Some(now.rfc3339()),
            reason: Some("approval_required"),
            access_request: Some(Requestable { expires_at: (now + REQUESTABLE).rfc3339() }),
            ..Self::default()
        }
    }

    /// The same, of the answer that is recorded there.
    pub(super) fn about(self, id: DecisionId) -> Self {
        Self { evaluation_id: self.access_request.is_some().then_some(id), ..self }
    }
}

impl Decided {
    /// The same deny, with why the approval did not help.
    fn unhelpful(mut self, why: Unhelpful) -> Self {
        let told = &mut self.context.approval;
        // Where people cannot be asked there is nothing to be asked for.
        let next = if told.access_request.is_some() || why.next != "request" { why.next } else { "none" };
        (told.reason, told.next_action) = (Some(why.reason), Some(next));
        self
    }
}

/// Can people say yes to it? A question that names no person has nobody to confirm it.
pub(super) fn requestable(rooms: &Rooms, question: Question<'_>, verdict: &Verdict, now: Timestamp) -> bool {
    let decision = &verdict.decision;
    let confirms = || decision.demands.iter().any(|demand| demand.kind == ApprovalKind::Confirm);
    let somebody = || question.subject.kind == "Agent" || person(rooms, question, now).is_some();
    decision.outcome == Outcome::RequireApproval && (!confirms() || somebody())
}

/// The person in whose name it would be done, or who would do it.
pub(super) fn person(rooms: &Rooms, question: Question<'_>, now: Timestamp) -> Option<String> {
    let own = (question.subject.kind == "Human").then(|| question.subject.id.clone());
    own.or_else(|| rooms.engine.on_behalf(question, now))
}

/// The approval that a question names.
pub(super) fn presented(question: Question<'_>) -> Option<&str> {
    question.context.get("approval")?.get("id")?.as_str()
}

/// The question as people see it and as it is compared: without what belongs to the protocol.
pub(super) fn asked(question: Question<'_>) -> Answer<Value> {
    let context = question.context.0.iter().filter(|(name, _)| !MACHINERY.contains(&name.as_str()));
    let context: Map<String, Value> = context.cloned().collect();
    let bad = |e: serde_json::Error| Problem::new(BAD_EVALUATION, e.to_string());
    Ok(json!({
        "action": serde_json::to_value(question.action).map_err(bad)?,
        "context": context,
        "resource": serde_json::to_value(question.resource).map_err(bad)?,
        "subject": serde_json::to_value(question.subject).map_err(bad)?,
    }))
}

/// SHA-256 over everything that was asked, by whom, and under which policies.
pub(super) fn digest(rooms: &Rooms, caller: &Caller, question: Question<'_>, policies: &str) -> Answer<Digest> {
    let whole = json!({
        "asked": asked(question)?,
        "enforcer": caller.agent.id,
        "issuer": rooms.url,
        "policies": policies,
    });
    let bytes = canonical(&whole).map_err(|e| Problem::new(BAD_EVALUATION, e.to_string()))?;
    Ok(Digest(sha256(&bytes)))
}

/// Answers an evaluation that names an approval. An approval that does not fit is as none.
pub(super) async fn evaluate(rooms: &Rooms, caller: &Caller, question: Question<'_>, id: &str) -> Answer<Decided> {
    let now = rooms.clock.now();
    let plain = rooms.engine.question(question, now);
    let outcome = plain.decision.outcome;
    if outcome != Outcome::RequireApproval {
        let answer = record(rooms, caller, question, plain).await?;
        return Ok(if outcome == Outcome::Deny { answer.unhelpful(POLICY) } else { answer });
    }
    match usable(rooms, caller, question, (id, &plain.decision.policy_version), now).await? {
        Ok(approval) => carried_out(rooms, caller, question, plain, &approval).await,
        Err(why) => Ok(record(rooms, caller, question, plain).await?.unhelpful(why)),
    }
}

/// The approval, if it is for this question of this enforcer, now.
async fn usable(
    rooms: &Rooms,
    caller: &Caller,
    question: Question<'_>,
    (id, policies): (&str, &str),
    now: Timestamp,
) -> Answer<Result<Approval, Unhelpful>> {
    let Ok(id) = id.parse::<ApprovalId>() else { return Ok(Err(UNVERIFIABLE)) };
    let found = approvals::get(&rooms.store, &id).await?.filter(|approval| is_of(approval, caller));
    let Some(approval) = found else { return Ok(Err(UNVERIFIABLE)) };
    // Another policy set may have been made to forbid exactly this: people are asked anew.
    if approval.policy_version != policies {
        return Ok(Err(EXPIRED));
    }
    if approval.call != digest(rooms, caller, question, policies)? {
        return Ok(Err(OUT_OF_SCOPE));
    }
    Ok(match approval.state {
        _ if approval.is_usable(now) => Ok(approval),
        ApprovalState::Pending | ApprovalState::Denied if !approval.is_over(now) => Err(UNVERIFIABLE),
        _ => Err(EXPIRED),
    })
}

/// Was it asked for by this enforcer?
pub(super) fn is_of(approval: &Approval, caller: &Caller) -> bool {
    approval.enforcer.as_ref().is_some_and(|enforcer| enforcer.id == caller.agent.id)
}

/// Decides anew with the approval, and uses it up in the commit of the answer.
async fn carried_out(
    rooms: &Rooms,
    caller: &Caller,
    question: Question<'_>,
    plain: Verdict,
    approval: &Approval,
) -> Answer<Decided> {
    let now = rooms.clock.now();
    let verdict = rooms.engine.approved(question, now);
    if !verdict.allows() {
        return Ok(record(rooms, caller, question, verdict).await?.unhelpful(POLICY));
    }
    if *verdict.decision.policy_version != *approval.policy_version {
        return Ok(record(rooms, caller, question, plain).await?.unhelpful(EXPIRED));
    }
    let mut entry = draft(caller, question, &verdict, now)?;
    entry.authority.approval = Some(approval.id.to_string());
    match rooms.recorder.decided_approved(entry, approval.id.clone(), approval.call).await {
        Ok(id) => {
            let used = Used { id: approval.id.clone(), approved_until: approval.expires_at.rfc3339() };
            Ok(decided(id, verdict).told(Told { approval: Some(used), ..Told::default() }))
        }
        // Somebody else was quicker, or its time ended in between.
        Err(RecordError::NotApproved) => Ok(record(rooms, caller, question, plain).await?.unhelpful(EXPIRED)),
        Err(e) => Err(Problem::new(STORE_FAILED, e.to_string()).into()),
    }
}

/// The context of a question without the machinery, to be put to the engine or people again.
pub(super) fn bare(context: &Properties) -> Properties {
    Properties(context.0.iter().filter(|(name, _)| !MACHINERY.contains(&name.as_str())).cloned().collect())
}
