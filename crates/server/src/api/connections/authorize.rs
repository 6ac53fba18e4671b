//! `POST /v1/connections/{server}/authorize`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_gateway::Begun;
use chancery_model::Problem;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// Begins an authorization: whoever opens the address in a browser may authorize it, within ten minutes and once.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(server): Path<String>,
) -> Answer<Json<Begun>> {
    let begun = rooms.gateway.begin_connection(&server, peer.actor()).await;
    Ok(Json(begun.map_err(Problem::from)?))
}
