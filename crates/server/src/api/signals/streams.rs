//! `GET /v1/signals/streams`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_model::{Delivery, StreamStatus, Timestamp};
use chancery_store::{signals, streams};
use serde::Serialize;

use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;

/// A stream as the API shows it; times in RFC 3339. The header of its pushes is not shown.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    receiver: String,
    receiver_name: Option<String>,
    audience: String,
    delivery: Delivery,
    events: Vec<String>,
    status: StreamStatus,
    reason: Option<String>,
    waiting: u64,
    created_at: String,
    verified_at: Option<String>,
}

/// Every stream, and how much waits in it.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    let mut views = Vec::new();
    for stored in streams::all(&rooms.store).await? {
        let stream = stored.stream;
        let waiting = signals::count(&rooms.store, &stream.id).await?;
        let receiver = rooms.authenticator.agent(stream.receiver.as_str());
        views.push(View {
            id: stream.id.to_string(),
            receiver: stream.receiver.to_string(),
            receiver_name: receiver.map(|agent| agent.name.clone()),
            audience: stream.audience,
            delivery: stream.delivery,
            events: stream.events,
            status: stream.status,
            reason: stream.reason,
            waiting,
            created_at: stream.created_at.rfc3339(),
            verified_at: stream.verified_at.map(Timestamp::rfc3339),
        });
    }
    Ok(Json(views.into_iter().collect()))
}
