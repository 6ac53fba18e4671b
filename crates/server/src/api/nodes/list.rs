//! `GET /v1/nodes`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::nodes;

use super::View;
use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// All there ever were. A database in the data directory has none.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    let nodes = nodes::all(&rooms.store).await?;
    let newest = nodes.iter().map(|node| node.seen_at.0).max().unwrap_or(0);
    Ok(Json(nodes.iter().map(|node| View::of(node, newest)).collect()))
}
