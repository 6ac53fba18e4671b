//! `/ssf/status` (section 8.1.2).

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_model::StreamStatus;
use http::{HeaderMap, Method};
use serde::Deserialize;
use std::sync::Arc;

use super::{Asked, MANAGE, READ, Shown, answer, body, refused};
use crate::rooms::Rooms;

const PATH: &str = "/status";

/// Which stream.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Named {
    #[serde(default)]
    stream_id: String,
}

/// What it is to be.
#[derive(Debug, Deserialize)]
struct Wanted {
    stream_id: String,
    status: StreamStatus,
    reason: Option<String>,
}

/// `GET`: whether events go over the stream.
pub(crate) async fn read(
    State(rooms): State<Arc<Rooms>>,
    Query(named): Query<Named>,
    shown: Shown,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { method: Method::GET, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, READ)?;
        let status = rooms.signals.transmitter.status(&receiver, &named.stream_id).await.map_err(refused)?;
        Ok(Json(status).into_response())
    };
    answer(done.await)
}

/// `POST`: the receiver decides whether they do.
pub(crate) async fn set(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes) -> Response {
    let asked = Asked { method: Method::POST, path: PATH, headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let Wanted { stream_id, status, reason } = body(&sent)?;
        let set = rooms.signals.transmitter.set_status(&receiver, &stream_id, status, reason.as_deref());
        Ok(Json(set.await.map_err(refused)?).into_response())
    };
    answer(done.await)
}
