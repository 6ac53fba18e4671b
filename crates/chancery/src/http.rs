//! Speaking to the server: its admin socket, and its TCP door.

use std::path::PathBuf;

use ::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use chancery_model::Problem;
use chancery_model::problem::{BAD_ANSWER, UNREACHABLE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use crate::failure::{Done, Failure};

/// The most an answer that is read whole may have.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The admin API of the server that has this socket.
#[derive(Clone, Debug)]
pub struct Admin {
    socket: PathBuf,
}

impl Admin {
    /// By the socket's path.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Done<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Does something.
    pub async fn post(&self, path: &str, body: &Value) -> Done<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Stores something under a name.
    pub async fn put(&self, path: &str, body: &Value) -> Done<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Done<Value> {
        self.call(Method::DELETE, path, None).await
    }

    /// Reads something that may be long, as it comes.
    pub async fn stream(&self, path: &str) -> Done<Incoming> {
        let response = self.send(Method::GET, path, None).await?;
        if response.status().is_success() { Ok(response.into_body()) } else { Err(refusal(response).await) }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Done<Value> {
        answer(self.send(method, path, body).await?).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Done<Response<Incoming>> {
        self.send_bytes(method, path, Bytes::from(body.map(Value::to_string).unwrap_or_default())).await
    }

    /// Hands over documents, one a line.
    pub async fn post_lines(&self, path: &str, lines: Vec<u8>) -> Done<Value> {
        answer(self.send_bytes(Method::POST, path, lines.into()).await?).await
    }

    async fn send_bytes(&self, method: Method, path: &str, bytes: Bytes) -> Done<Response<Incoming>> {
        let unreachable = |e: std::io::Error| Failure::new(UNREACHABLE, format!("{}: {e}", self.socket.display()));
        let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(bytes))
            .map_err(bad_answer)?;
        exchange(TokioIo::new(stream), request).await
    }
}

/// One request to the TCP door.
pub async fn tcp(url: &str, request: Request<Full<Bytes>>) -> Done<(StatusCode, Bytes)> {
    let authority = url.strip_prefix("http://").unwrap_or(url);
    let authority = authority.split('/').next().unwrap_or(authority);
    let unreachable = |e: std::io::Error| Failure::new(UNREACHABLE, format!("{url}: {e}"));
    let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
    let response = exchange(TokioIo::new(stream), request).await?;
    let status = response.status();
    Ok((status, whole(response).await?))
}

async fn exchange<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Done<Response<Incoming>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(bad_answer)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(bad_answer)
}

/// The document of an answer; what a server refuses is a failure.
async fn answer(response: Response<Incoming>) -> Done<Value> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let bytes = whole(response).await?;
    if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes).map_err(bad_answer) }
}

async fn whole(response: Response<Incoming>) -> Done<Bytes> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(bad_answer)
}

async fn refusal(response: Response<Incoming>) -> Failure {
    let status = response.status();
    match whole(response).await {
        Ok(bytes) => refused(status, &bytes),
        Err(failure) => failure,
    }
}

/// The problem a server answered with.
pub fn refused(status: StatusCode, bytes: &[u8]) -> Failure {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => problem.into(),
        Err(_) => Failure::new(BAD_ANSWER, format!("{status}: {}", String::from_utf8_lossy(bytes))),
    }
}

fn bad_answer(error: impl std::fmt::Display) -> Failure {
    Failure::new(BAD_ANSWER, error)
}

/// A text as one segment of a path or one value of a query (RFC 3986, section 2.1).
pub fn encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A query of those parameters that are there.
pub fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| value.map(|v| format!("{name}={}", encoded(v))));
    let joined = given.collect::<Vec<_>>().join("&");
    if joined.is_empty() { joined } else { format!("?{joined}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(encoded("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(query(&[("agent", Some("a&b=c")), ("since", None)]), "?agent=a%26b%3Dc");
        assert_eq!(query(&[("agent", None)]), "");
    }
}
