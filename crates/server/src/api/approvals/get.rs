//! `GET /v1/approvals/{id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{View, id};
use crate::failure::Answer;
use crate::rooms::Rooms;

/// One request, with what people said.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(name): Path<String>) -> Answer<Json<View>> {
    Ok(Json(View::of(rooms.approvals.get(&id(&name)?).await?, &rooms)))
}
