//! `DELETE /v1/clients?client_id=&reason=`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Params;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    client_id: String,
    reason: Option<String>,
}

/// Removes a client: the sessions of its agent end with it.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<View>> {
    let reason = wanted.reason.as_deref().unwrap_or("not stated");
    Ok(Json(View::from(&rooms.registrar.remove_client(&wanted.client_id, reason, &peer.actor()).await?)))
}
