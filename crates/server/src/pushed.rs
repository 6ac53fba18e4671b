//! What is contained, told to others who enforce it, as it changes.
//!
//! Whoever listens is told first what is in force, then each containment and its end, in order, and with every beat for
//! how long this node is sure to know everything. Nobody is waited for: whoever does not take what they are told is cut,
//! asks again, and is told first what is in force.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::{At, Caller};
use chancery_model::problem::{Problem, TOO_MANY_LISTENERS};
use chancery_model::{Changed, Containment, ContainmentId, Span};
use chancery_store::{Lease, Stop, Store, StoreError, containments};
use futures_util::stream;
use http::header;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::api::containments::View;
use crate::rooms::Rooms;

/// Events that wait for a listener. Whoever is further behind is cut.
const BEHIND: usize = 256;
/// Listeners at one node.
const LISTENERS: usize = 2_048;
/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// What a node is sure of that shares its database with nobody: as long as another one's lease.
const SURE: Span = Span::seconds(2);

/// Everybody who listens, and what they are told.
pub(crate) struct Pushed {
    state: Arc<Mutex<State>>,
    lease: Arc<Lease>,
}

struct State {
    /// Those in force. Of one that was lifted while they were read, that it was.
    known: HashMap<ContainmentId, Option<Arc<Containment>>>,
    /// The number of the last change.
    number: u64,
    told: broadcast::Sender<Bytes>,
}

/// Somebody who listens.
struct Listener {
    first: Option<Bytes>,
    told: broadcast::Receiver<Bytes>,
    beat: Interval,
    lease: Arc<Lease>,
    closing: CancellationToken,
}

/// What is in force.
#[derive(Serialize)]
struct Standing {
    number: u64,
    items: Vec<View>,
}

/// A containment, or its end.
#[derive(Serialize)]
struct Event {
    number: u64,
    #[serde(flatten)]
    containment: View,
}

/// For how long this node is sure to know everything.
#[derive(Serialize)]
struct Beat {
    good_for_ms: i64,
}

impl Pushed {
    /// Follows the store from now on.
    ///
    /// # Errors
    /// What is in force cannot be read.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let state = State { known: HashMap::new(), number: 0, told: broadcast::channel(BEHIND).0 };
        let state = Arc::new(Mutex::new(state));
        let following = Arc::clone(&state);
        // It has nothing to end; but here changes have their numbers.
        store.end_with(Box::new(move |stop| {
            if let Stop::Changed(number, Changed::Containment(containment)) = stop {
                lock(&following).changed(number, containment);
            }
            None
        }));
        let standing = containments::standing(store).await?;
        let mut known = lock(&state);
        for containment in standing {
            known.known.entry(containment.id.clone()).or_insert_with(|| Some(Arc::new(containment)));
        }
        known.known.retain(|_, containment| containment.is_some());
        drop(known);
        Ok(Self { state, lease: Arc::clone(store.lease()) })
    }

    /// Server-sent events (WHATWG HTML, section 9.2) until the listener leaves, falls behind or is not in force any more,
    /// or this node ends or is not sure any more.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn listen(rooms: &Arc<Rooms>, caller: Option<Caller>) -> Result<Response, Problem> {
        let listener = rooms.pushed.listener(rooms.closing.clone())?;
        let events = stream::unfold((listener, rooms.clone(), caller), |(mut listener, rooms, caller)| async move {
            let event = tokio::select! {
                biased;
                () = stopped(&rooms, caller.as_ref()) => None,
                event = listener.next() => event,
            };
            Some((Ok::<_, std::convert::Infallible>(event?), (listener, rooms, caller)))
        });
        let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        Ok((headers, Body::from_stream(events)).into_response())
    }

    fn listener(&self, closing: CancellationToken) -> Result<Listener, Problem> {
        let state = lock(&self.state);
        if state.told.receiver_count() >= LISTENERS {
            return Err(Problem::new(TOO_MANY_LISTENERS, format!("{LISTENERS} listen already")));
        }
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // In one moment: nothing is told twice, and nothing is left out.
        let (first, told) = (state.standing(), state.told.subscribe());
        Ok(Listener { first: Some(first), told, beat, lease: Arc::clone(&self.lease), closing })
    }
}

impl State {
    fn changed(&mut self, number: Option<u64>, containment: &Arc<Containment>) {
        // Where there is one node, changes have no numbers: containments are counted.
        self.number = number.unwrap_or(self.number + 1);
        let standing = containment.is_in_force().then(|| Arc::clone(containment));
        let name = if standing.is_some() { "contained" } else { "lifted" };
        self.known.insert(containment.id.clone(), standing);
        let event = Event { number: self.number, containment: View::from(&**containment) };
        // Nobody listens: then nobody is told.
        let _ = self.told.send(written(name, Some(self.number), &event));
    }

    fn standing(&self) -> Bytes {
        let mut standing: Vec<_> = self.known.values().flatten().collect();
        standing.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        let items = standing.into_iter().map(|containment| View::from(&**containment)).collect();
        written("standing", Some(self.number), &Standing { number: self.number, items })
    }
}

impl Listener {
    /// The next event; nothing at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            // One who is behind too far is cut.
            event = self.told.recv() => event.ok(),
            _ = self.beat.tick() => self.beat(),
        }
    }

    /// A node without a lease does not know any more what is in force.
    fn beat(&self) -> Option<Bytes> {
        let good_for = self.lease.left().unwrap_or(SURE);
        let beat = Beat { good_for_ms: good_for.0 / 1_000 };
        (good_for.0 > 0).then(|| written("beat", None, &beat))
    }
}

/// Returns when whoever listens may not any more. Administrators and people are known for the length of a request.
async fn stopped(rooms: &Rooms, caller: Option<&Caller>) {
    match caller {
        Some(caller) => {
            let at = At { audience: &rooms.access.resource, server: "", tool: None };
            rooms.authenticator.stopped(caller, at).await;
        }
        None => std::future::pending().await,
    }
}

fn written(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {name}\n{id}data: {data}\n\n").into()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use chancery_authenticate::SystemRandom;
    use chancery_model::{Clock, Scope, Timestamp};

    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(1)
        }

        fn monotonic(&self) -> Timestamp {
            Timestamp(1)
        }
    }

    fn pushed(lease: Lease) -> Pushed {
        let state = State { known: HashMap::new(), number: 0, told: broadcast::channel(BEHIND).0 };
        Pushed { state: Arc::new(Mutex::new(state)), lease: Arc::new(lease) }
    }

    fn containment() -> Arc<Containment> {
        Arc::new(Containment {
            id: ContainmentId::new(Timestamp(1), &SystemRandom),
            scope: Scope::Everything,
            subject: Containment::ALL.to_owned(),
            reason: "a test".into(),
            by: "a test".into(),
            at: Timestamp(1),
            lifted_at: None,
            lifted_by: None,
            lift_reason: None,
        })
    }

    #[tokio::test]
    async fn whoever_is_too_far_behind_is_cut_and_nobody_else() {
        let pushed = pushed(Lease::for_ever(Arc::new(Still)));
        let mut slow = pushed.listener(CancellationToken::new()).unwrap();
        let mut quick = pushed.listener(CancellationToken::new()).unwrap();
        assert!(quick.next().await.is_some() && slow.next().await.is_some(), "what is in force");
        for _ in 0..=BEHIND {
            lock(&pushed.state).changed(None, &containment());
            assert!(quick.next().await.unwrap().starts_with(b"event: contained\n"));
        }
        assert!(slow.next().await.is_none());
    }

    #[tokio::test]
    async fn a_node_without_a_lease_has_nothing_to_say() {
        let pushed = pushed(Lease::none_yet(Arc::new(Still)));
        let mut listener = pushed.listener(CancellationToken::new()).unwrap();
        assert!(listener.next().await.is_some(), "what was in force when it knew");
        assert!(listener.next().await.is_none());
    }

    #[tokio::test]
    async fn as_many_listen_as_there_are_places() {
        let pushed = pushed(Lease::for_ever(Arc::new(Still)));
        let mut places: Vec<_> = (0..LISTENERS).map(|_| pushed.listener(CancellationToken::new()).unwrap()).collect();
        assert_eq!(pushed.listener(CancellationToken::new()).err().unwrap().code, TOO_MANY_LISTENERS.code);
        places.pop();
        assert!(pushed.listener(CancellationToken::new()).is_ok());
    }
}
