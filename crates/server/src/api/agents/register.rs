//! `POST /v1/agents`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::problem::{BAD_FIELD, Problem};
use chancery_model::{AgentKind, Timestamp, Urn};
use chancery_register::Registration;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{CodeView, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{self, Body};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    #[serde(default = "agent")]
    kind: AgentKind,
    sponsor: Option<String>,
    owner: Option<String>,
    purpose: Option<String>,
    blueprint: Option<String>,
    expires_at: Option<String>,
    /// The discovered object that it is.
    #[serde(default)]
    adopts: Option<String>,
}

fn agent() -> AgentKind {
    AgentKind::Agent
}

/// The new identity, and the one-time code with which it enrols its key.
#[derive(Serialize)]
pub(crate) struct Made {
    agent: View,
    enrolment: CodeView,
}

/// Registers an identity. Sponsor, owner and purpose are mandatory, unless a blueprint says them; without `expires_at` it has an end all the same.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<Made>)> {
    let end: Option<Timestamp> = wanted.expires_at.as_deref().map(input::time).transpose()?;
    let adopts = wanted.adopts.map(|urn| urn.parse::<Urn>()).transpose();
    let registration = Registration {
        adopts: adopts.map_err(|e| Problem::new(BAD_FIELD, format!("adopts: {e}")))?,
        name: wanted.name,
        kind: wanted.kind,
        sponsor: wanted.sponsor,
        owner: wanted.owner,
        purpose: wanted.purpose,
        blueprint: wanted.blueprint,
        expires_in: end.map(|end| end - rooms.clock.now()),
    };
    let made = rooms.registrar.register(&registration, &peer.actor()).await?;
    let enrolment = CodeView::of(&made.agent.name, &made.code);
    Ok((StatusCode::CREATED, Json(Made { agent: View::of(made.agent, &rooms), enrolment })))
}
