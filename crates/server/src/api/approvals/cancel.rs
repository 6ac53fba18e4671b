//! `POST /v1/approvals/{id}/cancel`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::{View, id};
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Takes a request back: a yes that was said does not count any more. Saying yes is for people, on its page.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    let cancelled = rooms.approvals.cancel(&id(&name)?, because.text(), &peer.actor()).await?;
    Ok(Json(View::of(cancelled, &rooms)))
}
