//! What identity providers call people.

use serde::{Deserialize, Serialize};

use crate::{PersonId, Timestamp};

/// An account of a person at an identity provider. An account is one person's; a person may have several. Both names are
/// compared letter by letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The provider's issuer identifier: the `iss` of what it writes.
    pub issuer: String,
    /// What it calls them for ever: the `sub`.
    pub subject: String,
    /// Who that is here.
    pub person: PersonId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was removed. Those that are stored have none: this tells observers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}
