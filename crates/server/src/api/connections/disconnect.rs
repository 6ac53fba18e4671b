//! `DELETE /v1/connections/{server}`

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use chancery_model::Problem;
use http::StatusCode;
use serde::Deserialize;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Params;
use crate::rooms::Rooms;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    reason: Option<String>,
}

/// Cuts a connection. Requests to the server are refused from now on.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(server): Path<String>,
    Params(given): Params<Given>,
) -> Answer<StatusCode> {
    let cut = rooms.gateway.disconnect(&server, peer.actor(), given.reason).await;
    cut.map_err(Problem::from)?;
    Ok(StatusCode::NO_CONTENT)
}
