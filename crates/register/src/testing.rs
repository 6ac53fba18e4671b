//! A clock that tests move, and randomness that repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chancery_model::{Clock, Random, Span, Timestamp};

/// A clock that stands still until it is moved.
pub(crate) struct MockClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl MockClock {
    pub(crate) fn at(seconds: i64) -> Arc<Self> {
        Arc::new(Self {
            wall: AtomicI64::new(Timestamp::from_seconds(seconds).0),
            monotonic: AtomicI64::new(Timestamp::from_seconds(1_000).0),
        })
    }

    /// Time goes on.
    pub(crate) fn advance(&self, span: Span) {
        self.wall.fetch_add(span.0, Ordering::SeqCst);
        self.monotonic.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for MockClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Timestamp {
        Timestamp(self.monotonic.load(Ordering::SeqCst))
    }
}

/// Never the same twice, and the same in every run that starts from the same seed.
pub(crate) struct Counting(AtomicU64);

impl Counting {
    pub(crate) fn from(seed: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seed << 32)))
    }
}

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let n = self.0.fetch_add(1, Ordering::SeqCst);
            chunk.copy_from_slice(&chancery_store::enrolments::code_hash(&n.to_string())[..chunk.len()]);
        }
    }
}
