//! `POST /ssf/receive/{transmitter}` (RFC 8935): where others push their events.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_gateway::Secrets as _;
use chancery_model::problem::{NO_TRANSMITTER, Problem, TOO_BUSY};
use chancery_oversee::signals::NotTaken;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::credentials::Sealed;
use crate::failure::Failure;
use crate::headers::single;
use crate::policies::sha256;
use crate::rooms::Rooms;

/// The longest token, in bytes: longer ones are none.
const LONGEST: usize = 16 * 1024;

/// Takes one event of a transmitter that shows the secret it was given.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Path(transmitter): Path<String>,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    let Some(secret) = rooms.signals.receiver.push_secret(&transmitter) else {
        let name: String = transmitter.chars().take(63).collect();
        return Failure::from(Problem::new(NO_TRANSMITTER, format!("`{name}`"))).into_response();
    };
    match shows(&rooms, secret, &headers).await {
        Ok(true) => {}
        Ok(false) => return unauthorized(),
        Err(why) => return trouble(&why),
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/secevent+jwt") || sent.len() > LONGEST {
        return refusal("invalid_request", &format!("send one `application/secevent+jwt` of at most {LONGEST} bytes"));
    }
    let Ok(token) = std::str::from_utf8(&sent) else { return refusal("invalid_request", "it is not text") };
    match rooms.signals.receiver.take(&transmitter, token.trim()).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(NotTaken { code: Some(code), why }) => refusal(code, &why),
        Err(NotTaken { code: None, why }) => trouble(&why),
    }
}

/// Does the request show the stored secret? Hashes are compared, so that the time it takes tells nothing.
async fn shows(rooms: &Rooms, name: &str, headers: &HeaderMap) -> Result<bool, String> {
    let secrets = Sealed { store: rooms.store.clone(), vault: rooms.vault.clone() };
    let wanted = secrets.open(name).await?.ok_or_else(|| format!("there is no stored secret `{name}`"))?;
    let shown = single(headers, &header::AUTHORIZATION).ok().flatten().unwrap_or_default();
    let shown = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = shown.map(|(_, token)| token.trim_start_matches(' ')).unwrap_or_default();
    Ok(!token.is_empty() && sha256(token.as_bytes()) == sha256(wanted.expose().as_bytes()))
}

/// RFC 8935, section 2.3.
fn refusal(code: &str, why: &str) -> Response {
    let mut response = (StatusCode::BAD_REQUEST, Json(json!({"err": code, "description": why}))).into_response();
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    response
}

fn unauthorized() -> Response {
    let body = json!({"err": "authentication_failed", "description": "the token of the push is not the agreed one"});
    let mut response = (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Not the transmitter's fault: it sends it again.
fn trouble(why: &str) -> Response {
    let mut response = Failure::from(Problem::new(TOO_BUSY, why)).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}
