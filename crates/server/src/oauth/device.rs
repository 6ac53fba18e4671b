//! `POST /oauth/device_authorization` (RFC 8628, section 3.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::request::{Asked, refused, with_nonce};
use crate::rooms::Rooms;

/// Takes the question of a device.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match Asked::read(&headers, &body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let url = rooms.authenticator.config().device_endpoint();
    match rooms.authenticator.device_authorization(&asked.request(&url)).await {
        Ok(body) => {
            with_nonce((StatusCode::OK, Json(body)).into_response(), rooms.authenticator.dpop_nonce().as_deref())
        }
        Err(error) => refused(&error),
    }
}
