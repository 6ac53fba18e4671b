//! `GET /v1/containments/{id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::View;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// One containment.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(id): Path<String>) -> Answer<Json<View>> {
    Ok(Json(View::from(&chancery_oversee::containment::get(&rooms.store, &id).await?)))
}
