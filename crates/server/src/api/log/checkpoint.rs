//! `GET /v1/log/checkpoint`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::failure::Answer;
use crate::rooms::Rooms;

/// The newest signed checkpoint, and the key it verifies with.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    origin: String,
    size: u64,
    note: String,
    key: String,
    signed_at: String,
}

/// Signs everything that is durable now, and shows the signed note (C2SP tlog-checkpoint). Keep it somewhere else.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<View>> {
    let signed = rooms.recorder.checkpoint_now().await?;
    Ok(Json(View {
        origin: signed.checkpoint.origin.clone(),
        size: signed.checkpoint.size,
        note: signed.note,
        key: rooms.recorder.key().to_string(),
        signed_at: signed.signed_at.rfc3339(),
    }))
}
