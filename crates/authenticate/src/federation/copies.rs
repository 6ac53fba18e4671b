//! Documents of others: fetched when they are needed, kept for a while, asked for again when something is not in them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use chancery_fetch::{Ask, Fetcher};
use chancery_model::{Clock, Span, Timestamp};

/// How long a copy is used without asking again, at most.
pub(super) const FRESH: Span = Span::minutes(5);
/// How long a copy is used when asking again fails. A key that was taken back dies by then at the latest.
const LIFETIME: Span = Span::minutes(15);
/// How long is waited between two attempts, whatever came of the first.
pub(super) const PAUSE: Span = Span::seconds(30);

/// Why something is not found in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is not in it.
    Unknown,
    /// The document cannot be had.
    Unavailable(String),
}

/// The documents of all origins.
pub(super) struct Copies<K, T> {
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<K, Arc<Held<T>>>>,
}

struct Held<T> {
    copy: ArcSwapOption<Kept<T>>,
    /// One asks at a time; the others wait for what comes of it.
    asking: tokio::sync::Mutex<Asked>,
}

/// A document as it was.
struct Kept<T> {
    document: T,
    since: Timestamp,
    fresh: Span,
}

/// The last attempt.
#[derive(Default)]
struct Asked {
    at: Option<Timestamp>,
    failed: Option<String>,
}

impl<K: Clone + Eq + Hash + Debug, T> Copies<K, T> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// Forgets the documents of origins that nobody names any more.
    pub(super) fn forget_unless(&self, is_named: impl Fn(&K) -> bool) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|origin, _| is_named(origin));
    }

    /// What `want` finds in the document. Where it finds nothing, the document is asked for again, unless that was done
    /// a moment ago. `fetch` says too how long it is fresh.
    pub(super) async fn find<R, F>(
        &self,
        origin: &K,
        mut want: impl FnMut(&T) -> Option<R>,
        fetch: impl FnOnce() -> F,
    ) -> Result<R, Missing>
    where
        F: Future<Output = Result<(T, Span), String>>,
    {
        let held = self.held(origin);
        let fresh = |held: &Held<T>| held.within(self.clock.now(), None);
        if let Some(found) = fresh(&held).and_then(|kept| want(&kept.document)) {
            return Ok(found);
        }
        let mut asked = held.asking.lock().await;
        if let Some(found) = fresh(&held).and_then(|kept| want(&kept.document)) {
            return Ok(found);
        }
        self.ask_again(&held, origin, &mut asked, fetch).await;
        match held.within(self.clock.now(), Some(LIFETIME)) {
            Some(kept) => want(&kept.document).ok_or(Missing::Unknown),
            None => {
                Err(Missing::Unavailable(asked.failed.clone().unwrap_or_else(|| "the keys are too old".to_owned())))
            }
        }
    }

    fn held(&self, origin: &K) -> Arc<Held<T>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(origin.clone()).or_default().clone()
    }

    /// What comes replaces the copy before: keys that are not in it are dead.
    async fn ask_again<F>(&self, held: &Held<T>, origin: &K, asked: &mut Asked, fetch: impl FnOnce() -> F)
    where
        F: Future<Output = Result<(T, Span), String>>,
    {
        let now = self.clock.now();
        if asked.at.is_some_and(|at| now < at + PAUSE) {
            return;
        }
        asked.at = Some(now);
        match fetch().await {
            Ok((document, fresh)) => {
                held.copy.store(Some(Arc::new(Kept { document, since: now, fresh })));
                asked.failed = None;
            }
            Err(why) => {
                tracing::warn!(?origin, why, "the keys of a platform cannot be had");
                asked.failed = Some(format!("the issuer's keys cannot be had: {why}"));
            }
        }
    }
}

impl<T> Held<T> {
    /// The copy, if it is younger than this; than it is fresh, if nothing is said.
    fn within(&self, now: Timestamp, longest: Option<Span>) -> Option<Arc<Kept<T>>> {
        self.copy.load_full().filter(|kept| now < kept.since + longest.unwrap_or(kept.fresh))
    }
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { copy: ArcSwapOption::empty(), asking: tokio::sync::Mutex::default() }
    }
}

/// A JSON document at an address.
pub(super) async fn document(fetcher: &Fetcher, address: &str) -> Result<Vec<u8>, String> {
    let ask = Ask::get(address).accept("application/json, application/jwk-set+json");
    let answer = fetcher.fetch(ask).await.map_err(|e| e.to_string())?;
    if answer.status != http::StatusCode::OK {
        return Err(format!("{address} answered with status {}", answer.status.as_u16()));
    }
    if !answer.is_json() {
        return Err(format!("{address} answered with `{}`, which is not JSON", answer.content_type()));
    }
    Ok(answer.body.to_vec())
}
