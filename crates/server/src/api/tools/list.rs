//! `GET /v1/tools?server=&state=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::ToolState;
use serde::Deserialize;

use super::View;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    server: Option<String>,
    state: Option<ToolState>,
}

/// The tools of every server, or of one, by name.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let tools = chancery_store::tools::all(&rooms.store).await?;
    let of_server = |tool: &&chancery_model::Tool| wanted.server.as_ref().is_none_or(|s| *s == tool.server);
    let in_state = |tool: &&chancery_model::Tool| wanted.state.is_none_or(|s| s == tool.state);
    Ok(Json(tools.iter().filter(of_server).filter(in_state).map(View::from).collect()))
}
