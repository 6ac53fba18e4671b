//! The real clock: the one place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use chancery_model::{Clock, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: i64,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    pub fn start() -> Self {
        Self { started: since_boot() }
    }
}

/// Microseconds since the machine was started, with those that it slept: a lease goes on then, and what Rust has for a
/// monotonic clock (`CLOCK_MONOTONIC`) stands still.
fn since_boot() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000)
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock of the process")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Timestamp {
        Timestamp(since_boot() - self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_side_starts_at_zero_and_goes_on() {
        let clock = SystemClock::start();
        let first = clock.monotonic();
        assert!((0..60_000_000).contains(&first.0), "{first:?}");
        while clock.monotonic() == first {}
        assert!(clock.monotonic() > first);
    }
}
