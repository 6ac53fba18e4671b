//! `DELETE /v1/grants/{id}?reason=`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Params;
use crate::rooms::Rooms;

/// Takes a right back. The row stays, with the time; the next decision is made without it.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Params(because): Params<Because>,
) -> Answer<Json<View>> {
    Ok(Json(View::from(&rooms.registrar.revoke_grant(&id, because.text(), &peer.actor()).await?)))
}
