//! `POST /v1/people/{name}/resume`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::View;
use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Lets them sign in again. What ended with the suspension stays ended.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    Ok(Json(View::from(&rooms.registrar.resume_person(&name, because.text(), &peer.actor()).await?)))
}
