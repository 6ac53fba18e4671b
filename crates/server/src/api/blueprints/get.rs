//! `GET /v1/blueprints/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::View;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// One blueprint.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(name): Path<String>) -> Answer<Json<View>> {
    Ok(Json(View::from(&rooms.registrar.blueprint(&name).await?)))
}
