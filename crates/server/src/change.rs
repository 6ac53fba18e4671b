//! The entry of a change that a human made through the admin door.

use chancery_model::problem::{INTERNAL, Problem, READ_FAILED, STORE_FAILED};
use chancery_model::{Change, Draft, Kind, Timestamp, Who, Why};
use chancery_store::StoreError;
use serde::Serialize;

use crate::door::admin::Peer;
use crate::failure::Failure;

/// Who changes what, and why.
pub(crate) struct Act<'a> {
    pub(crate) by: Peer,
    pub(crate) noun: &'a str,
    pub(crate) id: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) reason: Option<&'a str>,
}

impl Act<'_> {
    /// The draft of its entry; `after` is what the noun is now, without secrets.
    pub(crate) fn draft(&self, at: Timestamp, after: &impl Serialize) -> Result<Draft, Failure> {
        let json = |e: &dyn std::fmt::Display| Problem::new(INTERNAL, e.to_string());
        let value = serde_json::to_value(after).map_err(|e| json(&e))?;
        let canonical = chancery_model::canonical(&value).map_err(|e| json(&e))?;
        Ok(Draft {
            kind: Kind::Change,
            at,
            who: Who { human: Some(self.by.actor()), ..Who::default() },
            why: Why { reason: self.reason.map(str::to_owned), trace: None },
            change: Some(Change {
                noun: self.noun.into(),
                id: self.id.into(),
                verb: self.verb.into(),
                after: Some(String::from_utf8_lossy(&canonical).into_owned()),
            }),
            ..Draft::default()
        })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error.refusal::<Problem>() {
            Ok(problem) => problem.into(),
            Err(
                error @ (StoreError::Poisoned(_)
                | StoreError::Closed
                | StoreError::Unavailable(_)
                | StoreError::Unknown(_)),
            ) => Problem::new(STORE_FAILED, error.to_string()).into(),
            Err(error) => Problem::new(READ_FAILED, error.to_string()).into(),
        }
    }
}
