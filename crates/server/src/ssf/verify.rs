//! `POST /ssf/verify` (section 8.1.4.2).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_model::problem::TOO_MANY_VERIFICATIONS;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;

use super::{Asked, MANAGE, Shown, answer, body, refused};
use crate::rooms::Rooms;

/// As long as the least time between two.
const LATER: HeaderValue = HeaderValue::from_static("10");

/// What is to come back.
#[derive(Debug, Deserialize)]
struct Wanted {
    stream_id: String,
    state: Option<String>,
}

/// Puts a verification event into the stream.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, sent: Bytes) -> Response {
    let asked = Asked { method: Method::POST, path: "/verify", headers: &headers, shown };
    let done = async {
        let receiver = asked.receiver(&rooms, MANAGE)?;
        let Wanted { stream_id, state } = body(&sent)?;
        let put = rooms.signals.transmitter.verify(&receiver, &stream_id, state.as_deref()).await;
        put.map_err(|error| {
            let early = error.row.code == TOO_MANY_VERIFICATIONS.code;
            let mut response = refused(error);
            if early {
                response.headers_mut().insert(header::RETRY_AFTER, LATER);
            }
            response
        })?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(done.await)
}
