//! `POST /v1/signals/keys/rotate`

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

/// Makes a new key that signs security events. The one before is published for another week, or at once no more.
pub(crate) async fn rotate(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<JwkSet>> {
    let retiring = if wanted.at_once { Retiring::AtOnce } else { Retiring::WithOverlap };
    let failed = |e: chancery_authenticate::KeysError| Problem::new(STORE_FAILED, e.to_string());
    rooms.authenticator.rotate_set_key(retiring, &peer.actor()).await.map_err(failed)?;
    Ok(Json(rooms.authenticator.set_jwks().await.map_err(failed)?))
}
