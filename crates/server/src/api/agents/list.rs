//! `GET /v1/agents?blueprint=&state=&kind=&sponsor=&owner=&prefix=&text=&cursor=&limit=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_authenticate::AgentFilter;
use chancery_authenticate::jose::{decode, encode};
use chancery_model::problem::{BAD_REQUEST, Problem};
use chancery_model::{AgentKind, Standing};
use serde::{Deserialize, Serialize};

use super::View;
use crate::failure::Answer;
use crate::input::Params;
use crate::rooms::Rooms;

/// How many agents are given at once, unless fewer are asked for.
const MOST: usize = 1_000;
const USUAL: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    blueprint: Option<String>,
    /// What an agent may do at this moment: one whose blueprint is suspended counts as suspended.
    state: Option<Standing>,
    kind: Option<AgentKind>,
    sponsor: Option<String>,
    owner: Option<String>,
    prefix: Option<String>,
    text: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A part of the list, how many there are on all parts together, and what asks for the next part.
#[derive(Serialize)]
pub(crate) struct Answered {
    items: Vec<View>,
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The identities that are wanted, by name, as they are at this moment.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Params(wanted): Params<Wanted>) -> Answer<Json<Answered>> {
    let after = wanted.cursor.as_deref().map(name_of).transpose()?;
    let limit = wanted.limit.unwrap_or(USUAL).clamp(1, MOST);
    let filter = AgentFilter {
        blueprint: wanted.blueprint,
        standing: wanted.state,
        kind: wanted.kind,
        sponsor: wanted.sponsor,
        owner: wanted.owner,
        prefix: wanted.prefix,
        text: wanted.text,
    };
    let page = rooms.authenticator.list(&filter, after.as_deref(), limit);
    let next = page.next.map(|name| encode(name.as_bytes()));
    Ok(Json(Answered { items: page.agents.iter().map(View::from).collect(), total: page.total, next }))
}

/// A cursor is the last name that was given, so that it stays good whatever is registered in between.
fn name_of(cursor: &str) -> Answer<String> {
    let name = decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Problem::new(BAD_REQUEST, "the `cursor` is none of ours: take it from `next`").into())
}
