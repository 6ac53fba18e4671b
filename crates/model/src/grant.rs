//! The right given to an identity.

use serde::{Deserialize, Serialize};

use crate::{GrantId, Timestamp};

/// Whether the agent acts for a human or for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantMode {
    /// Only on behalf of a human.
    OnBehalfOf,
    /// By itself.
    Autonomous,
}

/// A given right: a policy template linked to a principal and a resource, with an end.
/// Grants are rows, never policy text: a hundred thousand of them cost a decision no more than ten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name in decisions and entries.
    pub id: GrantId,
    /// The `@id` of the Cedar template it links.
    pub template: String,
    /// The Cedar entity that receives it, written `Type::"id"`.
    pub principal: String,
    /// The Cedar entity it is about, written `Type::"id"`.
    pub resource: String,
    /// For a human, or by itself.
    pub mode: GrantMode,
    /// Why it was given.
    pub justification: String,
    /// Who gave it.
    pub granted_by: String,
    /// When it was given.
    pub created_at: Timestamp,
    /// From then on it gives nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Grant {
    /// Does it give anything at this moment?
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
