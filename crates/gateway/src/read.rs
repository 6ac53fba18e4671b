//! Reading a request: its body within limits, its message once, and the headers that say who sends it.

use bytes::Bytes;
use chancery_authenticate::{At, Caller, Refused, RequestFacts, ShownCertificates};
use chancery_model::problem;
use http::{HeaderMap, HeaderName, Method, StatusCode, header, request};

use crate::body::{self, BodyError, BoxError};
use crate::gateway::Gateway;
use crate::message::{Form, Message};
use crate::refusal::{Refusal, rpc};

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Reads the message of a request. GET and DELETE have no body, and stand for messages of their own.
pub(crate) async fn message<B>(gateway: &Gateway, head: &request::Parts, body: B) -> Result<Message, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match head.method {
        Method::GET => {
            accepts(&head.headers, &["text/event-stream"])?;
            return Ok(Message::bodiless(Form::Listen));
        }
        Method::DELETE => return Ok(Message::bodiless(Form::End)),
        _ => {}
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
        return Err(
            Refusal::malformed("Content-Type is not application/json").status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        );
    }
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::malformed("compressed bodies are not read").status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    accepts(&head.headers, &["application/json", "text/event-stream"])?;
    let (limit, time) = (gateway.config.limits.body, gateway.config.timeouts.body);
    let whole = tokio::time::timeout(time, body::collect(body, limit, time)).await;
    let bytes = whole.unwrap_or(Err(BodyError::TimedOut(time))).map_err(unread)?;
    Message::read(&bytes)
}

fn unread(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge(_) => Refusal::new(problem::TOO_LARGE, rpc::INVALID_REQUEST, error.to_string()),
        BodyError::TimedOut(_) => Refusal::new(problem::TOO_SLOW, rpc::INVALID_REQUEST, error.to_string()),
        BodyError::Broken(_) => Refusal::malformed(error.to_string()),
    }
}

/// An answer may be a message or a stream of them: a client must take both (MCP, Streamable HTTP).
fn accepts(headers: &HeaderMap, kinds: &[&str]) -> Result<(), Refusal> {
    let listed: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let listed = || listed.iter().flat_map(|value| value.split(','));
    let range = |entry: &str| entry.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let taken = |kind: &str| {
        let class = kind.split('/').next().unwrap_or("");
        listed().map(range).any(|range| range == kind || range == "*/*" || range == format!("{class}/*"))
    };
    match kinds.iter().find(|kind| !taken(kind)) {
        Some(kind) => Err(Refusal::malformed(format!("Accept lacks {kind}")).status(StatusCode::NOT_ACCEPTABLE)),
        None => Ok(()),
    }
}

/// Who sends a request to the server at `path`: a valid token for exactly this resource, and proof of its key.
pub(crate) fn caller(gateway: &Gateway, head: &request::Parts) -> Result<Caller, Refusal> {
    let url = format!("{}{}", gateway.config.public_url, head.uri.path());
    let facts = RequestFacts {
        method: head.method.as_str(),
        url: &url,
        authorization: once(&head.headers, &header::AUTHORIZATION)?,
        dpop: once(&head.headers, &DPOP)?,
        certificate: head.extensions.get::<ShownCertificates>().map(ShownCertificates::leaf),
        audience: &url,
    };
    gateway.authenticator.caller(&facts).map_err(stopped)
}

/// Is the caller of a request still in force, and is where it goes to open?
pub(crate) fn still(gateway: &Gateway, caller: &Caller, server: &str, tool: Option<&str>) -> Result<(), Refusal> {
    let audience = gateway.resource(server);
    gateway.authenticator.still(caller, At { audience: &audience, server, tool }).map_err(stopped)
}

/// Is this place open to anybody?
pub(crate) fn opens(gateway: &Gateway, server: &str, tool: Option<&str>) -> Result<(), Refusal> {
    match gateway.authenticator.contained_place(server, tool) {
        None => Ok(()),
        Some(id) => Err(Refusal::new(problem::CONTAINED, rpc::DENIED, format!("{id} stops it"))),
    }
}

/// The refusal of whoever is not in force.
pub(crate) fn stopped(refused: Refused) -> Refusal {
    let mut refusal = Refusal::new(refused.row, rpc::DENIED, refused.why.clone());
    for challenge in refused.challenges() {
        refusal = refusal.header(header::WWW_AUTHENTICATE, &challenge);
    }
    refusal
}

/// A header that stands at most once; whoever reads the first of two and whoever reads the last must agree.
fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::malformed(format!("{name} stands more than once"))),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| Refusal::malformed(format!("{name} has characters beyond ASCII")))
        }
    }
}
