//! `/v1/groups`: groups of people.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::Group;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{Body, Items, Params};
use crate::rooms::Rooms;

/// A group as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    id: String,
    /// The names of who is in it.
    members: Vec<String>,
    created_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
}

impl View {
    fn of(rooms: &Rooms, group: &Group) -> Self {
        let named = |id| rooms.authenticator.person(id).map(|person| person.name.clone());
        let mut members: Vec<String> = group.members.iter().filter_map(named).collect();
        members.sort_unstable();
        Self { name: group.name.clone(), id: group.id.to_string(), members, created_at: group.created_at.rfc3339() }
    }
}

/// All of them, by name.
pub(crate) async fn list(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    Ok(Json(rooms.registrar.groups().await?.iter().map(|group| View::of(&rooms, group)).collect()))
}

/// Makes one with nobody in it.
pub(crate) async fn create(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    let made = rooms.registrar.create_group(&wanted.name, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::of(&rooms, &made))))
}

/// Puts a person into it.
pub(crate) async fn add(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path((name, person)): Path<(String, String)>,
) -> Answer<Json<View>> {
    Ok(Json(View::of(&rooms, &rooms.registrar.add_member(&name, &person, &peer.actor()).await?)))
}

/// Takes a person out of it.
pub(crate) async fn remove(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path((name, person)): Path<(String, String)>,
    Params(because): Params<Because>,
) -> Answer<Json<View>> {
    let changed = rooms.registrar.remove_member(&name, &person, because.text(), &peer.actor()).await?;
    Ok(Json(View::of(&rooms, &changed)))
}
