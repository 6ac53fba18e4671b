//! `GET /v1/signals/held`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::{HeldSignal, SignalAction, Timestamp};
use serde::Serialize;

use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// A held event as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    transmitter: String,
    event: String,
    person: String,
    action: SignalAction,
    reason: Option<String>,
    received_at: String,
    decided_at: Option<String>,
    decided_by: Option<String>,
    applied: Option<bool>,
}

impl From<HeldSignal> for View {
    fn from(held: HeldSignal) -> Self {
        Self {
            id: held.id.to_string(),
            transmitter: held.transmitter,
            event: held.event,
            person: held.person,
            action: held.action,
            reason: held.reason,
            received_at: held.received_at.rfc3339(),
            decided_at: held.decided_at.map(Timestamp::rfc3339),
            decided_by: held.decided_by,
            applied: held.applied,
        }
    }
}

/// The events of others that wait for a human, oldest first.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    Ok(Json(rooms.signals.receiver.held().await?.into_iter().map(View::from).collect()))
}
