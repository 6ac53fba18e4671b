//! `POST /v1/containments/{id}/lift`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_oversee::containment::lift;
use serde::{Deserialize, Serialize};

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Why. There is no emergency in which something has to be let go at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Because {
    reason: String,
}

/// What is not in force any more.
#[derive(Debug, Serialize)]
pub(crate) struct Lifted {
    #[serde(flatten)]
    containment: View,
    /// It was lifted before.
    already: bool,
}

/// Lets something go again. Sessions from before stay stopped.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<Lifted>> {
    let lifted = lift(rooms.means(), &id, &peer.actor(), &because.reason).await?;
    Ok(Json(Lifted { containment: View::from(&lifted.containment), already: lifted.already }))
}
