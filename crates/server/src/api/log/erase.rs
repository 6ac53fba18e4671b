//! `POST /v1/log/{id}/erase`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::{DecisionId, Who};
use serde::{Deserialize, Serialize};

use super::entry_id;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `arguments`, `result`, `question` …
    body: String,
    reason: Option<String>,
}

/// What was erased, and the entry that says so.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    body: String,
    recorded: String,
}

/// Erases one body of an entry, content and salt. The entry, its salted hash and every proof stay.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    let id = entry_id(&id)?;
    let who = Who { human: Some(peer.actor()), ..Who::default() };
    let durable = rooms.recorder.erase_body(id.0, &wanted.body, who, wanted.reason).await?;
    let recorded = DecisionId(durable.position()).to_string();
    Ok(Json(View { id: id.to_string(), body: wanted.body, recorded }))
}
