//! Who stands behind a session: the person at its root, and every agent from the root to the one that acts.

use std::sync::Arc;

use chancery_model::{Agent, Limit, Person, Session, SessionId, Timestamp};
use serde::Serialize;

use crate::directory::SessionSlot;

/// What a session hangs on, read once.
#[derive(Debug)]
pub(crate) struct Lineage {
    /// The person in whose name everything is done.
    pub(crate) human: Option<Arc<Person>>,
    /// The agents, the root's first, the one that acts last. Never empty; no two neighbours are the same.
    pub(crate) agents: Vec<Arc<Agent>>,
    /// The set of limits of every session that has one.
    pub(crate) limits: Vec<Arc<[Limit]>>,
    /// Which sessions these are, in the same order.
    pub(crate) narrowed: Vec<SessionId>,
    /// The session at the root.
    pub(crate) root: Arc<Session>,
    /// When a human last proved presence in any of the sessions.
    pub(crate) presence_at: Option<Timestamp>,
}

/// The `act` claim (RFC 8693, section 4.1): who acts, and for whom they do, the newest outermost.
#[derive(Debug, Serialize)]
pub(crate) struct Act {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

impl Lineage {
    pub(crate) fn of(slot: &SessionSlot) -> Self {
        let session = slot.session();
        let human = slot.person().map(|person| person.person());
        let mut lineage = Self {
            human,
            agents: Vec::with_capacity(1),
            limits: Vec::new(),
            narrowed: Vec::new(),
            presence_at: None,
            root: session,
        };
        for link in slot.line() {
            lineage.climb(link);
        }
        lineage.agents.reverse();
        lineage
    }

    fn climb(&mut self, link: &SessionSlot) {
        let (session, agent) = (link.session(), link.agent().agent());
        if self.agents.last().is_none_or(|last| last.id != agent.id) {
            self.agents.push(agent);
        }
        if !session.limits.is_empty() {
            self.limits.push(session.limits.clone());
            self.narrowed.push(session.id.clone());
        }
        self.presence_at = self.presence_at.max(session.presence_at);
        self.root = session;
    }

    /// `sub`: in whose name it is done. The person, or the agent at the root.
    pub(crate) fn subject(&self) -> &str {
        match (&self.human, self.agents.first()) {
            (Some(human), _) => human.id.as_str(),
            (None, Some(root)) => root.id.as_str(),
            (None, None) => "",
        }
    }

    /// `act`: nothing for an agent that acts for itself.
    pub(crate) fn act(&self) -> Option<Act> {
        let own = usize::from(self.human.is_none());
        let nest = |act: Option<Box<Act>>, agent: &Arc<Agent>| Some(Box::new(Act { sub: agent.id.to_string(), act }));
        self.agents.iter().skip(own).fold(None, nest).map(|act| *act)
    }

    /// How many agents stand in it.
    pub(crate) fn depth(&self) -> usize {
        self.agents.len()
    }

    /// The names from the root to the one that acts, for the record; nothing for an agent that acts for itself.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.human.is_none() && self.agents.len() == 1 {
            return Vec::new();
        }
        self.all_names()
    }

    /// The same, also for an agent that acts for itself.
    pub(crate) fn all_names(&self) -> Vec<String> {
        let human = self.human.iter().map(|person| person.name.clone());
        human.chain(self.agents.iter().map(|agent| agent.name.clone())).collect()
    }
}
