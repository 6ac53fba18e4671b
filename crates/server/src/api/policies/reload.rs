//! `POST /v1/policies/reload`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::policies::Status;
use crate::rooms::Rooms;

/// Reads the policy files again. All of them come into force, or none and the answer says why.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
) -> Answer<Json<Arc<Status>>> {
    Ok(Json(rooms.policies.reload(&peer.actor()).await?))
}
