//! `GET /v1/status`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::{findings, tools};
use serde::Serialize;

use crate::failure::Answer;
use crate::policies::Status;
use crate::rooms::Rooms;

/// The server in a few numbers.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    ready: bool,
    not_ready: Option<&'static str>,
    url: String,
    data: String,
    started_at: String,
    agents: usize,
    sessions: usize,
    grants: usize,
    tools: usize,
    findings: usize,
    servers: Vec<String>,
    policies: Arc<Status>,
    log: Log,
}

#[derive(Debug, Serialize)]
struct Log {
    size: u64,
    key: String,
    checkpoint_at: Option<String>,
}

/// What the server is doing.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<View>> {
    let policies = rooms.policies.status();
    let signed = rooms.recorder.checkpoint().await?;
    Ok(Json(View {
        ready: policies.version.is_some(),
        not_ready: policies.version.is_none().then_some("no policy set is in force: see `chancery policy reload`"),
        url: rooms.url.clone(),
        data: rooms.config.data.display().to_string(),
        started_at: rooms.started.rfc3339(),
        agents: rooms.authenticator.agents().len(),
        sessions: rooms.authenticator.sessions().len(),
        grants: rooms.engine.grants(),
        tools: tools::all(&rooms.store).await?.len(),
        findings: findings::open_ones(&rooms.store).await?.len(),
        servers: rooms.config.servers.keys().cloned().collect(),
        policies,
        log: Log {
            size: signed.as_ref().map_or(0, |s| s.checkpoint.size),
            key: rooms.recorder.key().to_string(),
            checkpoint_at: signed.map(|s| s.signed_at.rfc3339()),
        },
    }))
}
