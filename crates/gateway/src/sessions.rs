//! MCP sessions of the wires before 2026-07-28: our own ids, bound to one agent, one session of it and one upstream.
//!
//! An id is worth nothing to anybody else: whoever presents another's id is told that there is no such session.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use chancery_authenticate::Caller;
use chancery_model::problem;
use chancery_model::{AgentId, Clock, Random, SessionId, Span, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Limits, Timeouts};
use crate::flight::Flight;
use crate::lock;
use crate::message::{Form, Id, Message};
use crate::refusal::{Refusal, rpc};
use crate::upstream::stdio::Child;
use crate::upstream::{Reach, Upstream};
use crate::wire::{SESSIONS, Wire};

/// The header that carries a session's id.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// An open MCP session.
pub(crate) struct McpSession {
    /// Our id for it.
    pub(crate) id: String,
    server: Arc<str>,
    agent: AgentId,
    within: SessionId,
    pub(crate) link: Link,
    /// The version that was negotiated.
    pub(crate) version: OnceLock<String>,
    /// Whether its client can let a person open an address.
    opens_addresses: bool,
    state: Mutex<State>,
}

/// What a session is at the upstream.
pub(crate) enum Link {
    /// The upstream's own id of it.
    Http(HeaderValue),
    /// A child process of its own.
    Stdio(Arc<Child>),
}

#[derive(Default)]
struct State {
    used: Timestamp,
    /// Ids of the client's requests in progress.
    busy: HashSet<Id>,
    /// Ids of the server's requests that the client may answer, once each.
    asked: HashSet<Id>,
    /// Requests whose stream the upstream closed early: their answers come on the session's own stream.
    parked: HashMap<Id, Flight>,
}

/// Where a message goes.
#[derive(Clone)]
pub(crate) enum Place {
    /// It opens a session.
    New,
    /// It belongs to this one.
    In(Arc<McpSession>),
    /// It stands for itself.
    Bare,
}

impl Place {
    pub(crate) fn session(&self) -> Option<&Arc<McpSession>> {
        match self {
            Self::In(session) => Some(session),
            Self::New | Self::Bare => None,
        }
    }
}

/// All open sessions.
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Arc<McpSession>>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    limits: Limits,
    idle: Span,
}

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, limits: Limits, timeouts: Timeouts) -> Self {
        let idle = Span(i64::try_from(timeouts.session.as_micros()).unwrap_or(i64::MAX));
        Self { open: Mutex::default(), clock, random, limits, idle }
    }

    /// Where this message of this caller goes.
    pub(crate) fn place(
        &self,
        caller: &Caller,
        upstream: &Upstream,
        wire: Wire,
        headers: &HeaderMap,
        message: &Message,
    ) -> Result<Place, Refusal> {
        let Wire::Sessions(version) = wire else { return Ok(Place::Bare) };
        let mut ids = headers.get_all(SESSION).iter();
        let place = match (ids.next(), ids.next(), message.method()) {
            (_, Some(_), _) => return Err(Refusal::mismatch("Mcp-Session-Id stands more than once")),
            (None, _, "initialize") => return self.room(caller).map(|()| Place::New),
            (Some(_), None, "initialize") => return Err(Refusal::malformed("a session is initialized once")),
            (Some(id), None, _) => Place::In(self.find(caller, upstream, id)?),
            (None, None, _) if matches!(upstream.reach, Reach::Http(_)) => Place::Bare,
            (None, None, _) => return Err(Refusal::malformed("Mcp-Session-Id is missing: send initialize first")),
        };
        if let (Place::Bare, Form::Response(_)) = (&place, &message.form) {
            return Err(Refusal::malformed("outside a session the server asks nothing that could be answered"));
        }
        if let (Place::In(session), Some(version)) = (&place, version)
            && session.version.get().is_some_and(|agreed| agreed != version)
        {
            return Err(Refusal::mismatch("MCP-Protocol-Version is not the version this session was opened with"));
        }
        Ok(place)
    }

    fn find(&self, caller: &Caller, upstream: &Upstream, id: &HeaderValue) -> Result<Arc<McpSession>, Refusal> {
        let found = id.to_str().ok().and_then(|id| lock(&self.open).get(id).cloned());
        let own = |session: &Arc<McpSession>| {
            session.agent == caller.agent.id && session.within == caller.session.id && session.server == upstream.name
        };
        let Some(session) = found.filter(own) else {
            return Err(Refusal::new(
                problem::NO_MCP_SESSION,
                rpc::DENIED,
                "the id names no session of this agent here",
            ));
        };
        if let Link::Stdio(child) = &session.link
            && child.is_gone()
        {
            self.close(&session.id);
            let why = "the upstream's process of this session has ended";
            return Err(Refusal::new(problem::NO_MCP_SESSION, rpc::DENIED, why));
        }
        lock(&session.state).used = self.clock.monotonic();
        Ok(session)
    }

    /// Is there room for one more of this agent?
    fn room(&self, caller: &Caller) -> Result<(), Refusal> {
        let open = lock(&self.open);
        let own = open.values().filter(|session| session.agent == caller.agent.id).count();
        if open.len() < self.limits.sessions && own < self.limits.sessions_per_agent {
            return Ok(());
        }
        let why = format!("{own} MCP sessions of this agent are open, {} of all", open.len());
        Err(Refusal::new(problem::TOO_BUSY, rpc::DENIED, why)
            .next("end a session with DELETE, or wait until it is idle"))
    }

    /// Opens a session that the upstream has opened.
    pub(crate) fn open(
        &self,
        caller: &Caller,
        upstream: &Upstream,
        link: Link,
        opens_addresses: bool,
    ) -> Arc<McpSession> {
        let id = hex(&self.random.bytes::<24>());
        let state = State { used: self.clock.monotonic(), ..State::default() };
        let session = Arc::new(McpSession {
            id: id.clone(),
            server: upstream.name.clone(),
            agent: caller.agent.id.clone(),
            within: caller.session.id.clone(),
            link,
            version: OnceLock::new(),
            opens_addresses,
            state: Mutex::new(state),
        });
        lock(&self.open).insert(id, session.clone());
        session
    }

    /// Forgets a session. Its child process, if it has one, ends when nobody uses it any more.
    pub(crate) fn close(&self, id: &str) {
        let closed = lock(&self.open).remove(id);
        if let Some(session) = closed {
            session.end();
        }
    }

    /// Forgets all such sessions, and hands them over.
    pub(crate) fn close_all(&self, such: impl Fn(&McpSession) -> bool) -> Vec<Arc<McpSession>> {
        let closed: Vec<_> =
            lock(&self.open).extract_if(|_, session| such(session)).map(|(_, session)| session).collect();
        closed.iter().for_each(|session| session.end());
        closed
    }

    /// How many such sessions are open, and how many of these have a child process of their own: by the session that they
    /// are used in, and their server.
    pub(crate) fn count(&self, such: impl Fn(&SessionId, &str) -> bool) -> (usize, usize) {
        let open = lock(&self.open);
        let such: Vec<_> = open.values().filter(|session| such(&session.within, &session.server)).collect();
        (such.len(), such.iter().filter(|session| session.child().is_some()).count())
    }

    /// Forgets sessions that were left unused.
    pub(crate) fn sweep(&self) {
        let now = self.clock.monotonic();
        let old: Vec<_> = {
            let mut open = lock(&self.open);
            let stale = |session: &McpSession| {
                let state = lock(&session.state);
                state.busy.is_empty() && now - state.used >= self.idle
            };
            let ids: Vec<String> = open.values().filter(|s| stale(s)).map(|s| s.id.clone()).collect();
            ids.iter().filter_map(|id| open.remove(id)).collect()
        };
        old.iter().for_each(|session| session.end());
    }
}

impl McpSession {
    /// The session of the agent that it is used in.
    pub(crate) fn within(&self) -> &SessionId {
        &self.within
    }

    /// Its server.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The child process that is its own.
    pub(crate) fn child(&self) -> Option<&Arc<Child>> {
        match &self.link {
            Link::Stdio(child) => Some(child),
            Link::Http(_) => None,
        }
    }

    /// A session of the gateway's own, which nobody else can name.
    pub(crate) fn own(upstream: &Upstream, link: Link, agent: AgentId, within: SessionId) -> Arc<Self> {
        Arc::new(Self {
            id: String::new(),
            server: upstream.name.clone(),
            agent,
            within,
            link,
            version: OnceLock::new(),
            opens_addresses: false,
            state: Mutex::default(),
        })
    }

    /// Can its client be told by an error that a person has to open an address? The revision that has it is 2025-11-25.
    pub(crate) fn elicits(&self) -> bool {
        self.opens_addresses && self.version.get().is_some_and(|version| version == SESSIONS[0])
    }

    /// Requests that still waited for an answer end here, outside the lock.
    fn end(&self) {
        let parked = std::mem::take(&mut lock(&self.state).parked);
        drop(parked);
    }

    /// Takes the id of a request; an id may be in progress once.
    pub(crate) fn begin(self: &Arc<Self>, message: &Message) -> Result<Option<Busy>, Refusal> {
        match &message.form {
            Form::Request(id) => {
                if !lock(&self.state).busy.insert(id.clone()) {
                    return Err(Refusal::malformed("a request with this id is in progress in this session"));
                }
                Ok(Some(Busy { session: self.clone(), id: id.clone() }))
            }
            Form::Response(id) if !lock(&self.state).asked.remove(id) => {
                Err(Refusal::malformed("the server asked nothing with this id, or was answered already"))
            }
            _ => Ok(None),
        }
    }

    /// The server asked the client something.
    pub(crate) fn asks(&self, id: Id) {
        lock(&self.state).asked.insert(id);
    }

    /// Keeps a request open whose stream was closed before its answer came.
    pub(crate) fn park(&self, id: Id, mut flight: Flight) {
        flight.release();
        lock(&self.state).parked.insert(id, flight);
    }

    /// The request that an answer on the session's stream belongs to.
    pub(crate) fn unpark(&self, id: &Id) -> Option<Flight> {
        lock(&self.state).parked.remove(id)
    }
}

/// A request's claim on its id.
pub(crate) struct Busy {
    session: Arc<McpSession>,
    id: Id,
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.session.state).busy.remove(&self.id);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
