//! `POST /v1/tools/approve`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_gateway::ApproveError;
use chancery_model::problem::{BAD_FIELD, BAD_TRANSITION, NO_SUCH_TOOL, Problem};
use serde::{Deserialize, Serialize};

use super::{View, unhex};
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    server: String,
    tool: String,
    /// SHA-256 of the definition that was looked at, in hex: nothing else is approved.
    digest: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Approved {
    #[serde(flatten)]
    tool: View,
    /// What keeps it from being called although it is approved.
    remark: Option<String>,
}

/// The definition that was looked at becomes the approved one, if it still is the one seen last, and the tool can be
/// listed and called.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Approved>> {
    let digest = unhex(&wanted.digest)
        .ok_or_else(|| Problem::new(BAD_FIELD, format!("`digest` is no SHA-256 in hex: `{}`", wanted.digest)))?;
    let approved = rooms.gateway.approve(&wanted.server, &wanted.tool, &digest, &peer.actor()).await?;
    let remark = approved
        .behind
        .map(|why| format!("approved, but its calls are refused until the policy set can be rebuilt with it: {why}"));
    Ok(Json(Approved { tool: View::from(&approved.tool), remark }))
}

impl From<ApproveError> for Failure {
    fn from(error: ApproveError) -> Self {
        match error {
            ApproveError::NoTool { .. } => Problem::new(NO_SUCH_TOOL, error.to_string()).into(),
            ApproveError::Approved(_) | ApproveError::Changed { .. } | ApproveError::Name { .. } => {
                Problem::new(BAD_TRANSITION, error.to_string()).next("look at it: `chancery tool list -o wide`").into()
            }
            ApproveError::Store(error) => error.into(),
        }
    }
}
