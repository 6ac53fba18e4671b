//! Groups of people.

use serde::{Deserialize, Serialize};

use crate::{GroupId, PersonId, Timestamp};

/// Some people under one name: who keeps an agent, or who is asked. A name is a group's or a person's, never both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Never reused.
    pub id: GroupId,
    /// What people and policies call it, unique for ever.
    pub name: String,
    /// Who is in it: sorted, each once. Whether they are active stands with each of them.
    pub members: Vec<PersonId>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Group {
    /// Is this person in it?
    pub fn holds(&self, person: &PersonId) -> bool {
        self.members.binary_search(person).is_ok()
    }

    /// The same group with one more; nothing if they are in it.
    pub fn with(mut self, person: PersonId) -> Option<Self> {
        let place = self.members.binary_search(&person).err()?;
        self.members.insert(place, person);
        Some(self)
    }

    /// The same group with one less; nothing if they are not in it.
    pub fn without(mut self, person: &PersonId) -> Option<Self> {
        let place = self.members.binary_search(person).ok()?;
        self.members.remove(place);
        Some(self)
    }
}
