//! Agents and open sessions in memory: loaded at start, kept by the store's observer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use chancery_model::{Agent, AgentId, Changed, Session, SessionId, SessionState, Timestamp};

/// One agent as it is now. Whoever holds the slot sees every change at once.
#[derive(Debug)]
pub(crate) struct AgentSlot {
    current: ArcSwap<Agent>,
    /// How many of its sessions are remembered.
    sessions: AtomicUsize,
}

/// One session as it is now, with its last use.
#[derive(Debug)]
pub(crate) struct SessionSlot {
    current: ArcSwap<Session>,
    used: AtomicI64,
}

/// Who there is.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    agents: RwLock<HashMap<AgentId, Arc<AgentSlot>>>,
    names: RwLock<HashMap<String, Arc<AgentSlot>>>,
    sessions: RwLock<HashMap<SessionId, Arc<SessionSlot>>>,
}

impl AgentSlot {
    pub(crate) fn agent(&self) -> Arc<Agent> {
        self.current.load_full()
    }

    /// How many of its sessions are remembered: those that are open, and those that ended a moment ago.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }
}

impl SessionSlot {
    pub(crate) fn session(&self) -> Arc<Session> {
        self.current.load_full()
    }

    /// The last use, durable or not.
    pub(crate) fn used(&self) -> Timestamp {
        Timestamp(self.used.load(Ordering::Acquire)).max(self.current.load().used_at)
    }

    pub(crate) fn touch(&self, now: Timestamp) {
        self.used.fetch_max(now.0, Ordering::AcqRel);
    }
}

impl Directory {
    /// Takes a committed change over.
    pub(crate) fn observe(&self, changed: &Changed) {
        match changed {
            Changed::Agent(agent) => self.put_agent(agent.clone(), true),
            Changed::Session(session) => self.put_session(session.clone(), true),
            Changed::Grant(_) | Changed::Tool(_) => {}
        }
    }

    /// Takes an agent that was stored before anything was observed. Does not overwrite what was observed since.
    pub(crate) fn load_agent(&self, agent: Agent) {
        self.put_agent(Arc::new(agent), false);
    }

    /// Takes a session that was stored before anything was observed, after its agent.
    pub(crate) fn load_session(&self, session: Session) {
        self.put_session(Arc::new(session), false);
    }

    /// By id, or by name.
    pub(crate) fn agent(&self, id_or_name: &str) -> Option<Arc<AgentSlot>> {
        match id_or_name.parse::<AgentId>() {
            Ok(id) => self.agent_of(&id),
            Err(_) => self.names.read().unwrap_or_else(PoisonError::into_inner).get(id_or_name).cloned(),
        }
    }

    /// By id.
    pub(crate) fn agent_of(&self, id: &AgentId) -> Option<Arc<AgentSlot>> {
        self.agents.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Every agent.
    pub(crate) fn agents(&self) -> Vec<Arc<Agent>> {
        self.agents.read().unwrap_or_else(PoisonError::into_inner).values().map(|slot| slot.agent()).collect()
    }

    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<SessionSlot>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Every session that is remembered, ended ones included until they are swept.
    pub(crate) fn sessions(&self) -> Vec<Arc<SessionSlot>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets sessions that can never admit anything again.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, slot| {
            let session = slot.current.load();
            let kept = session.state == SessionState::Open && now < session.ends_at && now < slot.used() + session.idle;
            if !kept {
                self.count(&session.agent, |n| n.saturating_sub(1));
            }
            kept
        });
    }

    fn count(&self, agent: &AgentId, step: impl Fn(usize) -> usize) {
        if let Some(slot) = self.agents.read().unwrap_or_else(PoisonError::into_inner).get(agent) {
            let _ = slot.sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| Some(step(n)));
        }
    }

    fn put_agent(&self, agent: Arc<Agent>, replace: bool) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        match agents.get(&agent.id) {
            Some(slot) if replace => slot.current.store(agent),
            Some(_) => {}
            None => {
                let slot = Arc::new(AgentSlot { current: ArcSwap::new(agent.clone()), sessions: AtomicUsize::new(0) });
                agents.insert(agent.id.clone(), slot.clone());
                self.names.write().unwrap_or_else(PoisonError::into_inner).insert(agent.name.clone(), slot);
            }
        }
    }

    fn put_session(&self, session: Arc<Session>, replace: bool) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        match sessions.get(&session.id) {
            Some(slot) if replace => slot.current.store(session),
            Some(_) => {}
            None => {
                self.count(&session.agent, |n| n + 1);
                let used = AtomicI64::new(session.used_at.0);
                let slot = SessionSlot { current: ArcSwap::new(session.clone()), used };
                sessions.insert(session.id.clone(), Arc::new(slot));
            }
        }
    }
}
