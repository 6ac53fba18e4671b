//! `POST /oauth/revoke` (RFC 7009).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::request::{Asked, Shown, refused};
use crate::rooms::Rooms;

/// Ends the session of a token and everything below it.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match Asked::read(&headers, &body) {
        Ok(asked) => asked.over(shown),
        Err(response) => return *response,
    };
    let url = rooms.authenticator.config().revocation_endpoint();
    match rooms.authenticator.revoke(&asked.request(&url)).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refused(&error),
    }
}
