//! `GET /v1/oversight?from=&until=&by=&limit=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::{Kind, Outcome, Timestamp};
use chancery_oversee::oversight::{Period, Step, Times, USUAL, counted_from, is_step, step, times};
use chancery_record::{Filter, Found};
use serde::{Deserialize, Serialize};

use crate::failure::Answer;
use crate::input::{Params, time};
use crate::rooms::Rooms;

/// How many steps are given at once, unless fewer are asked for.
const MOST: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    from: Option<String>,
    until: Option<String>,
    /// How response times are put together.
    #[serde(default)]
    by: Period,
    limit: Option<usize>,
}

/// Where people, or what they put in place, stepped in; times in RFC 3339, lengths in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    from: String,
    until: String,
    /// There are older steps in the window that are not among these, so that `times` is of the newest only.
    more: bool,
    times: Vec<Times>,
    /// Newest first. Each names its entry: `chancery log prove ENTRY`.
    items: Vec<Step>,
}

/// All of it is read off the log.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Params(wanted): Params<Wanted>) -> Answer<Json<View>> {
    let now = rooms.clock.now();
    let until = wanted.until.as_deref().map(time).transpose()?;
    let from = wanted.from.as_deref().map(time).transpose()?.unwrap_or(until.unwrap_or(now) - USUAL);
    let limit = wanted.limit.unwrap_or(MOST).min(MOST);
    let mut found = found(&rooms, (from, until), limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let mut items: Vec<Step> = found.iter().filter_map(|found| step(&found.entry)).collect();
    for item in &mut items {
        if let Some(since) = item.since {
            // Evidence that is not there any more leaves the firing without a time.
            if let Ok(evidence) = rooms.recorder.entry(since.0).await {
                counted_from(item, evidence.entry.draft.at);
            }
        }
    }
    let times = times(&items, wanted.by);
    Ok(Json(View { from: from.rfc3339(), until: until.unwrap_or(now).rfc3339(), more, times, items }))
}

/// The newest entries that are steps. Decisions are looked at by their own, because there are many of them and few ask for a
/// person to be there.
async fn found(rooms: &Rooms, (from, until): (Timestamp, Option<Timestamp>), limit: usize) -> Answer<Vec<Found>> {
    let window = Filter { since: Some(from), until, ..Filter::default() };
    let changes = Filter { kind: Some(Kind::Change), ..window.clone() };
    let refused = Filter { kind: Some(Kind::Decision), decision: Some(Outcome::StepUp), ..window };
    let those = |found: &Found| is_step(&found.entry.draft);
    let mut all = rooms.recorder.search_those(&changes, &those, limit).await?;
    all.extend(rooms.recorder.search_those(&refused, &those, limit).await?);
    all.sort_by_key(|found| std::cmp::Reverse((found.committed_at, found.position.writer, found.position.seq)));
    all.truncate(limit);
    Ok(all)
}
