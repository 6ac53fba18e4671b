//! A plain HTTP client for tests: one request, one answer, bounded in time and size.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

/// Nothing in a test waits longer for an answer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The most an answer may have.
const LARGEST: usize = 64 << 20;

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(e) => panic!("{}: not JSON ({e}): {}", self.status, self.text()),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One header as text; empty if it is not there.
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
    }

    /// The JSON of a success.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The code of a problem (RFC 9457) with this status.
    ///
    /// # Panics
    /// If it is another status or no problem.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A client with pooled connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// A fresh pool.
    pub fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request and reads the answer whole.
    ///
    /// # Panics
    /// If there is none in [`LONGEST_WAIT`].
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let exchange = async {
            let response = self.client.request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.expect("a body").to_bytes();
            Answer { status: parts.status, headers: parts.headers, body }
        };
        tokio::time::timeout(LONGEST_WAIT, exchange).await.expect("an answer in time")
    }

    /// `GET`.
    pub async fn get(&self, url: &str) -> Answer {
        self.send(Request::get(url).body(Full::default()).expect("a request")).await
    }

    /// `POST` of JSON with further headers.
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut request = Request::post(url).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(Bytes::from(body.to_string()))).expect("a request")).await
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// One request over a unix socket.
///
/// # Panics
/// If there is no answer in [`LONGEST_WAIT`].
pub async fn unix(socket: &Path, method: Method, path: &str, body: &Value) -> Answer {
    let exchange = async {
        let stream = tokio::net::UnixStream::connect(socket).await.expect("the admin socket");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = Limited::new(body, LARGEST).collect().await.expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    };
    tokio::time::timeout(LONGEST_WAIT, exchange).await.expect("an answer in time")
}
