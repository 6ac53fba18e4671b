//! `POST /v1/channels/{name}/test`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::DecisionId;
use serde::Serialize;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::rooms::Rooms;

#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    channel: String,
    /// The message's id in the delivery log.
    id: DecisionId,
}

/// Sends a message that says that it is a test. What became of it stands in the delivery log.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<Json<Sent>> {
    let id = rooms.notifier.test(&name, &peer.actor()).await?;
    Ok(Json(Sent { channel: name, id }))
}
