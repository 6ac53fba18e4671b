//! `GET /v1/containments/events`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::failure::Answer;
use crate::pushed::Pushed;
use crate::rooms::Rooms;

/// What is contained, and each change of it, as server-sent events, until the caller leaves or the server stops.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Response> {
    Ok(Pushed::listen(&rooms, None)?)
}
