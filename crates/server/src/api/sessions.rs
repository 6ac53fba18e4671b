//! Bounded runs of agents.

use std::sync::Arc;

use chancery_model::{Limit, PersonId, Session};
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
    /// The person at the root, in whose name everything in it is done.
    human: Option<String>,
    /// The session it hangs on, and ends with.
    parent: Option<String>,
    purpose: Option<String>,
    /// What it is narrowed to (RFC 9396); nothing narrows it if there are none.
    authorization_details: Arc<[Limit]>,
    instance: Option<String>,
    manifest: Option<chancery_model::Digest>,
    state: chancery_model::SessionState,
    /// Whether it admits calls at this moment: it, all that it hangs on, their agents and the person are in force.
    in_force: bool,
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
            human: session.human.as_ref().map(|id| person(id, rooms)),
            parent: session.parent.as_ref().map(ToString::to_string),
            purpose: session.purpose.clone(),
            authorization_details: session.limits.clone(),
            instance: session.instance.clone(),
            manifest: session.manifest,
            state: session.state,
            in_force: rooms.authenticator.is_session_in_force(&session.id),
            epoch: session.epoch,
            opened_at: session.opened_at.rfc3339(),
            used_at: session.used_at.rfc3339(),
            ends_at: session.ends_at.rfc3339(),
        }
    }
}

/// A person's name; the id of one who is not known here.
fn person(id: &PersonId, rooms: &Rooms) -> String {
    rooms.authenticator.person(id).map_or_else(|| id.to_string(), |person| person.name.clone())
}
