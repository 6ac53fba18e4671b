//! Accepting connections: HTTP/1.1 with limits on headers and time, ended in order.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use chancery_authenticate::ShownCertificates;
use chancery_model::problem::{INTERNAL, Problem};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin::Peer;
use super::guard::Door;
use super::time::Patient;
use super::tls::shown;
use crate::failure::Failure;

/// Bytes of request line and headers together.
const HEADER_BYTES: usize = 32 * 1024;
/// Number of headers.
const HEADERS: usize = 100;
/// Connections at one time, each door.
const CONNECTIONS: usize = 4096;
/// After an accept that failed, for instance because there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What ends a door: stop accepting, let requests that are under way end, and wait for them.
#[derive(Clone)]
pub(crate) struct Closing {
    pub(crate) cancel: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Serves the TCP door until it is closed.
pub(crate) async fn tcp(listener: TcpListener, door: Door, closing: Closing) {
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    while let Some((stream, permit)) = accepted(&listener, &room, &closing).await {
        let from = from(&stream);
        let stream = Patient::new(stream, door.times.answer);
        let one = connection(stream, door.clone(), Other::Client(from, None), closing.clone());
        closing.tasks.spawn(async move {
            one.await;
            drop(permit);
        });
    }
}

/// Serves the TLS door until it is closed. A handshake has as long as headers have, in a task of its own.
pub(crate) async fn tls(listener: TcpListener, acceptor: TlsAcceptor, door: Door, closing: Closing) {
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    while let Some((stream, permit)) = accepted(&listener, &room, &closing).await {
        let from = from(&stream);
        let handshake = tokio::time::timeout(door.times.headers, acceptor.accept(stream));
        let (door, closing) = (door.clone(), closing.clone());
        closing.tasks.clone().spawn(async move {
            match handshake.await {
                Ok(Ok(stream)) => {
                    let shown = shown(stream.get_ref().1);
                    let stream = Patient::new(stream, door.times.answer);
                    connection(stream, door, Other::Client(from, shown), closing).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
            drop(permit);
        });
    }
}

/// Serves the admin door until it is closed. Whoever connects is known by the socket's credentials.
pub(crate) async fn unix(listener: UnixListener, door: Door, closing: Closing) {
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    while let Some(permit) = turn(&room, &closing).await {
        let accepted = tokio::select! {
            () = closing.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Some((stream, peer)) =
            accepted.ok().and_then(|(s, _)| s.peer_cred().ok().map(|c| (s, Peer::Local(c.uid()))))
        else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let one = connection(stream, door.clone(), Other::Administrator(peer), closing.clone());
        closing.tasks.spawn(async move {
            one.await;
            drop(permit);
        });
    }
}

/// The next connection and its place; nothing once the door is closed.
async fn accepted(
    listener: &TcpListener,
    room: &Arc<tokio::sync::Semaphore>,
    closing: &Closing,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    loop {
        let permit = turn(room, closing).await?;
        let accepted = tokio::select! {
            () = closing.cancel.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            // Answers are small: waiting to fill a segment would only add latency.
            let _ = stream.set_nodelay(true);
            return Some((stream, permit));
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn turn(room: &Arc<tokio::sync::Semaphore>, closing: &Closing) -> Option<tokio::sync::OwnedSemaphorePermit> {
    tokio::select! {
        () = closing.cancel.cancelled() => None,
        permit = room.clone().acquire_owned() => permit.ok(),
    }
}

/// Who is at the other end.
#[derive(Clone)]
enum Other {
    /// A client: where it is, and the certificates it showed.
    Client(Option<IpAddr>, Option<ShownCertificates>),
    /// A user of this machine.
    Administrator(Peer),
}

async fn connection<S>(stream: S, door: Door, other: Other, closing: Closing)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (times, tasks) = (door.times, closing.tasks);
    let door = Arc::new(door);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let seen_through = match &other {
            Other::Administrator(peer) => {
                request.extensions_mut().insert(peer.clone());
                Some(tasks.clone())
            }
            Other::Client(from, shown) => {
                shown.clone().map(|shown| request.extensions_mut().insert(shown));
                // Nobody else asks, and calls are in a hurry.
                if request.uri().path().starts_with("/sign-in/") {
                    from.map(|from| request.extensions_mut().insert(RemoteAddress(from)));
                }
                request.uri().path().starts_with("/v1/").then(|| tasks.clone())
            }
        };
        let door = Arc::clone(&door);
        async move {
            Ok::<_, Infallible>(match seen_through {
                Some(tasks) => see_through(&tasks, async move { door.answer(request).await }).await,
                None => door.answer(request).await,
            })
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(times.headers).max_buf_size(HEADER_BYTES).max_headers(HEADERS);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Where a request comes from, as far as the connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteAddress(pub(crate) IpAddr);

fn from(stream: &TcpStream) -> Option<IpAddr> {
    stream.peer_addr().ok().map(|address| address.ip())
}

/// Answers in a task of its own. What an administrator began is done to its end, also when they leave in the middle:
/// a change that is committed must not be left without what follows from it.
async fn see_through(tasks: &TaskTracker, answer: impl Future<Output = Response> + Send + 'static) -> Response {
    let answered = tasks.spawn(answer).await;
    answered.unwrap_or_else(|e| Failure::from(Problem::new(INTERNAL, e.to_string())).into_response())
}

#[cfg(test)]
mod tests;
