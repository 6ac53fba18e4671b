//! A bounded load generator: raw HTTP/1.1 over kept-alive connections, requests prepared beforehand, every answer read
//! to its end and looked at. It runs on one thread, so that it never takes more than one core from the server.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::process::Server;
use crate::{Fallible, text, usage};

/// No run may take longer.
const LIMIT: Duration = Duration::from_secs(120);

/// What is sent to whom.
pub struct Plan<'a> {
    /// To whom.
    pub server: &'a Server,
    /// Requests as bytes; taken in turn, from the start again when they are used up.
    pub requests: &'a [Vec<u8>],
    /// How many are sent in all.
    pub count: usize,
    /// Over so many connections, one request in flight on each.
    pub connections: usize,
    /// What each answer must contain beside status 200.
    pub expect: &'a str,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests a second.
    pub rate: f64,
    /// Middle latency in microseconds.
    pub p50: f64,
    /// Latency that one of a hundred exceeds, in microseconds.
    pub p99: f64,
    /// The server's processor time for a request in microseconds.
    pub cpu: f64,
}

struct Shared {
    next: usize,
    latencies: Vec<f64>,
}

impl Plan<'_> {
    /// Sends everything. An answer that is not what was expected fails the run.
    pub fn run(&self) -> Fallible<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
        let before = self.processor()?;
        let since = Instant::now();
        let limited = runtime.block_on(async { tokio::time::timeout(LIMIT, self.send()).await });
        let latencies = limited.map_err(|_| format!("not done after {LIMIT:?}"))??;
        let seconds = since.elapsed().as_secs_f64();
        let cpu = (self.processor()? - before).as_secs_f64() * 1e6 / self.count as f64;
        let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or(f64::NAN);
        Ok(Outcome { rate: self.count as f64 / seconds, p50: at(50), p99: at(99), cpu })
    }

    fn processor(&self) -> Fallible<Duration> {
        self.server.pids.iter().map(|pid| usage::processor(*pid)).sum()
    }

    async fn send(&self) -> Fallible<Vec<f64>> {
        let shared = Rc::new(RefCell::new(Shared { next: 0, latencies: Vec::with_capacity(self.count) }));
        let connections = (0..self.connections).map(|_| self.connection(Rc::clone(&shared)));
        connections.collect::<FuturesUnordered<_>>().try_collect::<()>().await?;
        let mut latencies = std::mem::take(&mut shared.borrow_mut().latencies);
        latencies.sort_by(f64::total_cmp);
        Ok(latencies)
    }

    async fn connection(&self, shared: Rc<RefCell<Shared>>) -> Fallible {
        match &self.server.socket {
            None => self.over(connect(self.server.address).await?, shared).await,
            Some(socket) => self.over(connect_socket(socket).await?, shared).await,
        }
    }

    async fn over(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: Rc<RefCell<Shared>>) -> Fallible {
        let mut buffer = Vec::with_capacity(16 * 1024);
        loop {
            let turn = shared.borrow().next;
            if turn == self.count {
                return Ok(());
            }
            shared.borrow_mut().next += 1;
            let since = Instant::now();
            exchange(&mut stream, &self.requests[turn % self.requests.len()], &mut buffer).await?;
            let taken = since.elapsed().as_secs_f64() * 1e6;
            self.look_at(&buffer)?;
            shared.borrow_mut().latencies.push(taken);
        }
    }

    fn look_at(&self, answer: &[u8]) -> Fallible {
        let fine = answer.starts_with(b"HTTP/1.1 200") && contains(answer, self.expect.as_bytes());
        if fine { Ok(()) } else { Err(format!("unexpected answer: {}", String::from_utf8_lossy(answer))) }
    }
}

/// Sends one request over a connection of its own and returns the whole answer.
pub fn once(address: SocketAddr, request: &[u8]) -> Fallible<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    let mut buffer = Vec::new();
    runtime.block_on(async {
        let mut stream = connect(address).await?;
        exchange(&mut stream, request, &mut buffer).await
    })?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// The same to a server, through its socket where it has one.
pub fn once_at(server: &Server, request: &[u8]) -> Fallible<String> {
    let Some(socket) = &server.socket else { return once(server.address, request) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    let mut buffer = Vec::new();
    runtime.block_on(async {
        let mut stream = connect_socket(socket).await?;
        exchange(&mut stream, request, &mut buffer).await
    })?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// A POST with a JSON body.
pub fn post(path: &str, host: SocketAddr, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n{body}")
        .into_bytes()
}

async fn connect(address: SocketAddr) -> Fallible<TcpStream> {
    let stream = TcpStream::connect(address).await.map_err(|why| format!("cannot connect to {address}: {why}"))?;
    stream.set_nodelay(true).map_err(text)?;
    Ok(stream)
}

async fn connect_socket(socket: &Path) -> Fallible<UnixStream> {
    UnixStream::connect(socket).await.map_err(|why| format!("cannot connect to {}: {why}", socket.display()))
}

async fn exchange<S>(stream: &mut S, request: &[u8], buffer: &mut Vec<u8>) -> Fallible
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await.map_err(|why| format!("cannot send: {why}"))?;
    buffer.clear();
    while !whole(buffer) {
        let read = stream.read_buf(buffer).await.map_err(|why| format!("cannot receive: {why}"))?;
        if read == 0 {
            return Err(format!("the connection ended after {}", String::from_utf8_lossy(buffer)));
        }
    }
    Ok(())
}

/// Is the answer there to its end, by its Content-Length or its last chunk?
fn whole(answer: &[u8]) -> bool {
    let Some(head) = find(answer, b"\r\n\r\n") else { return false };
    let (headers, body) = (&answer[..head], &answer[head + 4..]);
    match header(headers, "content-length").and_then(|value| value.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n") || header(headers, "transfer-encoding").is_none(),
    }
}

fn header<'a>(headers: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(headers).ok()?;
    let mut pairs = text.split("\r\n").filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The value of a header of a whole answer.
pub fn header_of<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    header(answer.split("\r\n\r\n").next()?.as_bytes(), name)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || find(text, part).is_some()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_answer_is_seen() {
        assert!(!whole(b"HTTP/1.1 200 OK\r\n"));
        assert!(!whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"));
        assert!(whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"));
        assert!(!whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"));
        assert!(whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"));
    }

    #[test]
    fn a_post_is_well_formed() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let text = String::from_utf8(post("/a", address, &[("X", "y")], "{}")).unwrap();
        assert!(text.starts_with("POST /a HTTP/1.1\r\nHost: 127.0.0.1:9\r\n") && text.ends_with("X: y\r\n\r\n{}"));
    }
}
