//! `GET /v1/findings?all=`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::{Finding, Severity, Timestamp};
use chancery_store::findings;
use serde::{Deserialize, Serialize};

use crate::failure::Answer;
use crate::input::{Items, Params};
use crate::rooms::Rooms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    all: bool,
}

/// A finding as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    rule: String,
    subject: String,
    severity: Severity,
    evidence: String,
    owasp: String,
    opened_at: String,
    closed_at: Option<String>,
}

impl From<Finding> for View {
    fn from(finding: Finding) -> Self {
        Self {
            rule: finding.rule,
            subject: finding.subject,
            severity: finding.severity,
            evidence: finding.evidence,
            owasp: finding.owasp,
            opened_at: finding.opened_at.rfc3339(),
            closed_at: finding.closed_at.map(Timestamp::rfc3339),
        }
    }
}

/// What is wrong at present; with `all`, what was wrong too.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<Items<View>>> {
    let found = match wanted.all {
        true => findings::all(&rooms.store).await?,
        false => findings::open_ones(&rooms.store).await?,
    };
    Ok(Json(found.into_iter().map(View::from).collect()))
}
