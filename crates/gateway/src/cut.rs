//! The kill switch at the gateway: what is on its way when something is contained is cut, and said to be.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_authenticate::Reach;
use chancery_model::{Changed, Containment, ContainmentId, Scope, SessionId, Span, Timestamp};
use chancery_store::Stop;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::gateway::Gateway;
use crate::lock;
use crate::slots::Call;
use crate::upstream::stdio::Child;

/// How long is waited for what was cut to be gone. It takes the time of a look; this is for what never looks.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was cut is known so long, in containments: whoever throws a switch that another one threw is told the same.
const REMEMBERED: usize = 64;

/// One place where something is enforced, and that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Which place.
    pub point: &'static str,
    /// Since the switch was thrown.
    pub after: Span,
    /// How many it found to stop.
    pub stopped: usize,
    /// How many of them it could not stop in time. More than none is no acknowledgement.
    pub left: usize,
}

/// The moment at which somebody reached for the switch, before anything was written.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// On the monotonic clock.
    pub at: Timestamp,
    /// What had been cut until then.
    cuts: u64,
}

/// The cuts of containments. Each is done once, whoever waits for it.
#[derive(Default)]
pub(crate) struct Cuttings {
    known: Mutex<VecDeque<(ContainmentId, Cutting)>>,
    /// Child processes that were killed and may not be gone. Whoever takes one from where it was puts it here in the same
    /// moment, so that nobody finds it nowhere while it lives.
    dying: Mutex<Vec<Arc<Child>>>,
}

type Cutting = Shared<BoxFuture<'static, Cut>>;

/// What was cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    calls_at: Timestamp,
    ended_at: Timestamp,
    calls_left: usize,
    connections: usize,
    processes: usize,
    processes_left: usize,
}

/// What a containment would stop at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests in progress.
    pub calls: usize,
    /// Open MCP sessions.
    pub connections: usize,
    /// Child processes.
    pub processes: usize,
}

impl Gateway {
    /// To be asked before a containment is written: what is stopped by it is counted from here.
    pub fn reaches(&self) -> Reached {
        Reached { at: self.clock.monotonic(), cuts: self.cuts.load(Ordering::SeqCst) }
    }

    /// Returns when nothing that a containment covers can send anything to an upstream any more. It must be in force
    /// already: those who look at requests look at it.
    ///
    /// What was written to an upstream before is not taken back: the upstream may act on it, and its outcome is recorded as
    /// indeterminate.
    pub async fn acknowledge(self: &Arc<Self>, containment: &Containment, since: Reached) -> Vec<Confirmation> {
        let cut = self.cutting(containment).await;
        let confirm = |point, at: Timestamp, stopped, left| {
            // It may have been cut before this switch was thrown, by another one.
            let after = Span((at - since.at).0.max(0));
            Confirmation { point, after, stopped, left }
        };
        let calls = self.cuts.load(Ordering::SeqCst).saturating_sub(since.cuts);
        let calls = usize::try_from(calls).unwrap_or(usize::MAX) + cut.calls_left;
        vec![
            confirm("calls", cut.calls_at, calls, cut.calls_left),
            confirm("connections", cut.ended_at, cut.connections, 0),
            confirm("processes", cut.ended_at, cut.processes, cut.processes_left),
        ]
    }

    /// What has to end at this gateway before its node says that it has a change, and before it goes on after it was cut
    /// off itself. See [`chancery_store::Store::end_with`].
    pub(crate) fn ends(self: Arc<Self>, stop: Stop<'_>) -> Option<BoxFuture<'static, ()>> {
        match stop {
            Stop::Changed(_, Changed::Containment(containment)) if containment.is_in_force() => {
                let containment = Arc::clone(containment);
                // From now on, so that whoever acknowledges finds it under way.
                let mut cutting = self.cutting(&containment);
                Some(Box::pin(async move {
                    while cutting.await.goes_on() {
                        cutting = self.cutting(&containment);
                    }
                }))
            }
            Stop::Changed(..) => None,
            Stop::Lapse => Some(Box::pin(async move {
                self.authenticator.look_again();
                while self.slots.ended(|_| true, PATIENCE).await > 0 {}
            })),
        }
    }

    /// The cut of this containment: under way, or done, or begun now. What could not be cut is tried again.
    fn cutting(self: &Arc<Self>, containment: &Containment) -> Cutting {
        let mut known = lock(&self.cutting.known);
        known.retain(|(id, cutting)| *id != containment.id || cutting.peek().is_none_or(|cut| !cut.goes_on()));
        if let Some((_, cutting)) = known.iter().find(|(id, _)| *id == containment.id) {
            return cutting.clone();
        }
        let (gateway, cut) = (Arc::clone(self), containment.clone());
        let cutting = async move { gateway.cut(&cut).await }.boxed().shared();
        known.push_back((containment.id.clone(), cutting.clone()));
        if known.len() > REMEMBERED {
            known.pop_front();
        }
        cutting
    }

    /// Cuts what a containment covers that is in force.
    async fn cut(&self, containment: &Containment) -> Cut {
        let reach = self.authenticator.reach(containment);
        let (closed, taken) = self.take_children(containment, &reach);
        let calls = async {
            let left = self.slots.ended(|call| covers(containment, &reach, call), PATIENCE).await;
            (left, self.clock.monotonic())
        };
        let ((calls_left, calls_at), _) = tokio::join!(calls, self.kill());
        // What a call that was cut had opened in the meantime.
        let (closed_late, taken_late) = self.take_children(containment, &reach);
        let processes_left = self.kill().await;
        let ended_at = self.clock.monotonic();
        let (connections, processes) = (closed + closed_late, taken + taken_late);
        Cut { calls_at, ended_at, calls_left, connections, processes, processes_left }
    }

    /// Waits for every child process that was killed, by this containment or by another one, and says how many are not gone.
    async fn kill(&self) -> usize {
        let dying = lock(&self.cutting.dying).clone();
        let ended = futures_util::future::join_all(dying.iter().map(|child| child.kill(PATIENCE))).await;
        lock(&self.cutting.dying).retain(|child| !child.is_over());
        ended.into_iter().filter(|ended| !ended).count()
    }

    /// What it would stop here.
    pub fn would_stop(&self, containment: &Containment) -> UnderWay {
        let reach = self.authenticator.reach(containment);
        let calls = self.slots.count(|call| covers(containment, &reach, call));
        let (connections, own) = self.sessions.count(|within, server| closes(containment, &reach, within, server));
        let shared = lock(&self.shared);
        let shared = shared.keys().filter(|(server, agent)| holds_child(containment, &reach, server, agent)).count();
        UnderWay { calls, connections, processes: own + shared }
    }

    /// Closes the MCP sessions that are covered, and says how many. The child processes that go with them, and those that
    /// agents share among their requests, are to die: how many.
    fn take_children(&self, containment: &Containment, reach: &Reach) -> (usize, usize) {
        let mut dying = lock(&self.cutting.dying);
        let closed = self.sessions.close_all(|session| closes(containment, reach, session.within(), session.server()));
        let mut taken: Vec<Arc<Child>> = closed.iter().filter_map(|session| session.child().cloned()).collect();
        let shared = lock(&self.shared)
            .extract_if(|(server, agent), _| holds_child(containment, reach, server, agent))
            .collect::<Vec<_>>();
        taken.extend(shared.into_iter().map(|(_, (child, _))| child));
        let processes = taken.len();
        dying.append(&mut taken);
        (closed.len(), processes)
    }
}

impl Cut {
    /// Could something not be cut in time?
    fn goes_on(&self) -> bool {
        self.calls_left + self.processes_left > 0
    }
}

/// A tool is one of many that are used in an MCP session.
fn closes(containment: &Containment, reach: &Reach, within: &SessionId, server: &str) -> bool {
    containment.scope != Scope::Tool && (reach.session(within) || reach.place(server, None))
}

fn covers(containment: &Containment, reach: &Reach, call: &Call) -> bool {
    match containment.scope {
        Scope::Server => reach.place(&call.server, None),
        Scope::Tool => {
            let (server, tool) = containment.subject.split_once('/').unwrap_or_default();
            *call.server == *server && call.is_of(tool)
        }
        _ => reach.session(&call.session.id),
    }
}

/// A child that an agent's requests share goes with the agent or the server. A session of several has none of its own.
fn holds_child(containment: &Containment, reach: &Reach, server: &str, agent: &str) -> bool {
    match containment.scope {
        Scope::Tool | Scope::Session => false,
        Scope::Server => reach.place(server, None),
        _ => agent.parse().is_ok_and(|agent| reach.agent(&agent)),
    }
}
