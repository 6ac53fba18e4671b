//! `GET` and `POST /v1/blueprints/{name}/manifest`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use crate::api::agents::manifest::{View, Wanted};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// What the instances of a blueprint are to be made of, and what one of them stated that is not approved.
pub(crate) async fn show(State(rooms): State<Arc<Rooms>>, Path(name): Path<String>) -> Answer<Json<View>> {
    let known = rooms.registrar.blueprint_manifest(&name).await?;
    Ok(Json(View::of(&name, &format!("blueprint manifest {name}"), &known)))
}

/// What was looked at becomes the approved one. If it is another than before, sessions of all instances are over.
pub(crate) async fn approve(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    rooms.registrar.approve_blueprint(&name, &wanted.approval()?, &peer.actor()).await?;
    show(State(rooms), Path(name)).await
}
