//! `POST /v1/blueprints`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::Span;
use chancery_register::BlueprintRequest;
use http::StatusCode;
use serde::Deserialize;

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    sponsor: String,
    owner: String,
    purpose: String,
    lifetime_days: Option<u32>,
}

/// Makes a blueprint. What it says of people, purpose and time holds for instances that say nothing else.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    let request = BlueprintRequest {
        name: wanted.name,
        sponsor: wanted.sponsor,
        owner: wanted.owner,
        purpose: wanted.purpose,
        lifetime: wanted.lifetime_days.map(|days| Span::days(days.into())),
    };
    let made = rooms.registrar.create_blueprint(&request, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::from(&made))))
}
