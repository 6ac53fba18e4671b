//! How authorization servers and their documents are reached: one request, one answer, read whole.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::error::ConnectError;
use super::form::Form;

/// One request.
#[derive(Clone)]
pub struct Ask {
    /// Its method.
    pub method: Method,
    /// Where it goes: `https`, or `http` to this machine.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Sends requests to where an upstream server or an authorization server said. Whoever implements it refuses
/// addresses that are not for us, follows no redirects, and bounds time and size. The error says why there is no answer.
pub trait Exchange: Send + Sync + 'static {
    /// Sends one request.
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, String>>;
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Ask {
    /// Reads a JSON document.
    pub(super) fn get(url: &str) -> Self {
        let ask = Self { method: Method::GET, url: url.to_owned(), headers: HeaderMap::new(), body: Bytes::new() };
        ask.with(header::ACCEPT, HeaderValue::from_static("application/json"))
    }

    /// Sends a form.
    pub(super) fn form(url: &str, form: &Form) -> Self {
        Self { method: Method::POST, body: form.to_bytes(), ..Self::get(url) }
            .with(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
    }

    /// Sends JSON.
    pub(super) fn json(url: &str, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, body: body.to_string().into(), ..Self::get(url) }
            .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header that is a secret, or made of what somebody else said.
    pub(super) fn secret(self, name: HeaderName, value: &str) -> Result<Self, ConnectError> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| ConnectError::refused(format!("what was to stand in `{name}` cannot stand in a header")))?;
        value.set_sensitive(true);
        Ok(self.with(name, value))
    }
}
