//! A secret with which an agent that cannot hold a key authenticates at the token endpoint.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Hash, Timestamp};

/// What is kept of it: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// SHA-256 of the secret, which is 256 random bits.
    pub hash: Hash,
    /// Whose.
    pub agent: AgentId,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl ClientSecret {
    /// May it be used at this moment?
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
