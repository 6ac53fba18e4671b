//! `GET /v1/log/proof/{id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::entry_id;
use crate::failure::Answer;
use crate::rooms::Rooms;

/// A proof that an entry is in the signed tree.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    index: u64,
    size: u64,
    /// C2SP tlog-proof: verifies offline with nothing but the log's key.
    proof: String,
    key: String,
}

/// Proves one entry, and checks the proof before giving it away.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>, Path(id): Path<String>) -> Answer<Json<View>> {
    let id = entry_id(&id)?;
    let inclusion = rooms.recorder.inclusion_proof(id.0).await?;
    let proof = rooms.recorder.prove(id.0).await?;
    Ok(Json(View {
        id: id.to_string(),
        index: inclusion.index,
        size: inclusion.signed.checkpoint.size,
        proof: proof.to_string(),
        key: rooms.recorder.key().to_string(),
    }))
}
