//! `POST /ssf/poll/{stream}` (RFC 8936).

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::sync::Arc;

use super::{Asked, READ, Shown, answer, body, refused};
use crate::rooms::Rooms;

/// Gives what waits, and takes acknowledgements.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Path(stream): Path<String>,
    shown: Shown,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    let asked = Asked { method: Method::POST, path: &format!("/poll/{stream}"), headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, READ)?;
        let closing = rooms.closing.cancelled();
        let polled = rooms.signals.transmitter.poll(&receiver, &stream, body(&sent)?, closing).await;
        Ok(Json(polled.map_err(refused)?).into_response())
    };
    answer(done.await)
}
