//! `POST /oauth/bc-authorize` (OpenID CIBA Core 1.0, section 7).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::request::{Asked, refused, with_nonce};
use crate::rooms::Rooms;

/// Takes a question to a person.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match Asked::read(&headers, &body) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let url = rooms.authenticator.config().backchannel_endpoint();
    match rooms.authenticator.backchannel(&asked.request(&url)).await {
        Ok(body) => {
            with_nonce((StatusCode::OK, Json(body)).into_response(), rooms.authenticator.dpop_nonce().as_deref())
        }
        Err(error) => {
            let mut response = refused(&error);
            // Section 13: here alone a person's no has a status of its own.
            if error.error == "access_denied" {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            response
        }
    }
}
