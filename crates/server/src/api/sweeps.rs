//! Looks at other systems.

use chancery_discover::DiscoverError;
use chancery_model::problem::Problem;
use chancery_model::{Coverage, Gap, Sweep, SweepStatus, Timestamp};
use serde::Serialize;

use crate::failure::Failure;

pub(crate) mod accept;
pub(crate) mod list;
pub(crate) mod take;

/// A sweep as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    source: String,
    scope: String,
    by: String,
    status: SweepStatus,
    why: Option<String>,
    /// Of when its state is.
    observed_at: String,
    begun_at: String,
    ended_at: Option<String>,
    /// Over all kinds.
    seen: u64,
    added: u64,
    changed: u64,
    missing: u64,
    gone: u64,
    /// So many were not seen that somebody is asked first.
    held: u64,
    coverage: Vec<Coverage>,
    gaps: Vec<Gap>,
    accepted_by: Option<String>,
    accepted_at: Option<String>,
}

impl From<&Sweep> for View {
    fn from(sweep: &Sweep) -> Self {
        let sum = |of: fn(&Coverage) -> u64| sweep.coverage.iter().map(of).sum();
        let over = sweep.status != SweepStatus::Running;
        Self {
            id: sweep.id.to_string(),
            source: sweep.source.clone(),
            scope: sweep.scope.clone(),
            by: sweep.by.clone(),
            status: sweep.status,
            why: sweep.why.clone(),
            observed_at: sweep.observed_at.rfc3339(),
            begun_at: sweep.begun_at.rfc3339(),
            ended_at: over.then(|| sweep.touched_at.rfc3339()),
            seen: sum(|coverage| coverage.seen),
            added: sum(|coverage| coverage.added),
            changed: sum(|coverage| coverage.changed),
            missing: sum(|coverage| coverage.missing),
            gone: sum(|coverage| coverage.gone),
            held: sweep.held(),
            coverage: sweep.coverage.clone(),
            gaps: sweep.gaps.clone(),
            accepted_by: sweep.answer.as_ref().map(|(by, _)| by.clone()),
            accepted_at: sweep.answer.as_ref().map(|(_, at)| Timestamp::rfc3339(*at)),
        }
    }
}

impl From<DiscoverError> for Failure {
    fn from(error: DiscoverError) -> Self {
        Problem::new(error.row(), error.to_string()).into()
    }
}
