//! `GET /v1/connections`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_gateway::ConnectionView;

use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// Every server whose credential is a connection, connected or not; never a token.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<ConnectionView>>> {
    Ok(Json(rooms.gateway.connections().await.into_iter().collect()))
}
