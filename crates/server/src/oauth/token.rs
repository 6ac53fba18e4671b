//! `POST /oauth/token` (OAuth 2.1 draft, section 3.2; errors as RFC 6749, section 5.2 wants them, not as problem details).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;

use super::request::{Asked, Shown, refused, with_nonce};
use crate::rooms::Rooms;

/// Issues a token for exactly one resource, bound to the key of the request's DPoP proof.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, shown: Shown, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match Asked::read(&headers, &body) {
        Ok(asked) => asked.over(shown),
        Err(response) => return *response,
    };
    let url = rooms.authenticator.config().token_endpoint();
    let request = asked.request(&url);
    match rooms.authenticator.token(asked.request(&url)).await {
        Ok(token) => with_nonce(Json(token.body).into_response(), token.dpop_nonce.as_deref()),
        Err(error) => {
            let claimed = (error.status() == 401).then(|| rooms.authenticator.claimed_by_request(&request)).flatten();
            rooms.meet("token", claimed);
            refused(&error)
        }
    }
}
