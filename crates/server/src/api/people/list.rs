//! `GET /v1/people`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// Everybody, by name.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    Ok(Json(rooms.registrar.people().await?.iter().map(View::from).collect()))
}
