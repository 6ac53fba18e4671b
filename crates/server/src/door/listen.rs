//! Accepting connections: HTTP/1.1 with limits on headers and time, ended in order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin::Peer;
use super::guard::Door;

/// Bytes of request line and headers together.
const HEADER_BYTES: usize = 32 * 1024;
/// Number of headers.
const HEADERS: usize = 100;
/// Until the headers are complete.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Connections at one time, each door.
const CONNECTIONS: usize = 1024;
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
    while let Some(permit) = turn(&room, &closing).await {
        let accepted = tokio::select! {
            () = closing.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Answers are small: waiting to fill a segment would only add latency.
        let _ = stream.set_nodelay(true);
        let one = connection(stream, door.clone(), None, closing.cancel.clone());
        closing.tasks.spawn(async move {
            one.await;
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
        let Some((stream, peer)) = accepted.ok().and_then(|(s, _)| s.peer_cred().ok().map(|c| (s, Peer(c.uid()))))
        else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let one = connection(stream, door.clone(), Some(peer), closing.cancel.clone());
        closing.tasks.spawn(async move {
            one.await;
            drop(permit);
        });
    }
}

async fn turn(room: &Arc<tokio::sync::Semaphore>, closing: &Closing) -> Option<tokio::sync::OwnedSemaphorePermit> {
    tokio::select! {
        () = closing.cancel.cancelled() => None,
        permit = room.clone().acquire_owned() => permit.ok(),
    }
}

async fn connection<S>(stream: S, door: Door, peer: Option<Peer>, cancel: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let door = Arc::new(door);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request.map(Body::new)).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES).max_headers(HEADERS);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
