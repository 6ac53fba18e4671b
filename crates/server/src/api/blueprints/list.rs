//! `GET /v1/blueprints`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// Every blueprint, by name.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    Ok(Json(rooms.registrar.blueprints().await?.iter().map(View::from).collect()))
}
