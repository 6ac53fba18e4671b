//! `POST /v1/sessions/{id}/end`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_authenticate::SessionError;
use chancery_model::SessionId;
use chancery_model::problem::{NO_SESSION, Problem, STORE_FAILED};
use chancery_store::sessions;

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Body;
use crate::rooms::Rooms;

/// Ends a session. Tokens that name it are refused from the next request on.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    let missing = |id: &str| Failure::from(Problem::new(NO_SESSION, format!("`{id}`")));
    let id: SessionId = id.parse().map_err(|_| missing(&id))?;
    match rooms.authenticator.end_session_for(&id, &peer.actor(), because.text()).await {
        Ok(_) => {}
        Err(SessionError::Store(e)) => return Err(Problem::new(STORE_FAILED, e.to_string()).into()),
        Err(_) => return Err(missing(id.as_str())),
    }
    let ended = sessions::get(&rooms.store, &id).await?.ok_or_else(|| missing(id.as_str()))?;
    Ok(Json(View::of(&ended, &rooms)))
}
