//! `GET /.well-known/ssf-configuration` (section 7.1) and `GET /ssf/jwks`.

use axum::Json;
use axum::extract::State;
use chancery_authenticate::JwkSet;
use chancery_model::problem::{Problem, STORE_FAILED};
use serde_json::Value;
use std::sync::Arc;

use crate::failure::Answer;
use crate::rooms::Rooms;

/// What a receiver has to know to ask for events.
pub(crate) async fn configuration(State(rooms): State<Arc<Rooms>>) -> Json<Value> {
    Json(rooms.signals.transmitter.metadata())
}

/// The public keys that our events are verified with.
pub(crate) async fn keys(State(rooms): State<Arc<Rooms>>) -> Answer<Json<JwkSet>> {
    let keys = rooms.authenticator.set_jwks().await;
    Ok(Json(keys.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?))
}
