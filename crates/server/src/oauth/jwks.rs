//! `GET /oauth/jwks` (RFC 7517, section 5).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_authenticate::JwkSet;

use crate::rooms::Rooms;

/// The public keys our tokens are verified with.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Json<JwkSet> {
    Json(rooms.authenticator.jwks())
}
