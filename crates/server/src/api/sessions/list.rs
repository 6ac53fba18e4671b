//! `GET /v1/sessions?agent=&all=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::sessions;
use serde::Deserialize;

use super::View;
use crate::api::agents::named;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    agent: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Sessions that admit calls at this moment; with `agent` and `all`, ended ones of that agent too.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let agent = wanted.agent.as_deref().map(|name| named(&rooms, name)).transpose()?;
    let found = match &agent {
        Some(found) if wanted.all => sessions::of_agent(&rooms.store, &found.agent.id).await?,
        Some(found) => rooms.authenticator.sessions().into_iter().filter(|s| s.agent == found.agent.id).collect(),
        None => rooms.authenticator.sessions(),
    };
    Ok(Json(found.iter().map(|session| View::of(session, &rooms)).collect()))
}
