//! OpenID Shared Signals Framework 1.0: what receivers of our events read and ask for, and where others send theirs.

use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::{RequestFacts, ShownCertificates};
use chancery_model::AgentKind;
use chancery_model::problem::{DENIED, NEEDS_SCOPE, Problem};
use chancery_oversee::signals::{Admitted, SignalError};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;

use crate::authzen::unauthorized;
use crate::failure::Failure;
use crate::headers::single;
use crate::rooms::Rooms;

pub(crate) mod metadata;
pub(crate) mod poll;
pub(crate) mod receive;
pub(crate) mod status;
pub(crate) mod streams;
pub(crate) mod subjects;
pub(crate) mod verify;

const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The scope with which streams are read and polled.
pub(crate) const READ: &str = "ssf.read";
/// The scope with which they are changed besides.
pub(crate) const MANAGE: &str = "ssf.manage";
/// Both (CAEP Interoperability Profile 1.0, section 2.7.2).
pub(crate) const SCOPES: &[&str] = &[READ, MANAGE];

/// The certificates of the connection.
pub(crate) type Shown = Option<Extension<ShownCertificates>>;

/// The resource that tokens of receivers are for.
pub(crate) fn resource(url: &str) -> String {
    format!("{url}/ssf")
}

/// A request of somebody who wants to be told things.
pub(crate) struct Asked<'r> {
    pub(crate) method: Method,
    /// The path below the resource.
    pub(crate) path: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) shown: Shown,
}

impl Asked<'_> {
    /// Who asks: a service account that the configuration names, with a token for this, of this scope. What may be read
    /// with `ssf.read` may be read with `ssf.manage` too.
    pub(crate) fn receiver(&self, rooms: &Rooms, scope: &str) -> Result<Admitted, Box<Response>> {
        let audience = resource(&rooms.url);
        let read =
            |name: &HeaderName| single(self.headers, name).map_err(|p| Box::new(Failure::from(p).into_response()));
        let facts = RequestFacts {
            method: self.method.as_str(),
            url: &format!("{audience}{}", self.path),
            authorization: read(&header::AUTHORIZATION)?,
            dpop: read(&DPOP)?,
            certificate: self.shown.as_deref().map(ShownCertificates::leaf),
            audience: &audience,
        };
        let caller = rooms.authenticator.caller(&facts).map_err(|refused| Box::new(unauthorized(&refused)))?;
        if !(caller.has_scope(scope) || caller.has_scope(MANAGE)) {
            return Err(Box::new(needs(scope)));
        }
        if caller.agent.kind != AgentKind::ServiceAccount {
            let why = format!("`{}` is not a service account: only those receive signals", caller.agent.name);
            return Err(Box::new(Failure::from(Problem::new(DENIED, why)).into_response()));
        }
        rooms.signals.transmitter.admit(caller.agent).map_err(refused)
    }
}

/// RFC 6750, section 3.1.
fn needs(scope: &str) -> Response {
    let problem = Problem::new(NEEDS_SCOPE, format!("it needs the scope `{scope}`"));
    let mut response = Failure::from(problem).into_response();
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    if let Ok(value) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

/// The answer to what cannot be done.
pub(crate) fn refused(error: SignalError) -> Box<Response> {
    Box::new(Failure::from(error).into_response())
}

/// A JSON body. What it lacks is told after who asks is known.
pub(crate) fn body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Box<Response>> {
    let bad = |e: serde_json::Error| {
        let problem = Problem::new(chancery_model::problem::BAD_STREAM, format!("the body: {e}"));
        Box::new(Failure::from(problem).into_response())
    };
    serde_json::from_slice(body).map_err(bad)
}

/// One way out of a handler.
pub(crate) fn answer(done: Result<Response, Box<Response>>) -> Response {
    done.unwrap_or_else(|refused| *refused)
}

impl From<SignalError> for Failure {
    fn from(error: SignalError) -> Self {
        Problem::new(error.row, error.why).into()
    }
}
