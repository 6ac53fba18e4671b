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

/// What a person may do for the whole house. Who keeps an agent is no role: that stands with the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the place: people, agents, rights, servers.
    Admin,
    /// Stops what goes wrong, and looks at everything.
    Security,
    /// Answers what waits for a human.
    Approver,
    /// Looks at everything and changes nothing.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Security, Self::Approver, Self::Auditor];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Security => "security",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
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
    /// What they may do for the whole house: sorted, each once.
    #[serde(default)]
    pub roles: Vec<Role>,
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

    /// May they do what this role may, at this moment?
    pub fn has(&self, role: Role) -> bool {
        self.is_active() && self.roles.contains(&role)
    }

    /// The same person with a role more; nothing if it is theirs already.
    pub fn with_role(self, role: Role) -> Option<Self> {
        let mut roles = self.roles.clone();
        let place = roles.binary_search(&role).err()?;
        roles.insert(place, role);
        Some(Self { roles, ..self })
    }

    /// The same person without a role; nothing if it is not theirs.
    pub fn without_role(self, role: Role) -> Option<Self> {
        let mut roles = self.roles.clone();
        let place = roles.binary_search(&role).ok()?;
        roles.remove(place);
        Some(Self { roles, ..self })
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
