//! `POST /v1/enrolments`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;

use crate::api::agents::CodeView;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    agent: String,
}

/// Makes another code, for a lost one or a new key. It voids the ones before.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<CodeView>)> {
    let code = rooms.registrar.new_code(&wanted.agent, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(CodeView::of(&wanted.agent, &code))))
}
