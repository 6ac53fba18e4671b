//! A change that waits for a second person.

use serde::{Deserialize, Serialize};

use crate::{Hash, Person, PersonId, ProposalId, Timestamp};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// It waits, or waited until its end.
    Waiting,
    /// A second person confirmed it, and it was run this once.
    Confirmed,
    /// It was taken back.
    Withdrawn,
}

/// One request to the admin API, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its name in entries.
    pub id: ProposalId,
    /// What it does, written `noun.action`.
    pub verb: String,
    /// The method of the request.
    pub method: String,
    /// Its path and query.
    pub uri: String,
    /// Its body, sealed: it may hold a secret.
    pub body: Vec<u8>,
    /// SHA-256 over method, path and body.
    pub digest: Hash,
    /// Who proposed it.
    pub person: PersonId,
    /// When.
    pub created_at: Timestamp,
    /// From then on it cannot be confirmed.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: ProposalState,
    /// Who confirmed it or took it back.
    pub decided_by: Option<PersonId>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// The HTTP status it was answered with when it was run.
    pub status: Option<u16>,
}

impl Proposal {
    /// Can it be confirmed at this moment?
    pub fn waits(&self, now: Timestamp) -> bool {
        self.state == ProposalState::Waiting && now < self.expires_at
    }

    /// Is it this person's own?
    pub fn is_of(&self, person: &Person) -> bool {
        self.person == person.id
    }
}
