//! How long this node may act by what it knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chancery_model::{Clock, Span, Timestamp};

/// What a node is given each time it has applied every change.
pub(crate) const LEASE: Span = Span::seconds(2);
/// So much earlier it stops by itself: for clocks that do not run at the same speed, and for what is on its way when it
/// looks.
const MARGIN: Span = Span(250_000);

/// A node's leave to act. Where there is one node, it is always fresh.
pub struct Lease {
    clock: Arc<dyn Clock>,
    /// On the monotonic clock.
    until: AtomicI64,
}

impl Lease {
    /// For a node that shares its database with nobody.
    pub fn for_ever(clock: Arc<dyn Clock>) -> Self {
        Self { clock, until: AtomicI64::new(i64::MAX) }
    }

    /// For a node that has to ask for it.
    pub fn none_yet(clock: Arc<dyn Clock>) -> Self {
        Self { clock, until: AtomicI64::new(i64::MIN) }
    }

    /// May this node act? It costs one look at a number in memory, and one at the clock.
    pub fn is_fresh(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == i64::MAX || self.clock.monotonic().0 < until || crate::faults::unleased()
    }

    /// How long it lasts if nobody renews it; nothing where it always is fresh.
    pub fn left(&self) -> Option<Span> {
        let until = self.until.load(Ordering::Acquire);
        (until != i64::MAX).then(|| Span(until.saturating_sub(self.clock.monotonic().0).max(0)))
    }

    /// Goes on with what was given by what was sent at `sent`, on the monotonic clock. Not if it is over: then it has to
    /// [begin](Self::begins) anew, and whatever was begun under it has to end before.
    ///
    /// The answer to what was sent is here. So if it is not over now, it was not over when another node could last take
    /// it for unrenewed.
    pub(crate) fn goes_on(&self, sent: Timestamp) -> bool {
        let fresh = self.is_fresh();
        if fresh {
            self.begins(sent);
        }
        fresh
    }

    /// It was given by what was sent at `sent`, on the monotonic clock.
    pub(crate) fn begins(&self, sent: Timestamp) {
        self.until.fetch_max((sent + LEASE).0 - MARGIN.0, Ordering::AcqRel);
    }

    /// It is over at once.
    pub(crate) fn give_up(&self) {
        self.until.store(i64::MIN, Ordering::Release);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("fresh", &self.is_fresh()).finish_non_exhaustive()
    }
}
