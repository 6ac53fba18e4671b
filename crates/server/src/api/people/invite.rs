//! `POST /v1/people/invitations`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_register::PersonRequest;
use http::StatusCode;

use super::add::Wanted;
use super::link::LinkView;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

/// Adds a person and makes the link with which they sign in.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<LinkView>)> {
    let (person, code) = rooms.registrar.invite(&PersonRequest::from(wanted), &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(LinkView::of(&rooms, &person.name, &code))))
}
