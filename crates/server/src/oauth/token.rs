//! `POST /oauth/token` (RFC 6749, section 4.4; errors as section 5.2 wants them, not as problem details).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::{OauthError, TokenRequest};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::form;
use crate::headers::single;
use crate::rooms::Rooms;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const FORM: &str = "application/x-www-form-urlencoded";

/// Issues a token for exactly one resource, bound to the key of the request's DPoP proof.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
    let pairs = is_form.then(|| form::pairs(&body)).flatten();
    let (dpop, authorization) = (single(&headers, &DPOP), single(&headers, &header::AUTHORIZATION));
    let (Some(pairs), Ok(dpop), Ok(authorization)) = (pairs, dpop, authorization) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "send one form and at most one `DPoP` and one `Authorization` header",
        );
    };
    let url = rooms.authenticator.config().token_endpoint();
    match rooms
        .authenticator
        .token(TokenRequest { form: &pairs, authorization, dpop, certificate: None, url: &url })
        .await
    {
        Ok(token) => with_nonce(Json(token.body).into_response(), token.dpop_nonce.as_deref()),
        Err(error) => refused(&error),
    }
}

fn refused(error: &OauthError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    with_nonce(refusal(status, error.error, &error.description), error.dpop_nonce.as_deref())
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": description}))).into_response()
}

fn with_nonce(mut response: Response, nonce: Option<&str>) -> Response {
    if let Some(value) = nonce.and_then(|nonce| HeaderValue::from_str(nonce).ok()) {
        response.headers_mut().insert(DPOP_NONCE, value);
    }
    response
}
