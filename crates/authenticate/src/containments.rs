//! What is contained, in memory: looked at wherever an agent or a session of it is.
//!
//! Where nothing is contained that costs one atomic load. Where something is, it costs a few lookups by name for each
//! link of a chain, however many agents there are: a containment names what it stops and touches nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chancery_model::{Agent, Containment, ContainmentId, Scope, Session, SessionId, Span, Timestamp, problem};

use crate::directory::{AgentSlot, SessionSlot};
use crate::refused::Reason;

/// Longer than any code lives that could open a session after the end of a containment.
const PENDING: Span = Span::minutes(30);

/// Every containment that matters at present: those in force, and those lifted that some session is older than.
#[derive(Debug, Default)]
pub(crate) struct Containments {
    /// Whether there is any.
    any: AtomicBool,
    set: ArcSwap<Set>,
    known: Mutex<HashMap<ContainmentId, Arc<Containment>>>,
}

/// Them, by what they name.
#[derive(Debug, Default)]
pub(crate) struct Set {
    by: [HashMap<Box<str>, Hold>; Scope::ALL.len()],
}

/// What is known of one subject.
#[derive(Debug, Default)]
struct Hold {
    /// The one in force.
    standing: Option<ContainmentId>,
    /// The one that was lifted last, and when: what is not younger does not come back.
    lifted: Option<(Timestamp, ContainmentId)>,
}

/// What holds somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held<'s> {
    /// A containment in force.
    Standing(&'s ContainmentId),
    /// One that was lifted after they began.
    Before(&'s ContainmentId),
}

/// Something of an agent that may be older than the end of a containment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made<'a> {
    /// When it was made.
    pub(crate) at: Timestamp,
    /// The session that it is.
    pub(crate) session: Option<&'a SessionId>,
    /// The running copy that it belongs to.
    pub(crate) copy: Option<&'a str>,
}

impl<'a> From<&'a Session> for Made<'a> {
    fn from(session: &'a Session) -> Self {
        Self { at: session.opened_at, session: Some(&session.id), copy: session.instance.as_deref() }
    }
}

impl Made<'_> {
    /// What is no session.
    pub(crate) const fn at(at: Timestamp) -> Self {
        Self { at, session: None, copy: None }
    }
}

impl Containments {
    /// What is contained; nothing, at the price of one load, if nothing is.
    pub(crate) fn now(&self) -> Option<Arc<Set>> {
        if !self.any.load(Ordering::SeqCst) || crate::faults::uncontained() {
            return None;
        }
        Some(self.set.load_full())
    }

    /// Takes one over as it is after a change.
    pub(crate) fn put(&self, containment: &Arc<Containment>) {
        self.change(|known| {
            known.insert(containment.id.clone(), containment.clone());
        });
    }

    /// Takes one that was stored before anything was observed.
    pub(crate) fn load(&self, containment: Containment) {
        self.change(|known| {
            known.entry(containment.id.clone()).or_insert_with(|| Arc::new(containment));
        });
    }

    /// Forgets those that were lifted before every session that is left was opened, and a while ago.
    pub(crate) fn sweep(&self, now: Timestamp, oldest: impl FnOnce() -> Option<Timestamp>) {
        let lifted = |known: &HashMap<_, Arc<Containment>>| known.values().any(|one| !one.is_in_force());
        if !self.any.load(Ordering::SeqCst) || !lifted(&self.lock()) {
            return;
        }
        let oldest = oldest();
        let matters = |at: Timestamp| now < at + PENDING || oldest.is_some_and(|oldest| oldest <= at);
        self.change(|known| known.retain(|_, one| one.lifted_at.is_none_or(matters)));
    }

    /// Forgets one as if it had never been.
    #[cfg(test)]
    pub(crate) fn forget(&self, id: &ContainmentId) {
        self.change(|known| drop(known.remove(id)));
    }

    /// A new set is in force before the flag that says that there is one.
    fn change(&self, change: impl FnOnce(&mut HashMap<ContainmentId, Arc<Containment>>)) {
        let mut known = self.lock();
        change(&mut known);
        self.set.store(Arc::new(Set::of(known.values())));
        self.any.store(!known.is_empty(), Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContainmentId, Arc<Containment>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn of<'c>(known: impl Iterator<Item = &'c Arc<Containment>>) -> Self {
        let mut set = Self::default();
        for one in known {
            let hold = set.by[one.scope as usize].entry(one.subject.as_str().into()).or_default();
            match one.lifted_at {
                None => hold.standing = Some(one.id.clone()),
                Some(at) if hold.lifted.as_ref().is_none_or(|(last, _)| *last < at) => {
                    hold.lifted = Some((at, one.id.clone()));
                }
                Some(_) => {}
            }
        }
        set
    }

    /// How many subjects it names.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by.iter().map(HashMap::len).sum()
    }

    /// Only this one, as if it were in force.
    pub(crate) fn only(containment: &Containment) -> Self {
        let standing = Containment { lifted_at: None, ..containment.clone() };
        Self::of([Arc::new(standing)].iter())
    }

    /// What holds an agent, and what was made for it.
    pub(crate) fn holds(&self, agent: &Agent, made: Option<Made<'_>>) -> Option<Held<'_>> {
        let copy = made.and_then(|made| made.copy).filter(|_| !self.by[Scope::Instance as usize].is_empty());
        let copy = copy.map(|copy| format!("{}/{copy}", agent.name));
        let named = [
            (Scope::Everything, Some(Containment::ALL)),
            (Scope::Agent, Some(agent.name.as_str())),
            (Scope::Instance, Some(agent.name.as_str())),
            (Scope::Instance, copy.as_deref()),
            (Scope::Owner, Some(agent.owner.as_str())),
            (Scope::Owner, Some(agent.sponsor.as_str())),
            (Scope::Blueprint, agent.blueprint.as_deref()),
            (Scope::Session, made.and_then(|made| made.session).map(SessionId::as_str)),
        ];
        let mut before = None;
        for (scope, subject) in named {
            let Some(hold) = subject.and_then(|subject| self.by[scope as usize].get(subject)) else { continue };
            if let Some(id) = &hold.standing {
                return Some(Held::Standing(id));
            }
            let older = |made: Made<'_>| hold.lifted.as_ref().filter(|(lifted, _)| made.at <= *lifted);
            before = made.and_then(older).map(|(_, id)| Held::Before(id)).or(before);
        }
        before
    }

    /// The containment that stops an agent, whatever it does.
    pub(crate) fn holder(&self, agent: &Agent) -> Option<ContainmentId> {
        self.holds(agent, None).map(|held| held.id().clone())
    }

    /// What holds everybody at this place: a server, or a tool of it.
    pub(crate) fn holds_place(&self, server: &str, tool: Option<&str>) -> Option<&ContainmentId> {
        let standing = |scope: Scope, subject: &str| self.by[scope as usize].get(subject)?.standing.as_ref();
        let tool = tool.filter(|_| !self.by[Scope::Tool as usize].is_empty());
        let held = tool.and_then(|tool| standing(Scope::Tool, &format!("{server}/{tool}")));
        held.or_else(|| standing(Scope::Server, server))
    }

    /// Refuses with the reason if an agent, or what was made for it, is held.
    pub(crate) fn demand(&self, agent: &Agent, made: Option<Made<'_>>) -> Result<(), Reason> {
        match self.holds(agent, made) {
            None => Ok(()),
            Some(held) => Err(held.reason()),
        }
    }

    /// Does it hold any link of a line, from the session to its root?
    pub(crate) fn holds_line(&self, slot: &SessionSlot) -> bool {
        slot.line().any(|link| self.holds(&link.agent().agent(), Some(Made::from(&*link.session()))).is_some())
    }
}

impl AgentSlot {
    /// Refuses if it is contained, or this running copy of it.
    pub(crate) fn demand_open(&self, copy: Option<&str>) -> Result<(), Reason> {
        let Some(set) = self.containments().now() else { return Ok(()) };
        set.demand(&self.agent(), Some(Made { at: Timestamp(i64::MAX), session: None, copy }))
    }

    /// Refuses what was made for it at this time, if that is from before the end of a containment.
    pub(crate) fn refuse_older(&self, made: Timestamp) -> Result<(), Reason> {
        match self.containments().now() {
            Some(set) => set.demand(&self.agent(), Some(Made::at(made))),
            None => Ok(()),
        }
    }
}

impl<'s> Held<'s> {
    /// Which containment it is.
    pub(crate) const fn id(self) -> &'s ContainmentId {
        match self {
            Self::Standing(id) | Self::Before(id) => id,
        }
    }

    /// What the agent is told: that it is contained, and under which name a person finds out more.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Standing(id) => {
                Reason::new(problem::CONTAINED, "invalid_token", format!("containment {id} stops it"))
            }
            Self::Before(id) => Reason::session(format!("it is from before {id} was lifted")),
        }
    }
}
