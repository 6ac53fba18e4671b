//! `POST /v1/blueprints/{name}/instances`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::problem::{BAD_REQUEST, Problem};
use chancery_model::{AgentKind, Timestamp};
use chancery_register::{Instance, Instances, Names};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::{self, Body};
use crate::rooms::Rooms;

/// Either `names`, or `count` and perhaps a `prefix`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    names: Option<Vec<String>>,
    count: Option<usize>,
    prefix: Option<String>,
    kind: Option<AgentKind>,
    sponsor: Option<String>,
    owner: Option<String>,
    purpose: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    codes: bool,
}

/// The new instances, each with its one-time enrolment code where codes were asked for.
#[derive(Serialize)]
pub(crate) struct Made {
    blueprint: String,
    count: usize,
    expires_at: String,
    items: Vec<View>,
}

#[derive(Serialize)]
struct View {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_expires_at: Option<String>,
}

/// Registers up to 1,000 instances: all of them or none, under one entry that lists them.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<(StatusCode, Json<Made>)> {
    let end: Option<Timestamp> = wanted.expires_at.as_deref().map(input::time).transpose()?;
    let names = match (wanted.names, wanted.count, wanted.prefix) {
        (Some(names), None, None) => Names::These(names),
        (None, Some(count), prefix) => Names::Numbered { count, prefix },
        _ => return Err(Problem::new(BAD_REQUEST, "send either `names`, or `count` and perhaps a `prefix`").into()),
    };
    let request = Instances {
        names,
        kind: wanted.kind.unwrap_or(AgentKind::Agent),
        sponsor: wanted.sponsor,
        owner: wanted.owner,
        purpose: wanted.purpose,
        expires_in: end.map(|end| end - rooms.clock.now()),
        codes: wanted.codes,
    };
    let made = rooms.registrar.instantiate(&name, &request, &peer.actor()).await?;
    let items: Vec<View> = made.instances.iter().map(View::from).collect();
    let expires_at = made.expires_at.rfc3339();
    Ok((StatusCode::CREATED, Json(Made { blueprint: name, count: items.len(), expires_at, items })))
}

impl From<&Instance> for View {
    fn from(instance: &Instance) -> Self {
        Self {
            name: instance.name.clone(),
            id: instance.id.to_string(),
            code: instance.code.as_ref().map(|code| code.code.expose().to_owned()),
            code_expires_at: instance.code.as_ref().map(|code| code.expires_at.rfc3339()),
        }
    }
}
