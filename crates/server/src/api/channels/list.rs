//! `GET /v1/channels`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// The channels of the configuration, and how they stand.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    Ok(Json(rooms.notifier.channels().await?.into_iter().map(View::from).collect()))
}
