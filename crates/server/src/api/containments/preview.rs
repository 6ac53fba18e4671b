//! `POST /v1/containments/preview`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_oversee::containment::plan;
use chancery_store::containments;

use super::{Asked, Preview};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;
use crate::voided::covered;

/// What throwing the switch would stop at this moment. Nothing is changed, and nothing is written.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(asked): Body<Asked>,
) -> Answer<Json<Preview>> {
    let planned = plan(rooms.means(), asked.wanted(&rooms, &peer.actor())).await?;
    let known = containments::in_force(&rooms.store, planned.scope, &planned.subject).await?;
    let approvals = covered(&rooms, &planned).await?.len();
    Ok(Json(Preview::of(&rooms, &planned, known.map(|known| known.id.to_string()), approvals)))
}
