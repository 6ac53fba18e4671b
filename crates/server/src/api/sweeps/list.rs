//! `GET /v1/sweeps` and `GET /v1/sweeps/{id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use chancery_discover::DiscoverError;
use chancery_store::sweeps;
use serde::Deserialize;

use super::View;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

/// The most sweeps of one answer.
const MOST: u32 = 1_000;

/// Which sweeps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Every one, not only the newest of each source and scope.
    #[serde(default)]
    all: bool,
}

/// The newest of each source and scope; or the newest of all, at most a thousand.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let found = match wanted.all {
        true => sweeps::latest(&rooms.store, MOST).await?,
        false => sweeps::of_each_scope(&rooms.store).await?,
    };
    Ok(Json(found.iter().map(View::from).collect()))
}

/// One sweep, with everything it did not look at.
pub(crate) async fn get(State(rooms): State<Arc<Rooms>>, Path(id): Path<String>) -> Answer<Json<View>> {
    let found = match id.parse() {
        Ok(id) => sweeps::get(&rooms.store, &id).await?,
        Err(_) => None,
    };
    let sweep = found.ok_or_else(|| DiscoverError::NoSweep(id.chars().take(60).collect()))?;
    Ok(Json(View::from(&sweep)))
}
