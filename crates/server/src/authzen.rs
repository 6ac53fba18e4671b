//! OpenID AuthZEN Authorization API 1.0, for callers that keep their own enforcement.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::{Caller, Refused, RequestFacts, ShownCertificates};
use chancery_authorize::{ActionRef, EntityRef, Properties, Question, Verdict};
use chancery_model::problem::{BAD_EVALUATION, DENIED, Problem, STORE_FAILED, TOO_LARGE};
use chancery_model::{AgentKind, Authority, Body as Kept, DecisionId, Draft, Kind, Span, Timestamp, What, Who};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Answer, Failure};
use crate::headers::single;
use crate::rooms::Rooms;

pub(crate) mod approved;
pub(crate) mod containments;
pub(crate) mod evaluation;
pub(crate) mod evaluations;
pub(crate) mod requests;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest body, in bytes.
const LONGEST: usize = 1 << 20;
/// The longest type, id or action, in bytes: they stand in the entry itself.
const LONGEST_NAME: usize = 4 << 10;

/// How long a denial may be brought before people.
const REQUESTABLE: Span = Span::minutes(10);

/// The certificates of the connection.
type Shown = Option<Extension<ShownCertificates>>;

/// The answer to one question (section 6.2).
#[derive(Serialize)]
pub(crate) struct Decided {
    decision: bool,
    context: Context,
}

/// Why, for those who may know, and where the decision is recorded.
#[derive(Serialize)]
struct Context {
    /// The decision's id, for `chancery why`.
    id: DecisionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_user: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_admin: Option<Reason>,
    #[serde(flatten)]
    approval: approved::Told,
}

#[derive(Serialize)]
struct Reason {
    en: String,
}

/// The question as it is kept: what `chancery_authorize::Asked` reads back.
#[derive(Serialize)]
struct Asked<'a> {
    asked: &'static str,
    subject: &'a EntityRef,
    action: &'a ActionRef,
    resource: &'a EntityRef,
    context: &'a Properties,
}

impl<'a> Asked<'a> {
    fn of(question: Question<'a>) -> Self {
        let Question { subject, action, resource, context } = question;
        Self { asked: "evaluation", subject, action, resource, context }
    }
}

/// What comes before any question: the caller, and a body of the right shape.
async fn admitted<T: DeserializeOwned>(
    rooms: &Rooms,
    url: &str,
    (headers, shown): (&HeaderMap, Shown),
    body: Body,
) -> Result<(Caller, T), Response> {
    let caller = caller(rooms, (&Method::POST, url), headers, shown.as_deref())?;
    let too_large = |_| Failure::from(Problem::new(TOO_LARGE, format!("over {LONGEST} bytes"))).into_response();
    let bytes: Bytes = axum::body::to_bytes(body, LONGEST).await.map_err(too_large)?;
    let asked = serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()).into_response())?;
    Ok((caller, asked))
}

/// An enforcer: a service account with a token for this API.
fn caller(
    rooms: &Rooms,
    (method, url): (&Method, &str),
    headers: &HeaderMap,
    shown: Option<&ShownCertificates>,
) -> Result<Caller, Response> {
    let read = |name: &HeaderName| single(headers, name).map_err(|p| Failure::from(p).into_response());
    let facts = RequestFacts {
        method: method.as_str(),
        url,
        authorization: read(&header::AUTHORIZATION)?,
        dpop: read(&DPOP)?,
        certificate: shown.map(ShownCertificates::leaf),
        audience: &rooms.access.resource,
    };
    let caller = rooms.authenticator.caller(&facts).map_err(|refused| unauthorized(&refused))?;
    if caller.agent.kind == AgentKind::ServiceAccount {
        return Ok(caller);
    }
    let why = format!("`{}` is not a service account: only enforcers ask for others", caller.agent.name);
    Err(Failure::from(Problem::new(DENIED, why)).into_response())
}

pub(crate) fn unauthorized(refused: &Refused) -> Response {
    let problem = Problem::new(refused.row, refused.why.clone());
    let mut response = Failure::from(problem).into_response();
    let headers = response.headers_mut();
    for challenge in refused.challenges() {
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            headers.append(header::WWW_AUTHENTICATE, value);
        }
    }
    if let Some(value) = refused.dpop_nonce.as_deref().and_then(|nonce| HeaderValue::from_str(nonce).ok()) {
        headers.insert(DPOP_NONCE, value);
    }
    response
}

fn bad(why: &str) -> Failure {
    Problem::new(BAD_EVALUATION, why).into()
}

/// Names that fit in an entry.
fn named(question: &Question<'_>) -> Answer<()> {
    let Question { subject, action, resource, .. } = question;
    let names = [
        ("subject.type", &subject.kind),
        ("subject.id", &subject.id),
        ("action.name", &action.name),
        ("resource.type", &resource.kind),
        ("resource.id", &resource.id),
    ];
    match names.iter().find(|(_, name)| name.len() > LONGEST_NAME) {
        Some((what, name)) => Err(bad(&format!("`{what}` has {} bytes, over the limit of {LONGEST_NAME}", name.len()))),
        None => Ok(()),
    }
}

/// Records an answer, and only then gives it away.
async fn record(rooms: &Rooms, caller: &Caller, question: Question<'_>, verdict: Verdict) -> Answer<Decided> {
    let now = rooms.clock.now();
    let draft = draft(caller, question, &verdict, now)?;
    let told = approved::Told::of(rooms, question, &verdict, now);
    let recorded = rooms.recorder.decided(draft).await;
    let id = recorded.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?;
    Ok(decided(id, verdict).told(told))
}

fn decided(id: DecisionId, verdict: Verdict) -> Decided {
    let decision = verdict.allows();
    let reason = |text: String| (!text.is_empty()).then_some(Reason { en: text });
    let policies: Vec<&str> = verdict.decision.determining.iter().map(|d| &*d.policy).collect();
    Decided {
        decision,
        context: Context {
            id,
            code: verdict.code.map(|row| row.code),
            reason_admin: reason(policies.join(", ")),
            reason_user: reason(verdict.why.into_owned()),
            approval: approved::Told::default(),
        },
    }
}

impl Decided {
    /// The same, with what is to be said of approvals. A denial is named by its entry.
    fn told(mut self, told: approved::Told) -> Self {
        self.context.approval = told.about(self.context.id);
        self
    }
}

fn draft(caller: &Caller, question: Question<'_>, verdict: &Verdict, now: Timestamp) -> Answer<Draft> {
    let content = serde_json::to_vec(&Asked::of(question)).map_err(|e| bad(&e.to_string()))?;
    let decision = &verdict.decision;
    Ok(Draft {
        kind: Kind::Decision,
        at: now,
        who: Who {
            name: Some(question.subject.id.clone()),
            enforcer: Some(caller.agent.name.clone()),
            ..Who::default()
        },
        what: What {
            action: Some(question.action.name.clone()),
            resource: Some(format!("{}::\"{}\"", question.resource.kind, question.resource.id)),
            ..What::default()
        },
        authority: Authority {
            session: Some(caller.session.id.to_string()),
            token: Some(caller.token_id.to_string()),
            grants: decision.determining.iter().filter_map(|d| d.grant.clone()).collect(),
            policies: decision.determining.iter().map(|d| Arc::clone(&d.policy)).collect(),
            policy_version: Some(Arc::clone(&decision.policy_version)),
            ..Authority::default()
        },
        decision: Some(decision.outcome),
        reasons: verdict.code.iter().map(|row| row.code.to_owned()).collect(),
        bodies: vec![Kept { name: "question", content }],
        ..Draft::default()
    })
}

/// The response carries the caller's own request id, so that it can find its answer in its log (section 11.3).
fn echoing(headers: &HeaderMap, answer: Response) -> Response {
    let mut response = answer;
    if let Some(id) = headers.get(&REQUEST_ID) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    response
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            (StatusCode::OK, [kind], bytes).into_response()
        }
        Err(error) => bad(&error.to_string()).into_response(),
    }
}
