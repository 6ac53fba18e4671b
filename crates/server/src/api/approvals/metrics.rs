//! `GET /v1/approvals/metrics?since=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::Span;
use chancery_oversee::approvals::{Metrics, metrics};
use serde::{Deserialize, Serialize};

use crate::failure::Answer;
use crate::input::{Items, Params, time};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What was asked for since; thirty days if nothing is said.
    since: Option<String>,
}

/// How one person decides.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    person: String,
    decisions: usize,
    approved: usize,
    /// The middle time between seeing a request and deciding it, in seconds.
    median_seconds: Option<f64>,
    /// Of how many that is known.
    timed: usize,
    /// The share of those that took less than three seconds, from 0 to 1.
    under_3_s: Option<f64>,
    /// The share that others decided otherwise, or that was undone later, from 0 to 1.
    overridden: f64,
}

impl From<Metrics> for View {
    fn from(of: Metrics) -> Self {
        Self {
            under_3_s: (of.timed > 0).then(|| share(of.glances, of.timed)),
            overridden: share(of.overridden, of.decisions),
            person: of.person,
            decisions: of.decisions,
            approved: of.approved,
            median_seconds: of.median_seconds,
            timed: of.timed,
        }
    }
}

/// To two places.
fn share(part: usize, whole: usize) -> f64 {
    let percent = (part * 100).checked_div(whole).unwrap_or(0);
    f64::from(u32::try_from(percent).unwrap_or(100)) / 100.0
}

/// How people decide, by name: over the last 1,000 requests of the time.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let month = || Ok(rooms.clock.now() - Span::days(30));
    let since = wanted.since.as_deref().map_or_else(month, time)?;
    let found = rooms.approvals.since(since).await?;
    Ok(Json(metrics(&found).into_iter().map(View::from).collect()))
}
