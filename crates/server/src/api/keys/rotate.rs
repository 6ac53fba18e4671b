//! `POST /v1/keys/rotate`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_authenticate::{JwkSet, Retiring};
use chancery_model::problem::{Problem, STORE_FAILED};
use serde::Deserialize;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    at_once: bool,
}

/// Makes a new key that signs tokens. The one before verifies for another hour, or at once no more: then every token
/// that is out is refused, and its holder asks for another.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<JwkSet>> {
    let retiring = if wanted.at_once { Retiring::AtOnce } else { Retiring::WithOverlap };
    let rotated = rooms.authenticator.rotate_token_key(retiring, &peer.actor()).await;
    rotated.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?;
    Ok(Json(rooms.authenticator.jwks()))
}
