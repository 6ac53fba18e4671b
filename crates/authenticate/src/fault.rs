//! Ways for this room to be wrong, so that tests can show that they would notice.

/// A guard that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What a session hangs on is not asked whether it is in force.
    Ancestors,
    /// Only the innermost limits are told.
    Limits,
    /// Whoever has a subject token may exchange it.
    MayAct,
    /// An actor token of another flow is taken.
    Flow,
}

/// Which guard is taken away: in a build that is no test, none.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    #[cfg(test)]
    taken: std::sync::Mutex<Option<Fault>>,
}

impl Faults {
    /// Is this guard taken away?
    #[cfg(test)]
    pub(crate) fn has(&self, fault: Fault) -> bool {
        *self.taken.lock().unwrap() == Some(fault)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same call as in tests")]
    pub(crate) const fn has(&self, _: Fault) -> bool {
        false
    }

    /// Takes it away.
    #[cfg(test)]
    pub(crate) fn take(&self, fault: Option<Fault>) {
        *self.taken.lock().unwrap() = fault;
    }
}
