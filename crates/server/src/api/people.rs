//! People in whose names agents act.

use chancery_model::{Person, PersonState, Role};
use serde::Serialize;

pub(crate) mod accounts;
pub(crate) mod add;
pub(crate) mod invite;
pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod passkeys;
pub(crate) mod resume;
pub(crate) mod roles;
pub(crate) mod suspend;

/// A person as the API shows them; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    id: String,
    display: Option<String>,
    state: PersonState,
    roles: Vec<Role>,
    epoch: u64,
    created_at: String,
}

impl From<&Person> for View {
    fn from(person: &Person) -> Self {
        Self {
            name: person.name.clone(),
            id: person.id.to_string(),
            display: person.display.clone(),
            state: person.state,
            roles: person.roles.clone(),
            epoch: person.epoch,
            created_at: person.created_at.rfc3339(),
        }
    }
}
