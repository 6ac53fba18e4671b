//! `GET /v1/log/follow?…`

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;

use super::{View, Wanted};
use crate::failure::Answer;
use crate::input::Params;
use crate::rooms::Rooms;

/// Entries as they become durable, one JSON document a line, until the caller leaves or the server stops.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Params(wanted): Params<Wanted>) -> Answer<Response> {
    let follow = rooms.recorder.follow(wanted.filter()?).await?;
    let lines = stream::unfold((follow, rooms), |(mut follow, rooms)| async move {
        let found = tokio::select! {
            () = rooms.closing.cancelled() => return None,
            found = follow.next() => found.ok()?,
        };
        let mut line = serde_json::to_vec(&View::from(&found)).ok()?;
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), (follow, rooms)))
    });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response())
}
