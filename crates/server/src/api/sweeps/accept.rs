//! `POST /v1/sweeps/{id}/accept`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Says that what a sweep held back is missing indeed.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    let sweep = rooms.discovery.accept(&id, &peer.actor(), Some(because.text())).await?;
    Ok(Json(View::from(&sweep)))
}
