//! `POST /oauth/introspect` (RFC 7662).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;

use super::request::{Asked, Shown, refused};
use crate::rooms::Rooms;

/// What a token is, for those who enforce.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match Asked::read(&headers, &body) {
        Ok(asked) => asked.over(shown),
        Err(response) => return *response,
    };
    let url = rooms.authenticator.config().introspection_endpoint();
    match rooms.authenticator.introspect(&asked.request(&url)).await {
        Ok(said) => Json(said).into_response(),
        Err(error) => refused(&error),
    }
}
