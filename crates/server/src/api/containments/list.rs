//! `GET /v1/containments?all=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::containments;
use serde::Deserialize;

use super::View;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    all: bool,
}

/// What is contained at present; with `all`, what was contained too.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let found = match wanted.all {
        true => containments::all(&rooms.store).await?,
        false => containments::standing(&rooms.store).await?,
    };
    Ok(Json(found.iter().map(View::from).collect()))
}
