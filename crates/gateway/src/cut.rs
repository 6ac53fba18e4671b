//! The kill switch at the gateway: what is on its way when something is contained is cut, and said to be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chancery_authenticate::Reach;
use chancery_model::{Containment, Scope, SessionId, Span, Timestamp};

use crate::gateway::Gateway;
use crate::lock;
use crate::slots::Call;
use crate::upstream::stdio::Child;

/// How long is waited for what was cut to be gone. It takes the time of a look; this is for what never looks.
const PATIENCE: Duration = Duration::from_secs(2);

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
    pub async fn acknowledge(&self, containment: &Containment, since: Reached) -> Vec<Confirmation> {
        let reach = self.authenticator.reach(containment);
        let confirm = |point, stopped, left| {
            let after = self.clock.monotonic() - since.at;
            Confirmation { point, after, stopped, left }
        };
        let (closed, children) = self.take_children(containment, &reach);
        let cut = async {
            let left = self.slots.ended(|call| covers(containment, &reach, call), PATIENCE).await;
            let stopped = self.cuts.load(Ordering::SeqCst).saturating_sub(since.cuts);
            confirm("calls", usize::try_from(stopped).unwrap_or(usize::MAX) + left, left)
        };
        let (calls, ended) = tokio::join!(cut, kill(&children));
        // What a call that was cut had opened in the meantime.
        let (closed_late, late) = self.take_children(containment, &reach);
        let ended = ended + kill(&late).await;
        let stopped = children.len() + late.len();
        let connections = confirm("connections", closed + closed_late, 0);
        vec![calls, connections, confirm("processes", stopped, stopped - ended)]
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
    /// agents share among their requests.
    fn take_children(&self, containment: &Containment, reach: &Reach) -> (usize, Vec<Arc<Child>>) {
        let closed = self.sessions.close_all(|session| closes(containment, reach, session.within(), session.server()));
        let mut taken: Vec<Arc<Child>> = closed.iter().filter_map(|session| session.child().cloned()).collect();
        let shared = lock(&self.shared)
            .extract_if(|(server, agent), _| holds_child(containment, reach, server, agent))
            .collect::<Vec<_>>();
        taken.extend(shared.into_iter().map(|(_, (child, _))| child));
        (closed.len(), taken)
    }
}

/// Ends them, and says how many did.
async fn kill(children: &[Arc<Child>]) -> usize {
    let ended = futures_util::future::join_all(children.iter().map(|child| child.kill(PATIENCE))).await;
    ended.into_iter().filter(|ended| *ended).count()
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
