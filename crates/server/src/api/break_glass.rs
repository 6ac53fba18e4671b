//! A person as administrator for a while, and the review of what they did.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::problem::Problem;
use chancery_model::{BreakGlass, Span, Timestamp};
use chancery_oversee::break_glass::{self, GlassError, Wanted};
use serde::{Deserialize, Serialize};

use crate::api::agents::Because;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::{Body, Items};
use crate::rooms::Rooms;

/// One as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    person: String,
    open: bool,
    reason: String,
    by: String,
    at: String,
    until: String,
    ended_at: Option<String>,
    reviewed_by: Option<String>,
    reviewed_at: Option<String>,
    review: Option<String>,
}

/// Who is to be elevated, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    person: String,
    reason: String,
    #[serde(default)]
    minutes: Option<u32>,
}

/// What was found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noted {
    note: String,
}

impl View {
    fn of(glass: &BreakGlass, now: Timestamp) -> Self {
        Self {
            id: glass.id.to_string(),
            person: glass.person.clone(),
            open: glass.is_open(now),
            reason: glass.reason.clone(),
            by: glass.by.clone(),
            at: glass.at.rfc3339(),
            until: glass.until.rfc3339(),
            ended_at: glass.ended_at.map(Timestamp::rfc3339),
            reviewed_by: glass.reviewed_by.clone(),
            reviewed_at: glass.reviewed_at.map(Timestamp::rfc3339),
            review: glass.review.clone(),
        }
    }
}

impl From<GlassError> for Failure {
    fn from(error: GlassError) -> Self {
        Problem::new(error.row(), error.to_string()).into()
    }
}

/// `GET /v1/break-glass`: all there ever were, newest first.
pub(crate) async fn list(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    let (found, now) = (chancery_store::break_glass::all(&rooms.store).await?, rooms.clock.now());
    Ok(Json(found.iter().map(|glass| View::of(glass, now)).collect()))
}

/// `POST /v1/break-glass`: elevates a person. Its finding stays open until somebody else reviewed it.
pub(crate) async fn open(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(asked): Body<Asked>,
) -> Answer<Json<View>> {
    let lasts = asked.minutes.map(|minutes| Span::minutes(minutes.into()));
    let wanted = Wanted { person: &asked.person, reason: &asked.reason, lasts, by: &peer.actor() };
    let glass = break_glass::open(rooms.means(), wanted).await?;
    Ok(Json(View::of(&glass, rooms.clock.now())))
}

/// `POST /v1/break-glass/{id}/end`: ends it before its time.
pub(crate) async fn end(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    let glass = break_glass::end(rooms.means(), &id, &peer.actor(), because.text()).await?;
    Ok(Json(View::of(&glass, rooms.clock.now())))
}

/// `POST /v1/break-glass/{id}/review`: says what was found, and closes its finding.
pub(crate) async fn review(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(noted): Body<Noted>,
) -> Answer<Json<View>> {
    let glass = break_glass::review(rooms.means(), &id, &peer.actor(), &noted.note).await?;
    Ok(Json(View::of(&glass, rooms.clock.now())))
}
