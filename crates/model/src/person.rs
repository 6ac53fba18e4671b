//! The human in whose name agents act.

use serde::{Deserialize, Serialize};

use crate::{Epoch, PersonId, Timestamp};

/// Whether a person may sign in, and agents may act for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonState {
    /// They may.
    Active,
    /// Not at present: nobody acts for them either.
    Suspended,
}

/// A person: who signs in, consents, and stands at the root of a delegation chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Never reused: `sub` of tokens that stand for them.
    pub id: PersonId,
    /// What people and policies call them (`Human::"name"`): a directory name or e-mail address, unique for ever.
    pub name: String,
    /// How they are shown to others.
    pub display: Option<String>,
    /// Whether they may sign in.
    pub state: PersonState,
    /// Grows with every change that must take effect at once. Sessions in their name carry it.
    pub epoch: Epoch,
    /// When they were added.
    pub created_at: Timestamp,
}

impl Person {
    /// May they sign in, and may agents act for them, at this moment?
    pub fn is_active(&self) -> bool {
        self.state == PersonState::Active
    }

    /// The same person, whose logins end, and with them everything that agents do in their name.
    #[must_use]
    pub fn with_everything_ended(self) -> Self {
        Self { epoch: self.epoch + 1, ..self }
    }

    /// The same person in another state. What was given in their name before ends; nothing if it is their state already.
    pub fn into_state(self, state: PersonState) -> Option<Self> {
        (self.state != state).then(|| Self { state, epoch: self.epoch + 1, ..self })
    }
}
