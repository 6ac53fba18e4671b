//! `POST` and `DELETE /v1/agents/{name}/secrets`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::Span;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Because, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{Body, time};
use crate::rooms::Rooms;

/// How long a secret lives if nothing is said.
const LASTS: Span = Span::days(90);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    expires_at: Option<String>,
    reason: Option<String>,
}

/// A client secret, shown this once.
#[derive(Serialize)]
pub(crate) struct SecretView {
    agent: String,
    secret: String,
    expires_at: String,
}

/// Makes another secret with which the agent authenticates at the token endpoint. While it has one there is a finding.
pub(crate) async fn create(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<SecretView>)> {
    let until = wanted.expires_at.as_deref().map(time).transpose()?;
    let lasts = until.map_or(LASTS, |until| until - rooms.clock.now());
    let because = Because { reason: wanted.reason };
    let made = rooms.registrar.new_secret(&name, lasts, because.text(), &peer.actor()).await?;
    let (secret, expires_at) = (made.secret.expose().to_owned(), made.expires_at.rfc3339());
    Ok((StatusCode::CREATED, Json(SecretView { agent: name, secret, expires_at })))
}

/// Revokes all secrets of an agent. What was opened with them ends.
pub(crate) async fn revoke(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<Json<View>> {
    let changed = rooms.registrar.revoke_secrets(&name, Because::default().text(), &peer.actor()).await?;
    Ok(Json(View::of(changed, &rooms)))
}
