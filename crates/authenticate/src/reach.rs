//! What one containment stops, or would stop.

use std::sync::Arc;

use chancery_model::{AgentId, Containment, ContainmentId, SessionId};

use crate::authenticator::Authenticator;
use crate::containments::Set;
use crate::directory::Directory;

/// What a containment covers, asked by name.
#[derive(Debug)]
pub struct Reach {
    set: Set,
    directory: Arc<Directory>,
}

/// Whom a containment covers at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Agents, whether they do anything or not.
    pub agents: usize,
    /// Sessions that admit calls, those below others included.
    pub sessions: usize,
}

impl Authenticator {
    /// What this containment covers, whether it is in force or not.
    pub fn reach(&self, containment: &Containment) -> Reach {
        Reach { set: Set::only(containment), directory: Arc::clone(&self.directory) }
    }

    /// The containment that stops this agent, if one does; by id or name.
    pub fn contained(&self, agent: &str) -> Option<ContainmentId> {
        let set = self.directory.containments().now()?;
        set.holder(&self.directory.agent(agent)?.agent())
    }

    /// The containment that stops everybody at this server, or at this tool of it.
    pub fn contained_place(&self, server: &str, tool: Option<&str>) -> Option<ContainmentId> {
        self.directory.containments().now()?.holds_place(server, tool).cloned()
    }

    /// Counts whom a containment covers. It looks at everybody: for people who want to know before, not for the switch.
    pub fn count_reached(&self, containment: &Containment) -> Reached {
        let (set, now) = (Set::only(containment), self.clock.now());
        let agents = self.directory.agents().iter().filter(|agent| set.holds(agent, None).is_some()).count();
        let sessions = self.directory.sessions();
        let sessions = sessions.iter().filter(|slot| set.holds_line(slot) && self.in_force(slot, now).is_ok()).count();
        Reached { agents, sessions }
    }
}

impl Reach {
    /// Does it stop this session: itself, somebody in it, or one that it hangs on? One that is not known is stopped.
    pub fn session(&self, id: &SessionId) -> bool {
        self.directory.session(id).is_none_or(|slot| self.set.holds_line(&slot))
    }

    /// Does it stop this agent, whatever it does?
    pub fn agent(&self, id: &AgentId) -> bool {
        self.directory.agent_of(id).is_none_or(|slot| self.set.holds(&slot.agent(), None).is_some())
    }

    /// Does it stop everybody at this place?
    pub fn place(&self, server: &str, tool: Option<&str>) -> bool {
        self.set.holds_place(server, tool).is_some()
    }
}
