//! Streams over which others are told what happens here (OpenID Shared Signals Framework 1.0), and what others told.

use serde::{Deserialize, Serialize};

use crate::{AgentId, HeldId, StreamId, Timestamp};

/// How the events of a stream reach their receiver (Shared Signals Framework 1.0, section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Delivery {
    /// We send them there (RFC 8935).
    Push {
        /// Where they are sent to.
        endpoint: String,
    },
    /// The receiver comes for them (RFC 8936).
    Poll,
}

/// Whether events go over a stream (section 8.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamStatus {
    /// They do.
    Enabled,
    /// They wait until it is enabled again.
    Paused,
    /// They do not, and none is kept.
    Disabled,
}

/// One receiver's stream. A receiver is a registered service account, and has one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalStream {
    /// Its name, which only its receiver can use.
    pub id: StreamId,
    /// Whose it is.
    pub receiver: AgentId,
    /// The `aud` of its events.
    pub audience: String,
    /// How events get there.
    pub delivery: Delivery,
    /// The URIs of the event types that were asked for, known here or not.
    pub events: Vec<String>,
    /// What its receiver says of it.
    pub description: Option<String>,
    /// Whether events go over it.
    pub status: StreamStatus,
    /// Why it has that status.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a verification was last asked for.
    pub verified_at: Option<Timestamp>,
}

/// What is done about an event of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalAction {
    /// The person's logins end, and the sessions of all agents that act for them.
    End,
    /// The same, and the person is suspended.
    Suspend,
    /// A finding is opened.
    Finding,
    /// Nothing but the entry.
    Ignore,
}

/// An event of others that waits for a human, because its transmitter sent too many at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSignal {
    /// Its name.
    pub id: HeldId,
    /// The transmitter's name in the configuration.
    pub transmitter: String,
    /// What happened there, by the last part of the event type: `session-revoked`.
    pub event: String,
    /// The name of the person it is about.
    pub person: String,
    /// What is to be done.
    pub action: SignalAction,
    /// What the transmitter says about it.
    pub reason: Option<String>,
    /// When it came.
    pub received_at: Timestamp,
    /// When a human decided about it.
    pub decided_at: Option<Timestamp>,
    /// Who that was.
    pub decided_by: Option<String>,
    /// Whether it was then done.
    pub applied: Option<bool>,
}
