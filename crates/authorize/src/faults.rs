//! Ways for the answer about a whole chain to be wrong, so that tests can show that they would notice. In a build that is
//! shipped there are none.

#[cfg(feature = "faults")]
mod taken {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Nobody is asked but the agent that acts.
    pub static ALONE: AtomicBool = AtomicBool::new(false);
    /// Limits are not looked at.
    pub static LIMITLESS: AtomicBool = AtomicBool::new(false);

    pub(crate) fn alone() -> bool {
        ALONE.load(Ordering::SeqCst)
    }

    pub(crate) fn limitless() -> bool {
        LIMITLESS.load(Ordering::SeqCst)
    }
}

#[cfg(not(feature = "faults"))]
mod taken {
    pub(crate) const fn alone() -> bool {
        false
    }

    pub(crate) const fn limitless() -> bool {
        false
    }
}

#[cfg(feature = "faults")]
pub use taken::{ALONE, LIMITLESS};
pub(crate) use taken::{alone, limitless};
