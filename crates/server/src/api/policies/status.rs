//! `GET /v1/policies`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::policies::Status;
use crate::rooms::Rooms;

/// Which set is in force, and how the last attempt to load one went.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Json<Arc<Status>> {
    Json(rooms.policies.status())
}
