//! The real clock: the one place that reads it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chancery_model::{Clock, Timestamp};

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    #[expect(clippy::disallowed_methods, reason = "the one clock of the process")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock of the process")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Timestamp {
        Timestamp(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}
