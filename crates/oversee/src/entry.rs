//! The entries of oversight.

use chancery_model::{Change, Draft, Kind, Timestamp, Who, Why, canonical};
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
        let after = serde_json::to_value(after).ok().and_then(|value| canonical(&value).ok());
        let after = after.map(|json| String::from_utf8_lossy(&json).into_owned());
        Draft {
            kind: Kind::Change,
            at,
            who: Who { human: Some(self.actor.to_owned()), ..Who::default() },
            why: Why { reason: self.reason.map(str::to_owned), trace: None },
            change: Some(Change {
                noun: self.noun.to_owned(),
                id: self.id.to_owned(),
                verb: self.verb.to_owned(),
                after,
            }),
            ..Draft::default()
        }
    }
}
