//! `POST /v1/agents/{name}/bearer`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::BearerUse;
use serde::Deserialize;

use super::{Because, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    allow: bool,
    reason: Option<String>,
}

/// Allows or refuses tokens without a proof. While it is allowed there is a finding.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    let bearer = if wanted.allow { BearerUse::Allowed } else { BearerUse::Refused };
    let because = Because { reason: wanted.reason };
    let changed = rooms.registrar.set_bearer(&name, bearer, because.text(), &peer.actor()).await?;
    Ok(Json(View::of(changed, &rooms)))
}
