//! The entries of this room.

use chancery_model::{Change, Draft, Kind, Timestamp, Who, Why, canonical};
use serde_json::Value;

/// A change to one of this room's nouns.
pub(super) struct Act<'a> {
    pub(super) actor: &'a str,
    pub(super) noun: &'a str,
    pub(super) id: &'a str,
    pub(super) verb: &'a str,
    pub(super) reason: Option<&'a str>,
}

impl Act<'_> {
    /// Its entry. `after` must hold no secret.
    pub(super) fn draft(&self, at: Timestamp, after: &Value) -> Draft {
        let after = canonical(after).ok().map(|json| String::from_utf8_lossy(&json).into_owned());
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
