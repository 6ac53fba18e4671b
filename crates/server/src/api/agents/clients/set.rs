//! `POST /v1/agents/{name}/clients`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::problem::{BAD_REQUEST, Problem};
use chancery_register::ClientRequest;
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
    metadata: Option<String>,
    redirect_uris: Option<Vec<String>>,
}

/// Adopts the client of a document, or states the redirect addresses of the agent's own.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<View>)> {
    let request = match (wanted.metadata, wanted.redirect_uris) {
        (Some(url), None) => ClientRequest::MetadataDocument(url),
        (None, Some(uris)) => ClientRequest::Registered(uris),
        _ => return Err(Problem::new(BAD_REQUEST, "either `metadata` or `redirect_uris` is needed").into()),
    };
    let client = rooms.registrar.set_client(&name, &request, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(View::from(&client))))
}
