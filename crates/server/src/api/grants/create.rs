//! `POST /v1/grants`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::GrantMode;
use chancery_register::GrantRequest;
use http::StatusCode;
use serde::Deserialize;

use super::View;
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{self, Body};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    template: String,
    principal: String,
    resource: String,
    mode: GrantMode,
    justification: String,
    expires_at: Option<String>,
}

/// Links a template of the policy set to a principal and a resource. The next decision sees it.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    rooms.engine.check_grant(&wanted.template, &wanted.principal, &wanted.resource)?;
    let request = GrantRequest {
        template: wanted.template,
        principal: wanted.principal,
        resource: wanted.resource,
        mode: wanted.mode,
        justification: wanted.justification,
        expires_at: wanted.expires_at.as_deref().map(input::time).transpose()?,
    };
    let grant = rooms.registrar.grant(&request, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::from(&grant))))
}
