//! What many instances of one agent have in common, and what of it stops them all.

use serde::{Deserialize, Serialize};

use crate::{Agent, AgentState, BlueprintId, Digest, Epoch, Span, Timestamp};

/// Whether instances of a blueprint may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlueprintState {
    /// They may, as far as each of them may.
    Active,
    /// Stopped by a human, with all instances; may be resumed.
    Suspended,
}

/// What its instances have in common. Policies name it: `principal in Blueprint::"name"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// Never reused.
    pub id: BlueprintId,
    /// The name people and policies use: `[a-z0-9][a-z0-9-]{0,62}`, unique for ever.
    pub name: String,
    /// The accountable business person of instances that name no other.
    pub sponsor: String,
    /// The technical keeper of instances that name no other.
    pub owner: String,
    /// Why instances exist that say nothing else.
    pub purpose: String,
    /// How long an instance lives if nothing else is said.
    pub lifetime: Span,
    /// The digest of the manifest that was approved for its instances.
    pub manifest: Option<Digest>,
    /// Whether instances may act.
    pub state: BlueprintState,
    /// Grows with every change that must take effect on all instances at once.
    pub epoch: Epoch,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A step that the blueprint's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("blueprint `{name}` is {state:?}: it cannot be {verb}")]
pub struct BlueprintRefused {
    /// Whose state refused.
    pub name: String,
    /// The state it is in.
    pub state: BlueprintState,
    /// The step that was asked for, as a participle.
    pub verb: &'static str,
}

impl Blueprint {
    /// A human stops it and all instances. Their sessions are over.
    pub fn suspend(self) -> Result<Self, BlueprintRefused> {
        self.turn(BlueprintState::Suspended, "suspended")
    }

    /// A human lets it go on. Sessions from before the suspension stay ended.
    pub fn resume(self) -> Result<Self, BlueprintRefused> {
        self.turn(BlueprintState::Active, "resumed")
    }

    /// Another manifest is the approved one. Sessions of instances with the old one are over.
    #[must_use]
    pub fn approve(self, manifest: Digest) -> Self {
        Self { manifest: Some(manifest), epoch: self.epoch + 1, ..self }
    }

    /// The refusal of a step that is only for active ones, if this one is not.
    pub fn demand_active(&self, verb: &'static str) -> Result<(), BlueprintRefused> {
        match self.state {
            BlueprintState::Active => Ok(()),
            BlueprintState::Suspended => Err(self.refuse(verb)),
        }
    }

    fn turn(self, state: BlueprintState, verb: &'static str) -> Result<Self, BlueprintRefused> {
        if self.state == state {
            return Err(self.refuse(verb));
        }
        Ok(Self { state, epoch: self.epoch + 1, ..self })
    }

    fn refuse(&self, verb: &'static str) -> BlueprintRefused {
        BlueprintRefused { name: self.name.clone(), state: self.state, verb }
    }
}

/// What an identity may do at this moment, its own state and its blueprint's taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may authenticate and act.
    Active,
    /// It has not proved possession of a key yet.
    Registered,
    /// It was stopped, or its blueprint was.
    Suspended,
    /// Its time is over.
    Expired,
}

impl Standing {
    /// The standing of an agent. `blueprint` is the agent's own; where it has one and none is given, it may not act.
    pub fn of(agent: &Agent, blueprint: Option<&Blueprint>, now: Timestamp) -> Self {
        let active = |blueprint: &Blueprint| blueprint.state == BlueprintState::Active;
        let stopped = agent.blueprint.is_some() && !blueprint.is_some_and(active);
        match agent.state {
            _ if now >= agent.expires_at => Self::Expired,
            AgentState::Suspended => Self::Suspended,
            _ if stopped => Self::Suspended,
            AgentState::Registered => Self::Registered,
            AgentState::Active => Self::Active,
        }
    }

    /// Why an agent of this standing may not act, in words. Nothing for one that may.
    pub fn why(self, agent: &Agent) -> Option<String> {
        let name = &agent.name;
        match (self, &agent.blueprint) {
            (Self::Active, _) => None,
            (Self::Expired, _) => Some(format!("agent `{name}` expired at {}", agent.expires_at)),
            (Self::Suspended, Some(blueprint)) if agent.state != AgentState::Suspended => {
                Some(format!("agent `{name}` is stopped: its blueprint `{blueprint}` is suspended"))
            }
            (Self::Suspended, _) => Some(format!("agent `{name}` is suspended")),
            (Self::Registered, _) => Some(format!("agent `{name}` is registered, but has not enrolled a key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint() -> Blueprint {
        Blueprint {
            id: "bpt_00000000000000000000000001".parse().unwrap(),
            name: "crm".into(),
            sponsor: "s".into(),
            owner: "o".into(),
            purpose: "p".into(),
            lifetime: Span::days(90),
            manifest: None,
            state: BlueprintState::Active,
            epoch: 1,
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn every_step_raises_the_epoch_and_none_is_taken_twice() {
        let suspended = blueprint().suspend().unwrap();
        assert_eq!((suspended.state, suspended.epoch), (BlueprintState::Suspended, 2));
        assert!(suspended.clone().suspend().is_err() && suspended.demand_active("used").is_err());
        let resumed = suspended.resume().unwrap();
        assert_eq!((resumed.state, resumed.epoch), (BlueprintState::Active, 3));
        assert!(resumed.clone().resume().is_err() && resumed.demand_active("used").is_ok());
        assert_eq!(resumed.approve(Digest([1; 32])).epoch, 4);
    }
}
