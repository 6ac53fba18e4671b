//! `POST /v1/admin/setup-link`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;

use crate::api::people::link::LinkView;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    #[serde(default)]
    display: Option<String>,
}

/// Makes a person administrator, with a link to sign in with. It voids the ones before.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<LinkView>)> {
    let made = rooms.registrar.set_up_admin(&wanted.name, wanted.display.as_deref(), &peer.actor()).await;
    let (person, code) = made?;
    Ok((StatusCode::CREATED, Json(LinkView::of(&rooms, &person.name, &code))))
}
