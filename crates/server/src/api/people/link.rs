//! `POST /v1/people/{name}/setup-link`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_register::SignInCode;
use http::StatusCode;
use serde::Serialize;

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// A one-time link, shown this once.
#[derive(Serialize)]
pub(crate) struct LinkView {
    person: String,
    link: String,
    expires_at: String,
}

impl LinkView {
    pub(crate) fn of(rooms: &Rooms, person: &str, code: &SignInCode) -> Self {
        let link = format!("{}/sign-in/{}", rooms.people_url, code.code.expose());
        Self { person: person.to_owned(), link, expires_at: code.expires_at.rfc3339() }
    }
}

/// Makes a link with which the person signs in. It voids the ones before.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer<(StatusCode, Json<LinkView>)> {
    let code = rooms.registrar.sign_in_link(&name, &peer.actor()).await?;
    Ok((StatusCode::CREATED, Json(LinkView::of(&rooms, &name, &code))))
}
