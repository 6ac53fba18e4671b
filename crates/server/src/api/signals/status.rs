//! `POST /v1/signals/streams/{id}/status`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::StreamStatus;
use serde::Deserialize;
use serde_json::Value;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    status: StreamStatus,
    reason: String,
}

/// Pauses, disables or enables a stream. Its receiver is told over the stream.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Value>> {
    let actor = peer.actor();
    Ok(Json(rooms.signals.transmitter.govern(&id, wanted.status, &wanted.reason, &actor).await?))
}
