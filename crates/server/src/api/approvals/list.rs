//! `GET /v1/approvals?all=&since=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::Span;
use serde::Deserialize;

use super::View;
use crate::failure::Answer;
use crate::input::{Items, Params, time};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Decided ones too.
    #[serde(default)]
    all: bool,
    /// Those made since; with `all` only. A week if nothing is said.
    since: Option<String>,
}

/// What waits for people, the most urgent first; with `all` everything of a time, newest first, at most 1,000.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let found = if wanted.all {
        let week = || Ok(rooms.clock.now() - Span::days(7));
        let since = wanted.since.as_deref().map_or_else(week, time)?;
        rooms.approvals.since(since).await?
    } else {
        rooms.approvals.pending().await?
    };
    Ok(Json(found.into_iter().map(|approval| View::of(approval, &rooms)).collect()))
}
