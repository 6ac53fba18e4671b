//! `GET /v1/grants?agent=&all=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::grants;
use serde::Deserialize;

use super::View;
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

/// The grants in force; with `all`, those that give nothing any more too.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let now = rooms.clock.now();
    let found = match &wanted.agent {
        Some(name) => grants::of_principal(&rooms.store, &format!("Agent::\"{name}\"")).await?,
        None if wanted.all => grants::all(&rooms.store).await?,
        None => grants::in_force(&rooms.store, now).await?,
    };
    Ok(Json(found.iter().filter(|g| wanted.all || g.in_force(now)).map(View::from).collect()))
}
