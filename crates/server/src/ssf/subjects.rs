//! `POST /ssf/subjects/add` and `…/remove` (section 8.1.3).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

use super::{Asked, MANAGE, Shown, answer, body, refused};
use crate::rooms::Rooms;

/// Whom events are to be about.
#[derive(Debug, Deserialize)]
struct About {
    stream_id: String,
    subject: Value,
}

/// The receiver wants to be told of a subject.
pub(crate) async fn add(state: State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes) -> Response {
    put(state, shown, headers, sent, true).await
}

/// It does not.
pub(crate) async fn remove(state: State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes) -> Response {
    put(state, shown, headers, sent, false).await
}

async fn put(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes, wanted: bool) -> Response {
    let path = if wanted { "/subjects/add" } else { "/subjects/remove" };
    let asked = Asked { method: Method::POST, path, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let About { stream_id, subject } = body(&sent)?;
        rooms.signals.transmitter.subject(&receiver, &stream_id, &subject, wanted).await.map_err(refused)?;
        Ok(if wanted { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response())
    };
    answer(done.await)
}
