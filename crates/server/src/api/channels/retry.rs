//! `POST /v1/channels/{name}/retry`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// One message; all that wait or were given up, if none is named.
    #[serde(default)]
    id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Tried {
    channel: String,
    /// How many messages are tried again.
    messages: u64,
}

/// Tries again at once, and takes the channel not to be gone any more.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Tried>> {
    let messages = rooms.notifier.retry(&name, wanted.id.as_deref(), &peer.actor()).await?;
    Ok(Json(Tried { channel: name, messages }))
}
