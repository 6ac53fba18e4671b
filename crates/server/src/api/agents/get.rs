//! `GET /v1/agents/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{View, named};
use crate::failure::Answer;
use crate::rooms::Rooms;

/// One identity, by name or id.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(name): Path<String>) -> Answer<Json<View>> {
    Ok(Json(View::from(&named(&rooms, &name)?)))
}
