//! `POST /v1/agents/{name}/registration-codes`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use serde::Serialize;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// A code, shown this once.
#[derive(Serialize)]
pub(crate) struct View {
    agent: String,
    code: String,
    expires_at: String,
    registration_endpoint: String,
}

/// Makes a code with which one client registers itself for the agent (RFC 7591). It voids the one before.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<(StatusCode, Json<View>)> {
    let made = rooms.registrar.registration_code(&name, &peer.actor()).await?;
    let view = View {
        agent: name,
        code: made.code.expose().to_owned(),
        expires_at: made.expires_at.rfc3339(),
        registration_endpoint: rooms.authenticator.config().registration_endpoint(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}
