//! What an agent can act on: servers and the tools they define.

use serde::{Deserialize, Serialize};

use crate::{Hash, Timestamp};

/// An upstream server as policies see it. How it is reached is configuration of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name in paths and policies: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// When its tools were first pinned.
    pub first_seen: Timestamp,
}

/// Whether a tool may be listed and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolState {
    /// Its definition is the one that was approved.
    Pinned,
    /// Its definition is new or changed since: not listed, not callable, until a human approves it.
    Quarantined,
}

/// A tool definition pinned by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The server that defines it.
    pub server: String,
    /// Its name there.
    pub name: String,
    /// Whether it may be used.
    pub state: ToolState,
    /// SHA-256 over the canonical definition that was approved (name, description, schemas, annotations).
    pub digest: Hash,
    /// That definition, as canonical JSON.
    pub definition: String,
    /// The definition last seen, where it differs from the approved one.
    pub seen: Option<(Hash, String)>,
    /// When this state was reached.
    pub since: Timestamp,
}

impl Tool {
    /// The name policies use for its action and resource: `server/tool`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }
}
