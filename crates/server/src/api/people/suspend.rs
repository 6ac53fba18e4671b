//! `POST /v1/people/{name}/suspend`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Ends their logins, and everything that agents do in their name.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    Ok(Json(View::from(&rooms.registrar.suspend_person(&name, because.text(), &peer.actor()).await?)))
}
