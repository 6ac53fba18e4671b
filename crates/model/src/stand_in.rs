//! One person decides in another's place for a while.

use serde::{Deserialize, Serialize};

use crate::{PersonId, Span, StandInId, Timestamp};

/// Somebody stands in for somebody else. It begins and ends by time, or ends before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandIn {
    /// Its name.
    pub id: StandInId,
    /// In whose place.
    pub person: PersonId,
    /// What they were called then.
    pub name: String,
    /// Who stands in.
    pub deputy: PersonId,
    /// What they were called then.
    pub deputy_name: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When that was said.
    pub at: Timestamp,
    /// From then on.
    pub from: Timestamp,
    /// From then on it is worth nothing.
    pub until: Timestamp,
    /// When somebody ended it before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl StandIn {
    /// The longest one.
    pub const LONGEST: Span = Span::days(92);

    /// May the deputy decide in the other's place?
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.from <= now && now < self.until
    }

    /// Will it never be in force again?
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ended_at.is_some() || now >= self.until
    }
}
