//! `POST /v1/agents/{name}/resume`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::{Because, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Lets a stopped agent go on. Sessions from before the suspension stay ended.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    Ok(Json(View::of(rooms.registrar.resume(&name, because.text(), &peer.actor()).await?, &rooms)))
}
