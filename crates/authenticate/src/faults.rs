//! Ways for containments to be overlooked, so that tests can show that they would notice. In a build that is shipped
//! there are none.

#[cfg(feature = "faults")]
mod taken {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Nobody looks at what is contained.
    pub static UNCONTAINED: AtomicBool = AtomicBool::new(false);
    /// A request is not looked at again after it waited.
    pub static HURRIED: AtomicBool = AtomicBool::new(false);
    /// What waits for an upstream is not told that it was stopped.
    pub static UNCUT: AtomicBool = AtomicBool::new(false);

    pub(crate) fn uncontained() -> bool {
        UNCONTAINED.load(Ordering::SeqCst)
    }

    pub(crate) fn hurried() -> bool {
        HURRIED.load(Ordering::SeqCst)
    }

    pub(crate) fn uncut() -> bool {
        UNCUT.load(Ordering::SeqCst)
    }
}

#[cfg(not(feature = "faults"))]
mod taken {
    pub(crate) const fn uncontained() -> bool {
        false
    }

    pub(crate) const fn hurried() -> bool {
        false
    }

    pub(crate) const fn uncut() -> bool {
        false
    }
}

#[cfg(feature = "faults")]
pub use taken::{HURRIED, UNCONTAINED, UNCUT};
pub(crate) use taken::{hurried, uncontained, uncut};
