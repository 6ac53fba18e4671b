//! The socket of the Workload API: who connects is known by the socket's credentials.

use std::collections::HashMap;
use std::convert::Infallible;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_model::problem::{BAD_CONFIG, Problem};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::attest::Workloads;
use super::calls;
use super::lenient::Lenient;
use crate::door::listen::Closing;

/// Connections at one time.
const CONNECTIONS: usize = 256;
/// Of these at the most so many of one user id: nobody takes the places of all others.
const EACH: usize = 32;
/// Calls at one time on each of them: a client has one stream per kind of message.
const CALLS: u32 = 32;
/// Bytes of all headers of a call.
const HEADER_BYTES: u32 = 8 * 1024;
/// A connection that does not answer this often is dropped.
const ALIVE: Duration = Duration::from_secs(30);
/// After an accept that failed, for instance because there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds the socket with its mode. A socket that is left of a dead server is taken away; one that somebody listens
/// on, or a file that is none, is not.
pub(crate) async fn bind(path: &Path, mode: u32) -> Result<UnixListener, Problem> {
    let cannot = |why: String| {
        Problem::new(BAD_CONFIG, format!("spiffe.workload_socket: {}: {why}", path.display()))
            .next("choose a path of less than 100 bytes in a directory that is there, and that nobody else listens on")
    };
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(cannot("there is a file that is no socket".into()));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(cannot("somebody listens there".into()));
        }
        std::fs::remove_file(path).map_err(|e| cannot(e.to_string()))?;
    }
    let listener = UnixListener::bind(path).map_err(|e| cannot(e.to_string()))?;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(|e| cannot(e.to_string()))?;
    Ok(listener)
}

/// Serves the Workload API until it is closed.
pub(crate) async fn serve(listener: UnixListener, workloads: Workloads, closing: Closing) {
    let (room, users) = (Arc::new(Semaphore::new(CONNECTIONS)), Users::default());
    loop {
        let accepted = tokio::select! {
            () = closing.cancel.cancelled() => return,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, uid, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(user) = users.enter(uid) else {
            tracing::debug!(uid, "too many connections of one user id to the Workload API");
            continue;
        };
        let one = connection(stream, uid, workloads.clone(), closing.clone());
        closing.tasks.spawn(async move {
            one.await;
            drop((place, user));
        });
    }
}

/// How many connections each user id has.
#[derive(Clone, Default)]
struct Users(Arc<Mutex<HashMap<u32, usize>>>);

/// One connection of a user id; it counts until it is dropped.
struct User {
    of: Users,
    uid: u32,
}

impl Users {
    fn enter(&self, uid: u32) -> Option<User> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(uid).or_default();
        if *count >= EACH {
            return None;
        }
        *count += 1;
        Some(User { of: self.clone(), uid })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.uid);
            }
        }
    }
}

async fn accept(
    listener: &UnixListener,
    room: &Arc<Semaphore>,
) -> Option<(UnixStream, u32, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    let uid = stream.peer_cred().ok()?.uid();
    Some((stream, uid, place))
}

async fn connection(stream: UnixStream, uid: u32, workloads: Workloads, closing: Closing) {
    let cancel = closing.cancel.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (workloads, cancel) = (workloads.clone(), cancel.clone());
        async move { Ok::<_, Infallible>(calls::answer(request, uid, workloads, cancel).await) }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(CALLS)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    let connection = http.serve_connection(TokioIo::new(Lenient::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the Workload API ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_does_not_take_the_places_of_others() {
        let users = Users::default();
        let mut own: Vec<User> = (0..EACH).filter_map(|_| users.enter(1)).collect();
        assert_eq!(own.len(), EACH);
        assert!(users.enter(1).is_none() && users.enter(2).is_some());
        own.pop();
        assert!(users.enter(1).is_some());
        drop(own);
        assert!(users.0.lock().unwrap().is_empty());
    }
}
