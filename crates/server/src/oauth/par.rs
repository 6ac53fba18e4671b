//! `POST /oauth/par` (RFC 9126).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::request::{Asked, refused, with_nonce};
use crate::rooms::Rooms;

/// Takes an authorization request from its client.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match Asked::read(&headers, &body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let url = rooms.authenticator.config().pushed_request_endpoint();
    match rooms.authenticator.push(&asked.request(&url)).await {
        Ok(body) => {
            with_nonce((StatusCode::CREATED, Json(body)).into_response(), rooms.authenticator.dpop_nonce().as_deref())
        }
        Err(error) => refused(&error),
    }
}
