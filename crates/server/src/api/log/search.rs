//! `GET /v1/log?agent=&human=&break_glass=&chain=&server=&tool=&session=&instance=&decision=&kind=&since=&until=&before=&limit=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::{View, Wanted};
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

/// How many entries are given at once, unless fewer are asked for.
const MOST: usize = 1_000;
const USUAL: usize = 50;

/// The newest entries that are wanted, oldest of them first; `before` goes on to older ones.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let limit = wanted.limit.unwrap_or(USUAL).min(MOST);
    let found = rooms.recorder.tail(&wanted.filter()?, limit).await?;
    Ok(Json(found.iter().map(View::from).collect()))
}
