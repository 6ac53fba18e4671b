//! `POST /v1/signals/held/{id}/apply` and `…/dismiss`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::held::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Does what the event asks for.
pub(crate) async fn apply(
    state: State<Arc<Rooms>>,
    peer: Extension<Peer>,
    path: Path<String>,
    body: Body<Because>,
) -> Answer<Json<View>> {
    decide(state, peer, path, body, true).await
}

/// Lets it be.
pub(crate) async fn dismiss(
    state: State<Arc<Rooms>>,
    peer: Extension<Peer>,
    path: Path<String>,
    body: Body<Because>,
) -> Answer<Json<View>> {
    decide(state, peer, path, body, false).await
}

async fn decide(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
    apply: bool,
) -> Answer<Json<View>> {
    let decided = rooms.signals.receiver.decide(&id, apply, because.text(), &peer.actor()).await?;
    Ok(Json(View::from(decided)))
}
