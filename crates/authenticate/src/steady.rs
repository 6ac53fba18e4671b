//! A wall clock that does not follow the system's when that steps back.

use std::sync::Arc;

use chancery_model::{Clock, Span, Timestamp};

/// How far the wall clock may fall behind the monotonic one: slewing, not stepping.
const TOLERANCE: Span = Span::seconds(5);

/// Wraps a clock so that a step back of the wall clock prolongs nothing that is judged by it.
pub(crate) struct Steady {
    inner: Arc<dyn Clock>,
    wall: Timestamp,
    monotonic: Timestamp,
}

impl Steady {
    pub(crate) fn new(inner: Arc<dyn Clock>) -> Self {
        let (wall, monotonic) = (inner.now(), inner.monotonic());
        Self { inner, wall, monotonic }
    }
}

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        let at_least = self.wall + (self.inner.monotonic() - self.monotonic) - TOLERANCE;
        self.inner.now().max(at_least)
    }

    fn monotonic(&self) -> Timestamp {
        self.inner.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MockClock;

    #[test]
    fn a_step_back_is_not_followed() {
        let mock = MockClock::at(1_795_000_000);
        let steady = Steady::new(mock.clone());
        mock.advance(Span::seconds(100));
        mock.step(Span::seconds(-3600));
        assert_eq!(steady.now(), Timestamp::from_seconds(1_795_000_095));
        mock.step(Span::seconds(7200));
        assert_eq!(steady.now(), Timestamp::from_seconds(1_795_003_700));
    }
}
