//! `GET /v1/agents/{name}/clients`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// The clients of an agent.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(name): Path<String>) -> Answer<Json<Items<View>>> {
    Ok(Json(rooms.registrar.clients(&name).await?.iter().map(View::from).collect()))
}
