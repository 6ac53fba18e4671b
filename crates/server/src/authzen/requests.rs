//! `/access/v1/requests`: another enforcer lets people be asked about a denial, and hears what they say (AuthZEN Access
//! Request and Approval Profile 1.0, Draft 1, "Submitting the Access Request", "Checking the Task", "Cancellation").
//!
//! Decision point and access request service are one here, so a denial is named by its decision ("Denial Binding by
//! Reference"): what was asked is what the record kept of it. A task is a request for approval like those of the gateway.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chancery_authenticate::Caller;
use chancery_authorize::{ActionRef, Asked, EntityRef, Evaluation, Properties, Verdict};
use chancery_model::problem::{
    APPROVAL_OVER, BAD_DENIAL_BINDING, DENIAL_EXPIRED, NO_TASK, NOT_REQUESTABLE, Problem, Row, STORE_FAILED,
    TASK_EXPIRED,
};
use chancery_model::{
    Agent, Approval, ApprovalId, ApprovalState, DecisionId, Demand, Enforcer, Kind, Outcome, canonical,
};
use chancery_oversee::approvals::{Standing, Wanted};
use chancery_store::{agents, approvals, bodies};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::approved::{asked, bare, digest, is_of, person, requestable};
use super::{REQUESTABLE, Shown, admitted, bad, caller, echoing, named};
use crate::failure::{Answer, Failure};
use crate::rooms::Rooms;

/// What the problem types of the profile begin with ("Error Responses").
const ERROR: &str = "urn:openid:authzen:access-request:error:";
/// Seconds between two looks at a task that waits.
const AGAIN: &str = "5";
/// The longest claim of a requester that is kept, in characters.
const CLAIM: usize = 500;

/// A submission. Members that are not here are not looked at; a body of several `items` is refused.
#[derive(Deserialize)]
struct Submission {
    subject: EntityRef,
    action: ActionRef,
    resource: EntityRef,
    #[serde(default)]
    context: Properties,
    denial: Denial,
}

/// The denial that it is about.
#[derive(Deserialize)]
struct Denial {
    evaluation_id: Option<String>,
    binding_token: Option<String>,
}

/// A denial of ours, as it was recorded.
struct Denied {
    id: DecisionId,
    question: Evaluation,
}

/// Lets people be asked.
pub(crate) async fn submit(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, body: Body) -> Response {
    let answer = async {
        let url = rooms.access.requests.clone();
        let (caller, sent) = admitted::<Submission>(&rooms, &url, (&headers, shown), body).await?;
        let made = submitted(&rooms, &caller, &sent).await.map_err(IntoResponse::into_response)?;
        Ok(told(&rooms, made, StatusCode::ACCEPTED))
    };
    echoing(&headers, answer.await.unwrap_or_else(|refusal| refusal))
}

/// How a task stands.
pub(crate) async fn status(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    shown: Shown,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let url = format!("{}/{id}", rooms.access.requests);
        let caller = caller(&rooms, (&Method::GET, &url), &headers, shown.as_deref())?;
        let task = task_of(&rooms, &caller, &id).await.map_err(IntoResponse::into_response)?;
        Ok(told(&rooms, task, StatusCode::OK))
    };
    echoing(&headers, answer.await.unwrap_or_else(|refusal| refusal))
}

/// Takes a task back that nobody decided yet.
pub(crate) async fn cancel(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    shown: Shown,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let url = format!("{}/{id}/cancel", rooms.access.requests);
        let caller = caller(&rooms, (&Method::POST, &url), &headers, shown.as_deref())?;
        let task = taken_back(&rooms, &caller, &id).await.map_err(IntoResponse::into_response)?;
        Ok(told(&rooms, task, StatusCode::OK))
    };
    echoing(&headers, answer.await.unwrap_or_else(|refusal| refusal))
}

/// A problem of the profile: its type, and a row of ours.
fn problem(kind: &str, row: Row, why: impl Into<String>) -> Failure {
    Failure(Problem { kind: format!("{ERROR}{kind}"), ..Problem::new(row, why) })
}

fn unbound(why: impl Into<String>) -> Failure {
    problem("invalid_denial_binding", BAD_DENIAL_BINDING, why)
}

fn not_requestable(why: impl Into<String>) -> Failure {
    problem("not_requestable", NOT_REQUESTABLE, why)
}

async fn submitted(rooms: &Rooms, caller: &Caller, sent: &Submission) -> Answer<Approval> {
    let denied = denial(rooms, caller, sent).await?;
    let question = denied.question.question();
    named(&question)?;
    let now = rooms.clock.now();
    // As it would be answered now: nobody is asked about what would be refused, or allowed, anyway.
    let verdict = rooms.engine.question(question, now);
    if !requestable(rooms, question, &verdict, now) {
        let why = if verdict.allows() { "it is allowed by now" } else { "it is refused by now, whoever approves it" };
        return Err(not_requestable(why));
    }
    request(rooms, caller, (&denied, &verdict), claim(sent).as_deref()).await
}

async fn request(
    rooms: &Rooms,
    caller: &Caller,
    (denied, verdict): (&Denied, &Verdict),
    reason: Option<&str>,
) -> Answer<Approval> {
    let (question, decision) = (denied.question.question(), &verdict.decision);
    let subject = acting(rooms, &denied.question).await?;
    let label = match &subject {
        Some(agent) => agent.name.clone(),
        None => format!("{} {}", question.subject.kind, question.subject.id),
    };
    let agent = Agent { name: label.clone(), ..subject.clone().unwrap_or_else(|| (*caller.agent).clone()) };
    let human = person(rooms, question, rooms.clock.now());
    let target = format!("{} on {} {}", question.action.name, question.resource.kind, question.resource.id);
    let arguments = canonical(&asked(question)?).map_err(|e| bad(&e.to_string()))?;
    let wanted = Wanted {
        call: digest(rooms, caller, question, &decision.policy_version)?,
        agent: &agent,
        session: &caller.session.id,
        chain: &human.iter().cloned().chain([label]).collect::<Vec<_>>(),
        human: human.as_deref(),
        owners: subject.into_iter().map(|agent| agent.owner).collect(),
        server: &caller.agent.name,
        method: &question.action.name,
        target: &target,
        definition: None,
        arguments: Some(&arguments),
        input: None,
        reason,
        dry_run: None,
        enforcer: Some(Enforcer {
            id: caller.agent.id.clone(),
            name: caller.agent.name.clone(),
            evaluation: denied.id.to_string(),
        }),
        policy_version: &decision.policy_version,
        demands: &decision.demands,
    };
    let standing = rooms.approvals.ask(&wanted).await?;
    match standing {
        Standing::Waits(approval) | Standing::Denied(approval) => Ok(*approval),
        Standing::Granted(id) => Ok(rooms.approvals.get(&id).await?),
    }
}

/// The agent that the question is about, if it is about one.
async fn acting(rooms: &Rooms, question: &Evaluation) -> Answer<Option<Agent>> {
    if question.subject.kind != "Agent" {
        return Ok(None);
    }
    Ok(agents::by_name(&rooms.store, &question.subject.id).await?)
}

/// The denial that a submission names, if it is this enforcer's and is what was sent, and may still be brought.
async fn denial(rooms: &Rooms, caller: &Caller, sent: &Submission) -> Answer<Denied> {
    if sent.denial.binding_token.is_some() {
        return Err(unbound(
            "`denial.binding_token`: this server gives none; a denial is named by its `evaluation_id`",
        ));
    }
    let id = sent.denial.evaluation_id.as_deref().ok_or_else(|| unbound("`denial.evaluation_id` is missing"))?;
    let unknown = || unbound("`denial.evaluation_id` names no decision that this enforcer asked for");
    let id: DecisionId = id.parse().map_err(|_| unknown())?;
    let found = rooms.recorder.entry(id.0).await.map_err(|_| unknown())?;
    let draft = &found.entry.draft;
    if draft.kind != Kind::Decision || draft.who.enforcer.as_ref() != Some(&caller.agent.name) {
        return Err(unknown());
    }
    if draft.decision != Some(Outcome::RequireApproval) {
        return Err(not_requestable("the decision asks for no approval"));
    }
    if rooms.clock.now() >= draft.at + REQUESTABLE {
        return Err(problem("expired_denial", DENIAL_EXPIRED, format!("it is of {}", draft.at.rfc3339())));
    }
    let kept = bodies::get(&rooms.store, found.position).await?;
    let kept = kept.into_iter().find(|body| body.name == "question").and_then(|body| body.kept);
    let kept = kept.and_then(|kept| serde_json::from_slice::<Asked>(&kept.content).ok());
    let Some(Asked::Evaluation(question)) = kept else { return Err(unbound("what was asked is not kept any more")) };
    compare(&question, sent)?;
    // It is asked again as it was, but for what belongs to the protocol.
    let context = bare(&question.context);
    Ok(Denied { id, question: Evaluation { context, ..question } })
}

/// Is what was sent what was asked ("Structural Comparison")? More context is no other question: it is what a requester
/// adds. Who acts may have been moved out of the subject ("Denial Binding Claims").
fn compare(question: &Evaluation, sent: &Submission) -> Answer<()> {
    let form = |subject: &EntityRef, action: &ActionRef, resource: &EntityRef| {
        let mut subject = subject.clone();
        subject.properties.0.retain(|(name, _)| name != "act");
        let value = json!({ "subject": subject, "action": action, "resource": resource });
        canonical(&value).map_err(|e| bad(&e.to_string()))
    };
    let was = form(&question.subject, &question.action, &question.resource)?;
    if was != form(&sent.subject, &sent.action, &sent.resource)? {
        return Err(unbound("subject, action or resource is not what was evaluated"));
    }
    let equal = |a: &Value, b: &Value| canonical(a).is_ok_and(|a| canonical(b).is_ok_and(|b| a == b));
    let differs = |(name, value): &&(String, Value)| !sent.context.get(name).is_some_and(|sent| equal(value, sent));
    match bare(&question.context).0.iter().find(differs) {
        Some((name, _)) => Err(unbound(format!("`context.{name}` is not what was evaluated"))),
        None => Ok(()),
    }
}

/// Why the requester wants it, in their words. People see it as a claim; it is no part of what they approve.
fn claim(sent: &Submission) -> Option<String> {
    let text = ["business_justification", "reason"].into_iter().find_map(|name| sent.context.get(name)?.as_str())?;
    Some(text.chars().take(CLAIM).collect())
}

/// A task of this enforcer that is not over.
async fn task_of(rooms: &Rooms, caller: &Caller, id: &str) -> Answer<Approval> {
    let unknown = || problem("unknown_task", NO_TASK, format!("`{}`", id.chars().take(80).collect::<String>()));
    let parsed: ApprovalId = id.parse().map_err(|_| unknown())?;
    let found = approvals::get(&rooms.store, &parsed).await?.filter(|approval| is_of(approval, caller));
    let approval = found.ok_or_else(unknown)?;
    if approval.is_over(rooms.clock.now()) {
        let why = format!("it ended at {}", approval.expires_at.rfc3339());
        return Err(problem("task_expired", TASK_EXPIRED, why));
    }
    Ok(approval)
}

async fn taken_back(rooms: &Rooms, caller: &Caller, id: &str) -> Answer<Approval> {
    let approval = task_of(rooms, caller, id).await?;
    if approval.state != ApprovalState::Pending {
        let why = format!("it is {}", state(&approval));
        return Err(problem("invalid_task_state", APPROVAL_OVER, why));
    }
    let taken = rooms.approvals.cancel(&approval.id, "taken back by the enforcer", &caller.agent.name).await;
    taken.map_err(|e| match e.row() {
        row if row == STORE_FAILED => Problem::new(row, e.to_string()).into(),
        _ => problem("invalid_task_state", APPROVAL_OVER, e.to_string()),
    })
}

/// The status of a task ("Task Status Values"). One that was approved stays so: whether it still helps is said by the
/// evaluation that names it.
fn state(approval: &Approval) -> &'static str {
    match approval.state {
        ApprovalState::Pending => "pending",
        ApprovalState::Approved | ApprovalState::Used => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Cancelled => "cancelled",
        ApprovalState::Expired => "expired",
    }
}

/// The task as the enforcer sees it ("Access Request Response").
fn told(rooms: &Rooms, approval: Approval, code: StatusCode) -> Response {
    let at = format!("{}/{}", rooms.access.requests, approval.id);
    let (state, until) = (state(&approval), approval.expires_at.rfc3339());
    let who: Vec<String> = approval.demands.iter().map(Demand::who).collect();
    let mut body = json!({
        "task": {
            "id": approval.id,
            "status": state,
            "status_endpoint": at,
            "expires_at": until,
            "display": { "description": format!("it takes the approval of {}", who.join(" and of ")) },
            "links": {
                "cancel": format!("{at}/cancel"),
                "review": format!("{}/approvals/{}", rooms.people_url, approval.id),
            },
        },
    });
    if state == "approved" {
        body["result"] = json!({
            "mode": "reevaluate",
            "approval": {
                "id": approval.id,
                "approved_at": approval.decided_at.map(chancery_model::Timestamp::rfc3339),
                "approved_until": until,
            },
        });
    }
    // What is over at once needs no second look.
    let code = if code == StatusCode::ACCEPTED && state != "pending" { StatusCode::CREATED } else { code };
    let mut response = (code, axum::Json(body)).into_response();
    if state == "pending" {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN));
    }
    if let Ok(location) = HeaderValue::from_str(&at) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
