//! What is asked.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// The body limit of documents that agents or strangers name, in bytes.
const DOCUMENT: usize = 64 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) limit: usize,
}

impl Ask {
    /// For a document of at most 64 KiB.
    pub fn get(url: impl Into<String>) -> Self {
        Self { method: Method::GET, url: url.into(), headers: HeaderMap::new(), body: Bytes::new(), limit: DOCUMENT }
    }

    /// Sends a body and reads an answer of at most 64 KiB.
    pub fn post(url: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let asked = Self { method: Method::POST, body: body.into(), ..Self::get(url) };
        asked.header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// States what is understood.
    #[must_use]
    pub fn accept(self, types: &'static str) -> Self {
        self.header(ACCEPT, HeaderValue::from_static(types))
    }

    /// Sets a header. `Host`, `User-Agent` and `Connection` are the fetcher's own.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Reads an answer of at most this many bytes.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }
}
