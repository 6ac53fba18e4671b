//! What a person allowed a client, before it is a session.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Epoch, Limit, LoginId, PersonId, Timestamp};

/// A person's yes. It becomes a session when the client redeems its code, if everybody is still who they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    /// Who is to act.
    pub agent: AgentId,
    /// The agent's epoch then, its blueprint's included.
    pub agent_epoch: Epoch,
    /// The `client_id` that asked.
    pub client: String,
    /// In whose name.
    pub person: PersonId,
    /// The person's epoch then.
    pub person_epoch: Epoch,
    /// In which login they said so.
    pub login: LoginId,
    /// When they proved to be present: the login's beginning.
    pub present_at: Timestamp,
    /// The resource that was asked for.
    pub resource: String,
    /// What they allowed. Never empty.
    pub limits: Vec<Limit>,
    /// The session ends by then.
    pub until: Timestamp,
}
