//! `GET /v1/log/tile/{level}/{index}`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chancery_model::problem::{NOT_SEQUENCED, Problem};
use http::header;

use crate::failure::Answer;
use crate::rooms::Rooms;

/// The hashes of one tile of the tree (C2SP tlog-tiles, height 8), 32 bytes each; fewer than 256 if it is partial.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path((level, index)): Path<(u8, u64)>) -> Answer<Response> {
    let missing = || Problem::new(NOT_SEQUENCED, format!("tile {level}/{index} does not exist yet"));
    let tile = chancery_store::log::tile(&rooms.store, level, index).await?.ok_or_else(missing)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], tile.hashes).into_response())
}
