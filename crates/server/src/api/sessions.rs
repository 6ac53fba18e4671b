//! Bounded runs of agents.

use chancery_model::Session;
use serde::Serialize;

use crate::rooms::Rooms;

pub(crate) mod end;
pub(crate) mod list;

/// A session as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    agent: String,
    agent_name: Option<String>,
    instance: Option<String>,
    manifest: Option<chancery_model::Digest>,
    state: chancery_model::SessionState,
    epoch: u64,
    opened_at: String,
    used_at: String,
    ends_at: String,
}

impl View {
    pub(crate) fn of(session: &Session, rooms: &Rooms) -> Self {
        Self {
            id: session.id.to_string(),
            agent: session.agent.to_string(),
            agent_name: rooms.authenticator.agent(session.agent.as_str()).map(|a| a.name.clone()),
            instance: session.instance.clone(),
            manifest: session.manifest,
            state: session.state,
            epoch: session.epoch,
            opened_at: session.opened_at.rfc3339(),
            used_at: session.used_at.rfc3339(),
            ends_at: session.ends_at.rfc3339(),
        }
    }
}
