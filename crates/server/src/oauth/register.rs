//! `POST /oauth/register` (RFC 7591): a client registers itself with the code that an administrator gave it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_model::{Client, Secret};
use chancery_register::{ClientMetadata, DYNAMIC_GRANTS, RegisterError};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::headers::single;
use crate::rooms::Rooms;

/// Registers a public client of the agent that the code is for.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(code) = code(&headers) else { return refused(&RegisterError::BadRegistrationCode) };
    let unreadable = |e: serde_json::Error| RegisterError::BadMetadata {
        error: "invalid_client_metadata",
        why: format!("the body: {e}"),
    };
    let wanted: Result<ClientMetadata, _> = serde_json::from_slice(&body).map_err(unreadable);
    let registered = match wanted {
        Ok(wanted) => rooms.registrar.register_client(&code, &wanted).await,
        Err(e) => Err(e),
    };
    match registered {
        Ok(client) => (StatusCode::CREATED, Json(information(&client))).into_response(),
        Err(e) => refused(&e),
    }
}

/// The initial access token (RFC 7591, section 3), as a bearer token (RFC 6750, section 2.1).
fn code(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, code) = single(headers, &header::AUTHORIZATION).ok()??.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(code.trim().to_owned()))
}

/// What was registered (section 3.2.1): nothing that is not in force.
fn information(client: &Client) -> Value {
    json!({
        "client_id": client.id,
        "client_id_issued_at": client.created_at.seconds(),
        "redirect_uris": client.redirect_uris,
        "token_endpoint_auth_method": "none",
        "grant_types": DYNAMIC_GRANTS,
        "response_types": ["code"],
    })
}

fn refused(e: &RegisterError) -> Response {
    let (status, error) = match e {
        RegisterError::BadMetadata { error, .. } => (StatusCode::BAD_REQUEST, *error),
        RegisterError::BadRegistrationCode => (StatusCode::UNAUTHORIZED, "invalid_token"),
        RegisterError::RegistrationOff => (StatusCode::FORBIDDEN, "access_denied"),
        RegisterError::Store(_) | RegisterError::Busy(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
        _ => (StatusCode::BAD_REQUEST, "invalid_client_metadata"),
    };
    let mut response = (status, Json(json!({"error": error, "error_description": e.to_string()}))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
