//! `POST /v1/people`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::Role;
use chancery_register::PersonRequest;
use http::StatusCode;
use serde::Deserialize;

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    #[serde(default)]
    display: Option<String>,
    #[serde(default)]
    roles: Vec<Role>,
}

impl From<Wanted> for PersonRequest {
    fn from(wanted: Wanted) -> Self {
        Self { name: wanted.name, display: wanted.display, roles: wanted.roles }
    }
}

/// Adds a person.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    let added = rooms.registrar.add_person(&PersonRequest::from(wanted), &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::from(&added))))
}
