//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chancery_model::{Clock, Span, Timestamp};

/// Where the clock of tests begins: 2026-11-18T12:26:40Z.
const START: i64 = 1_795_004_800;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct MockClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl MockClock {
    /// A clock at its usual start.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            wall: AtomicI64::new(Timestamp::from_seconds(START).0),
            monotonic: AtomicI64::new(Timestamp::from_seconds(1_000).0),
        })
    }

    /// Time goes on.
    pub fn advance(&self, span: Span) {
        self.wall.fetch_add(span.0, Ordering::SeqCst);
        self.monotonic.fetch_add(span.0, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock, forwards or backwards.
    pub fn step(&self, span: Span) {
        self.wall.fetch_add(span.0, Ordering::SeqCst);
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
