//! What every request must pass before anything looks at it, and what every answer carries.
//!
//! A browser page of some other site can make its visitor's browser send requests to a loopback port, under a host
//! name of its own choosing (DNS rebinding). So the host name must be ours, and an `Origin`, where there is one, too.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use bytes::Bytes;
use chancery_model::problem::{BAD_ORIGIN, LEASE_OVER, NO_ENDPOINT, Problem, TOO_LARGE, TOO_SLOW};
use chancery_store::Lease;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use tower::ServiceExt;

use super::time::{Times, timed};
use crate::failure::Failure;
use crate::headers::single;

/// Bytes of all headers together. The reader stops near it; this is the exact bound.
const HEADER_BYTES: usize = 32 * 1024;

/// The names a door answers to.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    hosts: Arc<[String]>,
    origins: Arc<[String]>,
}

impl Names {
    /// Hosts with their ports, in lower case; origins of the same hosts under the given schemes.
    pub(crate) fn new(hosts: impl IntoIterator<Item = String>, schemes: &[&str]) -> Self {
        let hosts: Arc<[String]> = hosts.into_iter().map(|h| h.to_ascii_lowercase()).collect();
        let origins = hosts.iter().flat_map(|h| schemes.iter().map(move |s| format!("{s}://{h}"))).collect();
        Self { hosts, origins }
    }

    /// These and further hosts, which are reached by TLS.
    pub(crate) fn and(&self, hosts: Vec<String>) -> Self {
        let known = self.hosts.iter().cloned();
        Self::new(known.chain(hosts), &["https"])
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if length > HEADER_BYTES {
            let why = format!("{length} bytes of headers, over the limit of {HEADER_BYTES}");
            return Err(Problem { status: 431, ..Problem::new(TOO_LARGE, why) });
        }
        let host = single(headers, &header::HOST)?.unwrap_or_default();
        if !self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)) {
            return Err(Problem::new(BAD_ORIGIN, format!("Host is `{}`, none of this server's names", short(host))));
        }
        match single(headers, &header::ORIGIN)? {
            Some(origin) if !self.origins.iter().any(|ours| ours.eq_ignore_ascii_case(origin)) => {
                Err(Problem::new(BAD_ORIGIN, format!("Origin is `{}`, not this server's own", short(origin))))
            }
            _ => Ok(()),
        }
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Every address of a door, behind its guard. Not a layer of the router: on the hot path its boxes would show.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) names: Names,
    pub(crate) router: Router,
    pub(crate) times: Times,
    pub(crate) leave: Leave,
}

/// When a door answers, and to what.
#[derive(Clone, Default)]
pub(crate) struct Leave {
    /// Nothing is done by a node that may have missed a change.
    pub(crate) lease: Option<Arc<Lease>>,
    /// Calls and decisions only.
    pub(crate) only_gateway: bool,
}

impl Leave {
    fn check(&self, path: &str) -> Result<(), Problem> {
        if matches!(path, "/healthz" | "/readyz") {
            return Ok(());
        }
        if self.lease.as_ref().is_some_and(|lease| !lease.is_fresh()) {
            return Err(Problem::new(LEASE_OVER, "it has not heard from the database in time"));
        }
        let acts = || GATEWAY.iter().any(|prefix| path.starts_with(prefix));
        if self.only_gateway && !acts() {
            return Err(Problem::new(NO_ENDPOINT, "this node has the role `gateway`: another one does this"));
        }
        Ok(())
    }
}

/// What a node with the role `gateway` answers.
const GATEWAY: [&str; 5] = ["/mcp/", "/access/v1/", "/.well-known/", "/oauth/jwks", "/connections/"];

impl Door {
    /// Refuses foreign names and bodies that do not come, and puts the security headers on every answer.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (request, late) = timed(request, self.times.body);
        let checked = self.names.check(request.headers()).and_then(|()| self.leave.check(request.uri().path()));
        let mut response = match checked {
            Ok(()) => self.router.clone().oneshot(request).await.into_response(),
            Err(problem) => Failure::from(problem).into_response(),
        };
        if late.is_some_and(|late| late.happened()) {
            response = too_slow(self.times.body);
        }
        let page = response.extensions().get::<ContentPolicy>().map(|policy| policy.0);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page.unwrap_or(NO_CONTENT)));
        for (name, value) in SECURITY_HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in PAGE_HEADERS.into_iter().filter(|_| page.is_some()) {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

/// What the reader of the body made of its end is not the reason: this is.
fn too_slow(limit: Duration) -> Response {
    let problem = Problem::new(TOO_SLOW, format!("its body was not complete after {} s", limit.as_secs()));
    let mut response = Failure::from(problem).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Put into the extensions of an answer that is a page: what it may load. Answers without it may load nothing.
#[derive(Clone, Copy)]
pub(crate) struct ContentPolicy(pub(crate) &'static str);

const NO_CONTENT: &str = "default-src 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// For answers that are pages. With `no-referrer` a browser would say `Origin: null` when it sends our own forms.
const PAGE_HEADERS: [(HeaderName, &str); 4] = [
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];
