//! The requests in progress: how many there may be, in all and of one agent, whose they are, and which of them is sending
//! something to an upstream at this moment.
//!
//! Whoever throws the kill switch waits for those that it concerns to be cut. A request says that it sends *before* it is
//! looked at for the last time, and whoever waits looks at what is sent *after* the containment is in force: of the two
//! at least one sees the other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_authenticate::Caller;
use chancery_model::{AgentId, Session, problem};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::lock;
use crate::refusal::{Refusal, rpc};

pub(crate) struct Slots {
    all: Arc<Semaphore>,
    table: Arc<Table>,
    per_agent: usize,
}

/// Every place, and who has it.
struct Table {
    state: Mutex<State>,
    /// What is sent from each place, by a number that is given once; nothing is 0.
    sends: Box<[Sends]>,
    numbers: AtomicU64,
    /// Told when something is sent no more, while somebody waits for that.
    ended: Notify,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Sends {
    number: AtomicU64,
    tool: AtomicU64,
}

#[derive(Default)]
struct State {
    counts: HashMap<AgentId, usize>,
    calls: Vec<Option<Call>>,
    free: Vec<usize>,
}

/// One request in progress.
#[derive(Clone)]
pub(crate) struct Call {
    /// The session it is made in.
    pub(crate) session: Arc<Session>,
    /// The upstream server it is for.
    pub(crate) server: Arc<str>,
    /// The hash of the tool's name, of a call that is being sent.
    tool: u64,
}

/// A place among the requests in progress.
pub(crate) struct Slot {
    _place: OwnedSemaphorePermit,
    agent: AgentId,
    at: usize,
    table: Arc<Table>,
}

/// While this lives, something may be on its way to an upstream.
pub(crate) struct Sending {
    at: usize,
    table: Arc<Table>,
}

impl Slots {
    pub(crate) fn new(limits: &Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.concurrent));
        let state = State {
            counts: HashMap::new(),
            calls: vec![None; limits.concurrent],
            free: (0..limits.concurrent).rev().collect(),
        };
        let table = Table {
            state: Mutex::new(state),
            sends: (0..limits.concurrent).map(|_| Sends::default()).collect(),
            numbers: AtomicU64::new(1),
            ended: Notify::new(),
            waiting: AtomicUsize::new(0),
        };
        Self { all, table: Arc::new(table), per_agent: limits.concurrent_per_agent }
    }

    /// A place for a request of this caller. Whoever is not known yet takes none from those who are.
    pub(crate) fn take(&self, caller: &Caller, server: &Arc<str>) -> Result<Slot, Refusal> {
        let place = self.all.clone().try_acquire_owned().map_err(|_| busy("all places for requests are taken"))?;
        let mut state = lock(&self.table.state);
        let (agent, per_agent) = (&caller.agent.id, self.per_agent);
        if state.counts.get(agent).is_some_and(|count| *count >= per_agent) {
            return Err(busy(&format!("{per_agent} requests of this agent are in progress")));
        }
        // There are as many as the permits of which one is held here.
        let at = state.free.pop().ok_or_else(|| busy("all places for requests are taken"))?;
        *state.counts.entry(agent.clone()).or_default() += 1;
        state.calls[at] = Some(Call { session: caller.session.clone(), server: server.clone(), tool: 0 });
        Ok(Slot { _place: place, agent: agent.clone(), at, table: self.table.clone() })
    }

    /// How many requests in progress are such.
    pub(crate) fn count(&self, such: impl Fn(&Call) -> bool) -> usize {
        let calls = lock(&self.table.state).calls.clone();
        let tool = |at: usize| self.table.sends[at].tool.load(Ordering::Relaxed);
        let calls = calls.into_iter().enumerate().filter_map(|(at, call)| Some(Call { tool: tool(at), ..call? }));
        calls.filter(such).count()
    }

    /// Waits until nothing such is sent any more that was sent when this was called, but no longer than this. Says how much
    /// still is.
    pub(crate) async fn ended(&self, such: impl Fn(&Call) -> bool, patience: Duration) -> usize {
        let table = &self.table;
        table.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(table);
        let mut left = table.sending(such);
        let _ = tokio::time::timeout(patience, async {
            loop {
                // Before looking, so that no end after it is missed.
                let mut ended = pin!(table.ended.notified());
                ended.as_mut().enable();
                left.retain(|(at, number)| table.sends[*at].number.load(Ordering::SeqCst) == *number);
                if left.is_empty() {
                    return;
                }
                ended.await;
            }
        })
        .await;
        left.len()
    }
}

impl Table {
    /// Where something such is sent, and under which number.
    fn sending(&self, such: impl Fn(&Call) -> bool) -> Vec<(usize, u64)> {
        fence(Ordering::SeqCst);
        let numbers = self.sends.iter().enumerate().map(|(at, sends)| (at, sends.number.load(Ordering::SeqCst)));
        let sending: Vec<(usize, u64)> = numbers.filter(|(_, number)| *number != 0).collect();
        let state = lock(&self.state);
        let is_such = |at: usize| {
            let call = state.calls[at].as_ref();
            call.is_none_or(|call| such(&Call { tool: self.sends[at].tool.load(Ordering::SeqCst), ..call.clone() }))
        };
        sending.into_iter().filter(|(at, _)| is_such(*at)).collect()
    }
}

impl Call {
    /// Is it a call of this tool?
    pub(crate) fn is_of(&self, tool: &str) -> bool {
        self.tool == hash(tool)
    }
}

impl Slot {
    /// From now on until what is returned is dropped, this request may send something: to be said before it is looked at
    /// for the last time whether it may.
    pub(crate) fn sends(&self, tool: Option<&str>) -> Sending {
        let sends = &self.table.sends[self.at];
        sends.tool.store(tool.map_or(0, hash), Ordering::SeqCst);
        sends.number.store(self.table.numbers.fetch_add(1, Ordering::Relaxed), Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Sending { at: self.at, table: self.table.clone() }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.table.sends[self.at].number.store(0, Ordering::SeqCst);
        if self.table.waiting.load(Ordering::SeqCst) > 0 {
            self.table.ended.notify_waiters();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.table.state);
        match state.counts.get_mut(&self.agent) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(state.counts.remove(&self.agent)),
        }
        state.calls[self.at] = None;
        state.free.push(self.at);
    }
}

/// Somebody who waits for ends.
struct Waiting<'t>(&'t Table);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

fn hash(tool: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    tool.hash(&mut hasher);
    hasher.finish()
}

fn busy(why: &str) -> Refusal {
    Refusal::new(problem::TOO_BUSY, rpc::DENIED, why)
}
