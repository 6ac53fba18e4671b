//! `GET /v1/people/{name}/passkeys` and `DELETE /v1/people/{name}/passkeys/{id}`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::problem::{NO_PERSON, Problem};
use chancery_model::{Passkey, Person, Timestamp};
use serde::{Deserialize, Serialize};

use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

/// A passkey as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    person: String,
    name: String,
    /// The host name that it is for.
    host: String,
    created_at: String,
    used_at: Option<String>,
}

/// Why one is removed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unwanted {
    #[serde(default)]
    reason: Option<String>,
}

impl View {
    fn of(person: &Person, passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.to_string(),
            person: person.name.clone(),
            name: passkey.name.clone(),
            host: passkey.rp_id.clone(),
            created_at: passkey.created_at.rfc3339(),
            used_at: passkey.used_at.map(Timestamp::rfc3339),
        }
    }
}

/// Those of one person, oldest first.
pub(crate) async fn list(State(rooms): State<Arc<Rooms>>, Path(name): Path<String>) -> Answer<Json<Items<View>>> {
    let person = named(&rooms, &name)?;
    of(&rooms, &person).await.map(Json)
}

/// Removes one for good, and ends all logins of its person: one may have come about with it. Those that are left.
pub(crate) async fn remove(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path((name, id)): Path<(String, String)>,
    Params(wanted): Params<Unwanted>,
) -> Answer<Json<Items<View>>> {
    let (person, because) = (named(&rooms, &name)?, Because { reason: wanted.reason });
    let removed = rooms.authenticator.take_passkey(&person, &id, (&peer.actor(), Some(because.text()))).await;
    removed.map_err(|e| Problem::new(e.row(), e.to_string()))?;
    of(&rooms, &person).await.map(Json)
}

async fn of(rooms: &Rooms, person: &Person) -> Answer<Items<View>> {
    let passkeys = rooms.authenticator.passkeys(&person.id).await;
    let passkeys = passkeys.map_err(|e| Problem::new(e.row(), e.to_string()))?;
    Ok(passkeys.iter().map(|passkey| View::of(person, passkey)).collect())
}

fn named(rooms: &Rooms, name: &str) -> Answer<Arc<Person>> {
    let missing = || Problem::new(NO_PERSON, format!("`{}`", name.chars().take(80).collect::<String>()));
    Ok(rooms.authenticator.person_named(name).ok_or_else(missing)?)
}
