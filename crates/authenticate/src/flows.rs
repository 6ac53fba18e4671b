//! What sessions did: which tools succeeded, which are under way, and how many calls were begun.
//!
//! Kept at the session at the root of a chain, so that whatever is delegated from it is one flow. A call that depends
//! on another can wait here for it to end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chancery_model::ActResult;
use tokio::sync::Notify;

/// All flows, by the id of their root session.
#[derive(Debug, Default)]
pub struct Flows {
    flows: RwLock<HashMap<Arc<str>, Arc<Flow>>>,
}

/// One flow.
#[derive(Debug, Default)]
pub struct Flow {
    history: Mutex<History>,
    changed: Notify,
}

/// What was done in a flow so far.
#[derive(Debug, Default)]
pub struct History {
    /// Tools that succeeded, as "server/tool".
    pub done: BTreeSet<Arc<str>>,
    /// Tools that are being called, and how often.
    pub running: BTreeMap<Arc<str>, usize>,
    /// Calls that were begun, but for those that were not sent.
    pub calls: i64,
}

/// A call under way. Dropped, it was not sent.
#[derive(Debug)]
#[must_use = "a step that is dropped was not taken"]
pub struct Step {
    flow: Arc<Flow>,
    tool: Arc<str>,
    ended: ActResult,
}

impl Flows {
    /// The flow of this root session.
    pub fn of(&self, session: &str) -> Arc<Flow> {
        if let Some(flow) = self.flows.read().unwrap_or_else(PoisonError::into_inner).get(session) {
            return Arc::clone(flow);
        }
        let mut flows = self.flows.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(flows.entry(session.into()).or_default())
    }

    /// Forgets flows of sessions that are not `alive` and in which nothing is under way.
    pub fn sweep(&self, alive: impl Fn(&str) -> bool) {
        let mut flows = self.flows.write().unwrap_or_else(PoisonError::into_inner);
        flows.retain(|session, flow| alive(session) || Arc::strong_count(flow) > 1);
    }

    /// How many flows are known.
    pub fn len(&self) -> usize {
        self.flows.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Flow {
    /// Returns at the first change after it was called.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Lets `decide` look at what was done, and begins a call of this tool if it says yes. Nothing changes in between.
    pub fn decide<T>(
        self: &Arc<Self>,
        tool: &Arc<str>,
        decide: impl FnOnce(&History) -> (T, bool),
    ) -> (T, Option<Step>) {
        let mut history = self.history();
        let (answer, yes) = decide(&history);
        if !yes {
            return (answer, None);
        }
        history.calls += 1;
        *history.running.entry(Arc::clone(tool)).or_default() += 1;
        drop(history);
        self.changed.notify_waiters();
        (answer, Some(Step { flow: Arc::clone(self), tool: Arc::clone(tool), ended: ActResult::NotSent }))
    }

    /// Lets somebody look at what was done.
    pub fn look<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.history())
    }

    /// Takes over a call that the log tells of.
    pub fn restore(&self, tool: &str, ended: ActResult) {
        let mut history = self.history();
        history.calls += i64::from(ended != ActResult::NotSent);
        if ended == ActResult::Succeeded {
            history.done.insert(tool.into());
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, tool: &Arc<str>, ended: ActResult) {
        let mut history = self.history();
        match history.running.get_mut(tool) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(history.running.remove(tool)),
        }
        match ended {
            ActResult::NotSent => history.calls -= 1,
            ActResult::Succeeded => drop(history.done.insert(Arc::clone(tool))),
            ActResult::Failed | ActResult::Indeterminate => {}
        }
        drop(history);
        self.changed.notify_waiters();
    }
}

impl Step {
    /// The call ended so.
    pub fn end(mut self, ended: ActResult) {
        self.ended = ended;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.flow.ended(&self.tool, self.ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(flow: &Arc<Flow>, tool: &str) -> Step {
        flow.decide(&tool.into(), |_| ((), true)).1.unwrap()
    }

    #[test]
    fn only_what_succeeded_is_done() {
        let flows = Flows::default();
        let flow = flows.of("ses_1");
        begin(&flow, "s/a").end(ActResult::Failed);
        begin(&flow, "s/b").end(ActResult::Indeterminate);
        drop(begin(&flow, "s/c"));
        let running = begin(&flow, "s/d");
        assert!(flow.decide(&"s/e".into(), |_| ((), false)).1.is_none());
        flow.look(|history| {
            assert_eq!((history.done.len(), history.calls), (0, 3), "{history:?}");
            assert_eq!(history.running.keys().map(|tool| &**tool).collect::<Vec<_>>(), ["s/d"]);
        });
        running.end(ActResult::Succeeded);
        flow.look(|history| assert!(history.done.contains("s/d") && history.running.is_empty()));
        flows.sweep(|_| false);
        assert_eq!(flows.len(), 1, "somebody looks at it");
        drop(flow);
        flows.sweep(|_| false);
        assert!(flows.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_a_beginning_and_of_an_end() {
        let flow = Flows::default().of("ses_1");
        let mut changed = std::pin::pin!(flow.changed());
        changed.as_mut().enable();
        let step = begin(&flow, "s/a");
        changed.await;
        let mut changed = std::pin::pin!(flow.changed());
        changed.as_mut().enable();
        step.end(ActResult::Succeeded);
        changed.await;
    }
}
