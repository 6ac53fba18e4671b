//! `DELETE /v1/trust-sources/{name}?reason=`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Params;
use crate::rooms::Rooms;

/// Trusts it no longer: the sessions of its agent end with it.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Params(because): Params<Because>,
) -> Answer<Json<View>> {
    let removed = rooms.registrar.remove_trust_source(&name, because.text(), &peer.actor()).await?;
    Ok(Json(View::of(&rooms, &removed)))
}
