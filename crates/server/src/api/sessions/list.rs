//! `GET /v1/sessions?agent=&human=&all=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::problem::{BAD_REQUEST, Problem};
use chancery_store::sessions;
use serde::Deserialize;

use super::View;
use crate::api::agents::named;
use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    agent: Option<String>,
    human: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Sessions that admit calls at this moment; with `agent` and `all`, ended ones of that agent too. With `human`, only those
/// in this person's name.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let agent = wanted.agent.as_deref().map(|name| named(&rooms, name)).transpose()?;
    if wanted.all && agent.is_none() {
        return Err(Problem::new(BAD_REQUEST, "`all` is for the sessions of one `agent`").into());
    }
    let found = match &agent {
        Some(found) if wanted.all => sessions::of_agent(&rooms.store, &found.agent.id).await?,
        Some(found) => rooms.authenticator.sessions().into_iter().filter(|s| s.agent == found.agent.id).collect(),
        None => rooms.authenticator.sessions(),
    };
    let views = found.iter().map(|session| View::of(session, &rooms));
    Ok(Json(views.filter(|view| wanted.human.is_none() || view.human == wanted.human).collect()))
}
