//! `POST /v1/tools/approve`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_gateway::ApproveError;
use chancery_model::problem::{BAD_TRANSITION, NO_SUCH_TOOL, Problem};
use chancery_store::tools;
use serde::Deserialize;

use super::{View, hex};
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    server: String,
    tool: String,
    /// Only the definition with this digest; guards against a change between looking and approving.
    digest: Option<String>,
}

/// The definition that was seen last becomes the approved one, and the tool can be listed and called.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    if let Some(digest) = &wanted.digest {
        must_be(&rooms, &wanted, digest).await?;
    }
    let approved = rooms.gateway.approve(&wanted.server, &wanted.tool, &peer.actor()).await?;
    Ok(Json(View::from(&approved)))
}

async fn must_be(rooms: &Rooms, wanted: &Wanted, digest: &str) -> Answer<()> {
    let tool = tools::get(&rooms.store, &wanted.server, &wanted.tool).await?;
    let tool = tool.ok_or_else(|| Problem::new(NO_SUCH_TOOL, format!("`{}/{}`", wanted.server, wanted.tool)))?;
    let seen = hex(tool.seen.as_ref().map_or(&tool.digest, |(seen, _)| seen));
    if seen == digest {
        return Ok(());
    }
    Err(Problem::new(BAD_TRANSITION, format!("the definition seen last has the digest {seen}")).into())
}

impl From<ApproveError> for Failure {
    fn from(error: ApproveError) -> Self {
        match error {
            ApproveError::NoTool { .. } => Problem::new(NO_SUCH_TOOL, error.to_string()).into(),
            ApproveError::Approved(_) | ApproveError::Name { .. } => {
                Problem::new(BAD_TRANSITION, error.to_string()).into()
            }
            ApproveError::Store(error) => error.into(),
        }
    }
}
