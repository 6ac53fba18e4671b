//! `GET /v1/secrets`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::secrets;

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// Names and versions; never a value.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    Ok(Json(secrets::all(&rooms.store).await?.iter().map(View::from).collect()))
}
