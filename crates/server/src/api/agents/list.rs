//! `GET /v1/agents?state=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::{Agent, AgentState};
use serde::Deserialize;

use super::View;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    state: Option<AgentState>,
}

/// Every identity, or those in one state, by name.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let agents = rooms.registrar.agents().await?;
    let in_state = |agent: &&Agent| wanted.state.is_none_or(|state| state == agent.state);
    Ok(Json(agents.iter().filter(in_state).map(View::from).collect()))
}
