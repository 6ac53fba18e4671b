//! The entries of oversight.

use chancery_model::{Change, Draft, Timestamp};
use serde::Serialize;

/// A change to a noun of oversight.
pub(crate) struct Act<'a> {
    pub(crate) actor: &'a str,
    pub(crate) noun: &'a str,
    pub(crate) id: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) reason: Option<&'a str>,
}

impl Act<'_> {
    /// Its entry. `after` must hold no secret.
    pub(crate) fn draft(&self, at: Timestamp, after: &impl Serialize) -> Draft {
        Change::drafted(at, self.actor, (self.noun, self.id, self.verb), self.reason, after)
    }
}
