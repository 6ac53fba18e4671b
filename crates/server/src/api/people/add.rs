//! `POST /v1/people`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
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
    display: Option<String>,
}

/// Adds a person.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    let added = rooms.registrar.add_person(&wanted.name, wanted.display.as_deref(), &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::from(&added))))
}
