//! To the upstream: only with a permit and a receipt, both taken by value.

use std::sync::Arc;

use bytes::Bytes;
use chancery_authorize::Permit;
use chancery_model::DecisionId;
use chancery_record::Receipt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::body;
use crate::connection::{Challenge, Connections};
use crate::inject::Credential;
use crate::intend::Given;
use crate::message::{Form, Message};
use crate::refusal::Refusal;
use crate::sessions::{Link, McpSession, Place, SESSION};
use crate::upstream::http::Http;
use crate::upstream::stdio::{Child, Program, Reply};
use crate::upstream::{Failure, Reach, Upstream};
use crate::wire::{self, ParamHeader, Wire};

/// The header, and the member of `params._meta`, that carry the id of the intent.
const INTENT: HeaderName = HeaderName::from_static("chancery-intent");
const INTENT_META: &str = "chancery/intent";
const DPOP: HeaderName = HeaderName::from_static("dpop");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Everything that goes to an upstream.
pub(crate) struct Parcel<'p> {
    pub(crate) upstream: &'p Upstream,
    pub(crate) message: Message,
    pub(crate) wire: Wire,
    pub(crate) place: &'p Place,
    pub(crate) credential: &'p Arc<Credential>,
    /// Arguments of the tool that are repeated in headers.
    pub(crate) params: &'p [ParamHeader],
    /// Where a stream is to be taken up again.
    pub(crate) last_event: Option<HeaderValue>,
    /// The limit of an answer in bytes.
    pub(crate) limit: usize,
    /// The child that requests without a session share.
    pub(crate) shared: Option<Arc<Child>>,
    /// How another credential is got, where that can be done at once.
    pub(crate) renewal: Option<Renewal<'p>>,
}

/// Gets another credential for a server that did not take the one it was sent.
pub(crate) struct Renewal<'p> {
    pub(crate) connections: &'p Arc<Connections>,
    /// Is the caller still in force? Asked after the wait for another credential.
    pub(crate) still: &'p (dyn Fn() -> Result<(), Refusal> + Send + Sync),
}

/// What came back.
pub(crate) enum Answer {
    /// Taken, with nothing to say.
    Accepted(StatusCode),
    /// One message.
    Whole(StatusCode, Bytes),
    /// A stream of events from an HTTP upstream.
    Events(Incoming),
    /// Messages of a child on the way to an answer.
    Reply(Reply),
    /// Messages of a child that belong to no request.
    Notes(mpsc::Receiver<Bytes>),
}

/// An answer, and the session it opened at the upstream.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) opened: Option<Link>,
    /// The credential that was taken in the end, if it is another than the first.
    pub(crate) renewed: Option<Arc<Credential>>,
}

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Self {
        Self { answer, opened: None, renewed: None }
    }
}

/// Sends what was permitted and recorded. The permit is for exactly this server, tool and arguments.
pub(crate) async fn forward(permit: Permit, receipt: Receipt, parcel: Parcel<'_>) -> Result<Answered, Failure> {
    if !covers(&permit, &parcel) {
        return Err(Failure::not_sent("the permit is for another act than the one at hand"));
    }
    send(receipt.id(), parcel).await
}

/// Sends a message of the gateway's own (its listing of tools), which no agent asked for.
pub(crate) async fn forward_own(receipt: &Receipt, parcel: Parcel<'_>) -> Result<Answered, Failure> {
    send(receipt.id(), parcel).await
}

fn covers(permit: &Permit, parcel: &Parcel<'_>) -> bool {
    let name = parcel.message.text("name").filter(|_| parcel.message.method() == "tools/call");
    let same = || Given::of(&parcel.message).is_ok_and(|given| given.digest == *permit.args_digest());
    **permit.server() == *parcel.upstream.name && permit.tool().map(|tool| &**tool) == name && same()
}

async fn send(intent: DecisionId, parcel: Parcel<'_>) -> Result<Answered, Failure> {
    match &parcel.upstream.reach {
        Reach::Http(http) => over_http(intent, http, &parcel).await,
        Reach::Stdio(program) => over_stdio(intent, program, parcel).await,
    }
}

// --- HTTP -----------------------------------------------------------------------------------------------------

async fn over_http(intent: DecisionId, http: &Http, parcel: &Parcel<'_>) -> Result<Answered, Failure> {
    let (method, bytes) = match parcel.message.form {
        Form::Listen => (Method::GET, Vec::new()),
        Form::End => (Method::DELETE, Vec::new()),
        _ => (Method::POST, parcel.message.to_bytes().map_err(|e| Failure::not_sent(e.why))?),
    };
    let bytes = Bytes::from(bytes);
    let mut attempt = Attempt { credential: parcel.credential.clone(), proved: false, renewed: false };
    let response = loop {
        let headers = headers(intent, parcel, &method, http, &attempt.credential)?;
        let response = http.send(method.clone(), headers, bytes.clone()).await?;
        if let Some(prover) = &attempt.credential.prover {
            prover.note(response.headers());
        }
        let Some(renewal) = parcel.renewal.as_ref().filter(|_| refuses(response.status())) else { break response };
        if !attempt.goes_on(renewal, &parcel.upstream.name, &response).await? {
            break response;
        }
        // It was waited for, and whoever was stopped meanwhile is not in force any more.
        (renewal.still)().map_err(|refusal| Failure::stopped(&refusal))?;
    };
    let opened = opened(parcel, &response);
    let answer = answer_of(response, parcel, http).await;
    let renewed = attempt.renewed.then_some(attempt.credential);
    // What the upstream says of itself may hold what it was given in the end.
    let clean = |failure: Failure| match &renewed {
        Some(renewed) => Failure { why: renewed.scrubber.text(&failure.why), ..failure },
        None => failure,
    };
    let answer = answer.map_err(clean)?;
    Ok(Answered { answer, opened, renewed })
}

/// Did it refuse the credential?
fn refuses(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// A request that may be sent again: one that was answered with 401 or 403 was not acted upon (RFC 9110, section 15.5).
struct Attempt {
    credential: Arc<Credential>,
    /// It was sent again with the upstream's nonce.
    proved: bool,
    /// It was sent again with another credential.
    renewed: bool,
}

impl Attempt {
    /// Whether to send it again: once for a nonce, once for another credential.
    async fn goes_on(
        &mut self,
        renewal: &Renewal<'_>,
        server: &str,
        response: &Response<Incoming>,
    ) -> Result<bool, Failure> {
        let challenge = Challenge::of(response.headers());
        if challenge.says("use_dpop_nonce") && self.credential.prover.is_some() {
            return Ok(!std::mem::replace(&mut self.proved, true));
        }
        if self.renewed {
            return Ok(false);
        }
        let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
        let other = renewal.connections.challenged(server, None, &self.credential, unauthorized, challenge).await;
        let Some(other) = other.map_err(|error| Failure::unconnected(&error))? else { return Ok(false) };
        (self.credential, self.renewed) = (other, true);
        Ok(true)
    }
}

/// The headers are made here; none of the agent's is passed on.
fn headers(
    intent: DecisionId,
    parcel: &Parcel<'_>,
    method: &Method,
    http: &Http,
    credential: &Credential,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(12);
    let text = |value: String| HeaderValue::from_str(&value).map_err(|e| Failure::not_sent(e.to_string()));
    headers.insert(INTENT, text(intent.to_string())?);
    let accept = if method == Method::GET { "text/event-stream" } else { "application/json, text/event-stream" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("chancery"));
    if method == Method::POST {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    match parcel.wire {
        Wire::Stateless => wire::headers_of(&parcel.message, parcel.params, &mut headers),
        Wire::Sessions(version) => {
            let agreed = parcel.place.session().and_then(|session| session.version.get().map(String::as_str));
            if let Some(version) = version.or(agreed) {
                wire::version_header(version, &mut headers);
            }
        }
    }
    if let Some(Link::Http(id)) = parcel.place.session().map(|session| &session.link) {
        headers.insert(SESSION, id.clone());
    }
    if let Some(event) = &parcel.last_event {
        headers.insert(LAST_EVENT, event.clone());
    }
    if let Some((name, value)) = &credential.header {
        headers.insert(name, value.clone());
    }
    if let Some(prover) = &credential.prover {
        let proof = prover.proof(method.as_str(), &http.url()).map_err(Failure::not_sent)?;
        headers.insert(DPOP, proof);
    }
    Ok(headers)
}

fn opened(parcel: &Parcel<'_>, response: &Response<Incoming>) -> Option<Link> {
    let fresh = matches!(parcel.place, Place::New) && response.status().is_success();
    response.headers().get(SESSION).filter(|_| fresh).map(|id| Link::Http(id.clone()))
}

async fn answer_of(response: Response<Incoming>, parcel: &Parcel<'_>, http: &Http) -> Result<Answer, Failure> {
    let status = response.status();
    refuse_status(status, parcel)?;
    if response.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Failure::not_understood("its answer is compressed, which was not asked for"));
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if kind == "text/event-stream" && status.is_success() {
        return Ok(Answer::Events(response.into_body()));
    }
    let limit = parcel.limit;
    let bytes = body::collect(response.into_body(), limit, http.idle).await;
    let bytes = bytes.map_err(|e| Failure::unknown(e.to_string()))?;
    let owed = matches!(parcel.message.form, Form::Request(_));
    match kind.as_str() {
        // What these two are answered with is a status; a body beside it is about no message.
        _ if matches!(parcel.message.form, Form::Listen | Form::End) => Ok(Answer::Accepted(status)),
        "application/json" if !bytes.is_empty() => Ok(Answer::Whole(status, bytes)),
        _ if status.is_success() && !owed => Ok(Answer::Accepted(status)),
        _ => Err(Failure::not_understood(format!("it answered {status} without a JSON-RPC message"))),
    }
}

/// Statuses that are about our credential or about another place are not the agent's business.
fn refuse_status(status: StatusCode, parcel: &Parcel<'_>) -> Result<(), Failure> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(Failure::failed(format!("it answered {status}: it did not accept the credential it was sent")))
        }
        status if status.is_redirection() => {
            Err(Failure::failed(format!("it answered {status}: redirects are not followed")))
        }
        StatusCode::NOT_FOUND if parcel.place.session().is_some() => Err(Failure::session_over()),
        _ => Ok(()),
    }
}

// --- stdio ----------------------------------------------------------------------------------------------------

async fn over_stdio(intent: DecisionId, program: &Program, parcel: Parcel<'_>) -> Result<Answered, Failure> {
    let mut message = parcel.message;
    let (child, opened) = match parcel.place {
        Place::In(session) => (child_of(session, parcel.credential)?, None),
        Place::New => {
            let child = program.start(parcel.credential)?;
            (child.clone(), Some(Link::Stdio(child)))
        }
        Place::Bare => (parcel.shared.ok_or_else(|| Failure::not_sent("it has no running process"))?, None),
    };
    let answer = match &message.form {
        Form::Request(_) => {
            message.set_meta(INTENT_META, intent.to_string().into());
            Answer::Reply(child.request(message).await?)
        }
        Form::Listen => Answer::Notes(child.listen()),
        Form::End => Answer::Accepted(StatusCode::NO_CONTENT),
        Form::Response(_) | Form::Notification => {
            tell(&child, message, intent).await?;
            Answer::Accepted(StatusCode::ACCEPTED)
        }
    };
    Ok(Answered { answer, opened, renewed: None })
}

/// Ids in a cancellation are ours at the child; one for a request that is over says nothing and is left out.
async fn tell(child: &Arc<Child>, mut message: Message, intent: DecisionId) -> Result<(), Failure> {
    if message.method() == "notifications/cancelled" {
        let id = message.param("requestId").and_then(crate::message::Id::read);
        let Some(number) = id.and_then(|id| child.number_of(&id)) else { return Ok(()) };
        message.set_param("requestId", number.into());
    }
    if message.form == Form::Notification {
        message.set_meta(INTENT_META, intent.to_string().into());
    }
    child.tell(&message).await
}

/// A child that was started with another credential than today's is not used any more: its session is over.
fn child_of(session: &Arc<McpSession>, credential: &Credential) -> Result<Arc<Child>, Failure> {
    match &session.link {
        Link::Stdio(child) if child.generation == credential.generation => Ok(child.clone()),
        Link::Stdio(_) => Err(Failure::outdated()),
        Link::Http(_) => Err(Failure::not_sent("the session belongs to another kind of upstream")),
    }
}
