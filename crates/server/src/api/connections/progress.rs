//! `GET /v1/connections/{server}/authorize/{id}`

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use chancery_gateway::Progress;
use chancery_model::problem::{NO_CONNECTION, Problem};
use serde_json::{Value, json};

use crate::failure::Answer;
use crate::rooms::Rooms;

/// An answer that nothing happened comes after so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits a while for the end of an authorization.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Path((server, id)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let none = || Problem::new(NO_CONNECTION, format!("no authorization of `{server}` has the id `{id}`, or any more"));
    match rooms.gateway.connection_progress(&id, PATIENCE).await.ok_or_else(none)? {
        Progress::Waiting => Ok(Json(json!({"state": "waiting", "server": server}))),
        Progress::Connected => Ok(Json(json!({"state": "connected", "server": server}))),
        Progress::Failed(error) => Err(Problem::from(error).into()),
    }
}
