//! The bounded run in which an agent acts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AgentId, Digest, Epoch, Limit, PersonId, SessionId, Span, Timestamp};

/// Whether a session still admits anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It does, within its times.
    Open,
    /// Somebody or something ended it.
    Ended,
}

/// A server-side session. A token names its session; no session, no call.
///
/// Sessions form trees. A session below another one is a task of the same agent, narrower than its parent, or a
/// delegation, in which another agent acts for the parent's. It admits nothing that its parent does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its name in tokens (`sid`) and entries.
    pub id: SessionId,
    /// Who acts in it.
    pub agent: AgentId,
    /// The running copy that opened it, as the agent named it.
    pub instance: Option<String>,
    /// The agent's epoch when the session was opened, for an instance with its blueprint's added to it.
    pub epoch: Epoch,
    /// Whether it may still be used.
    pub state: SessionState,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
    /// How long it may be left unused.
    pub idle: Span,
    /// The last use that is durable; a later one may be known in memory.
    pub used_at: Timestamp,
    /// The session it hangs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
    /// The person at the root in whose name everything in it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human: Option<PersonId>,
    /// That person's epoch when the session was opened; 0 without one.
    #[serde(default)]
    pub human_epoch: Epoch,
    /// What it is for, as was stated when it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What it is narrowed to; nothing narrows it if there are none.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub limits: Arc<[Limit]>,
    /// The digest of the manifest that the agent stated when it opened the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// The client through which its person allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When a human last proved to be present in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_at: Option<Timestamp>,
}

fn is_empty(limits: &Arc<[Limit]>) -> bool {
    limits.is_empty()
}

/// Why a session admits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnded {
    /// Somebody ended it.
    #[error("the session was ended")]
    Ended,
    /// Its maximum time is over.
    #[error("the session reached its maximum time")]
    Expired,
    /// It was left unused for too long.
    #[error("the session was idle for too long")]
    Idle,
    /// The agent changed (suspended, resumed, new key) since it was opened.
    #[error("the agent changed since the session was opened")]
    Superseded,
}

impl Session {
    /// Does it admit a call now, given its last use and the agent's current epoch?
    pub fn admits(&self, now: Timestamp, used_at: Timestamp, epoch: Epoch) -> Result<(), SessionEnded> {
        if self.state == SessionState::Ended {
            Err(SessionEnded::Ended)
        } else if self.epoch != epoch {
            Err(SessionEnded::Superseded)
        } else if now >= self.ends_at {
            Err(SessionEnded::Expired)
        } else if now >= used_at + self.idle {
            Err(SessionEnded::Idle)
        } else {
            Ok(())
        }
    }
}
