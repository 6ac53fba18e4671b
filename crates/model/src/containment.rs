//! The kill switch: what is stopped at once, whatever it holds, until somebody lifts it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ContainmentId, Timestamp};

/// What a containment stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One agent, by name.
    Agent,
    /// One instance of a blueprint, by its name, or one running copy of an agent: `AGENT/COPY`.
    Instance,
    /// Every agent whose owner or sponsor this is.
    Owner,
    /// Every instance of a blueprint.
    Blueprint,
    /// One session and every session below it.
    Session,
    /// One tool, for everybody: `SERVER/TOOL`.
    Tool,
    /// One upstream server, for everybody.
    Server,
    /// Every agent.
    Everything,
}

impl Scope {
    /// Every scope, in the order of the declaration.
    pub const ALL: [Self; 8] = [
        Self::Agent,
        Self::Instance,
        Self::Owner,
        Self::Blueprint,
        Self::Session,
        Self::Tool,
        Self::Server,
        Self::Everything,
    ];

    /// Its name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Instance => "instance",
            Self::Owner => "owner",
            Self::Blueprint => "blueprint",
            Self::Session => "session",
            Self::Tool => "tool",
            Self::Server => "server",
            Self::Everything => "everything",
        }
    }

    /// Is it about a place that agents go to, and not about agents?
    pub const fn is_place(self) -> bool {
        matches!(self, Self::Tool | Self::Server)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One throw of the kill switch. Of a scope and subject one is in force at the most.
///
/// One that was lifted is a watermark: sessions that it covered and that were opened before do not come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containment {
    /// Its name.
    pub id: ContainmentId,
    /// What kind of thing it stops.
    pub scope: Scope,
    /// Which one, as [`Scope`] names it; [`Containment::ALL`] for everything.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it was lifted. Not earlier than the opening of any session that it covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
    /// Why it was lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift_reason: Option<String>,
}

impl Containment {
    /// The subject of [`Scope::Everything`].
    pub const ALL: &'static str = "*";
    /// What whoever exercises the switch is named with: `drill:NAME`.
    pub const DRILL: &'static str = "drill:";

    /// What a rule that throws the switch is named with: `trigger:NAME`.
    pub const TRIGGER: &'static str = "trigger:";

    /// Did a rule throw it?
    pub fn is_triggered(&self) -> bool {
        self.by.starts_with(Self::TRIGGER)
    }

    /// Is it an exercise, which lets go again by itself?
    pub fn is_drill(&self) -> bool {
        self.by.starts_with(Self::DRILL)
    }

    /// Does it stop anything at present?
    pub fn is_in_force(&self) -> bool {
        self.lifted_at.is_none()
    }

    /// The same, lifted.
    #[must_use]
    pub fn lift(self, at: Timestamp, by: &str, reason: &str) -> Self {
        Self {
            lifted_at: Some(at.max(self.at)),
            lifted_by: Some(by.to_owned()),
            lift_reason: Some(reason.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Everything => f.write_str("everything"),
            scope => write!(f, "{scope} `{}`", self.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_name() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }
}
