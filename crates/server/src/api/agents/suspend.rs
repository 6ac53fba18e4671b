//! `POST /v1/agents/{name}/suspend`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::{Because, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Stops an agent: its next call is refused, whatever tokens it holds.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    Ok(Json(View::of(rooms.registrar.suspend(&name, because.text(), &peer.actor()).await?, &rooms)))
}
