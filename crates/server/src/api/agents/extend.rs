//! `POST /v1/agents/{name}/extend`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{self, Body};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    expires_at: String,
}

/// Sets the time after which the identity can no longer authenticate.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    let lasts = input::time(&wanted.expires_at)? - rooms.clock.now();
    Ok(Json(View::of(rooms.registrar.extend(&name, lasts, &peer.actor()).await?, &rooms)))
}
