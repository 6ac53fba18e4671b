//! Ways for a node to act by what is old, so that tests can show that they would notice. In a build that is shipped there
//! are none.

#[cfg(feature = "faults")]
mod taken {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A node acts whether it has a lease or not.
    pub static UNLEASED: AtomicBool = AtomicBool::new(false);
    /// A change is confirmed before what it stops has ended.
    pub static HASTY: AtomicBool = AtomicBool::new(false);

    pub(crate) fn unleased() -> bool {
        UNLEASED.load(Ordering::SeqCst)
    }

    pub(crate) fn hasty() -> bool {
        HASTY.load(Ordering::SeqCst)
    }
}

#[cfg(not(feature = "faults"))]
mod taken {
    pub(crate) const fn unleased() -> bool {
        false
    }

    pub(crate) const fn hasty() -> bool {
        false
    }
}

#[cfg(feature = "faults")]
pub use taken::{HASTY, UNLEASED};
pub(crate) use taken::{hasty, unleased};
