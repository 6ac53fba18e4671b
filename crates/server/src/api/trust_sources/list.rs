//! `GET /v1/trust-sources`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// All of them, by name.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    let sources = rooms.registrar.trust_sources().await?;
    Ok(Json(sources.iter().map(|source| View::of(&rooms, source)).collect()))
}
