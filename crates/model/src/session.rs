//! The bounded run in which an agent acts.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Epoch, SessionId, Span, Timestamp};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name in tokens (`sid`) and entries.
    pub id: SessionId,
    /// Who acts in it.
    pub agent: AgentId,
    /// The running copy that opened it, as the agent named it.
    pub instance: Option<String>,
    /// The agent's epoch when the session was opened.
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
