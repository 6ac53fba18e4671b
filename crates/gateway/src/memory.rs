//! What meters and sessions stand at after a start: read back from the log, when a policy first wants to know.

use std::collections::HashSet;
use std::sync::Arc;

use chancery_authorize::Needs;
use chancery_model::{Entry, Limit, Meter, Session, Span, Timestamp, Window, problem};
use chancery_record::RecordError;

use crate::claim::LIMIT;
use crate::gateway::Gateway;
use crate::refusal::{Refusal, rpc};

/// What was read back.
#[derive(Default)]
pub(crate) struct Memory {
    /// Where the log ended at the start: what came after it was counted as it happened.
    begun: u64,
    meters: HashSet<Arc<str>>,
    history: bool,
    limits: bool,
}

impl Memory {
    /// Of a start at which the log has so many entries.
    pub(crate) fn at(begun: u64) -> Self {
        Self { begun, ..Self::default() }
    }
}

impl Gateway {
    /// Returns once everything that these policies want to know is there. Without such policies at once.
    pub(crate) async fn remember(&self, needs: &Arc<Needs>) -> Result<(), Refusal> {
        if needs.meters.is_empty() && !needs.history() {
            return Ok(());
        }
        if self.remembered.load().as_ref().is_some_and(|known| Arc::ptr_eq(known, needs)) {
            return Ok(());
        }
        let read = self.read_back(needs).await;
        read.map_err(|e| Refusal::new(problem::READ_FAILED, rpc::INTERNAL, e.to_string()))
    }

    /// Reads what is not known yet, nothing twice. One at a time: whoever comes second finds it done.
    pub(crate) async fn read_back(&self, needs: &Arc<Needs>) -> Result<(), RecordError> {
        let mut memory = self.memory.lock().await;
        let meters: Vec<&Meter> = needs.meters.iter().filter(|meter| !memory.meters.contains(&meter.name)).collect();
        let history = needs.history() && !memory.history;
        // Sessions that were opened since the start have used up nothing before it.
        let limits = !memory.limits && self.authenticator.sessions().iter().any(counts_calls);
        if !meters.is_empty() || history || limits {
            let since = self.since(&meters, history || limits);
            let each = |entry: &Entry| self.take_back(entry, &meters, (history, limits));
            let read = self.recorder.outcomes(memory.begun, since, each).await?;
            tracing::info!(entries = read, "meters and sessions were read back from the log");
        }
        memory.meters.extend(meters.into_iter().map(|meter| meter.name.clone()));
        memory.history |= history;
        memory.limits = true;
        self.remembered.store(Some(Arc::clone(needs)));
        Ok(())
    }

    /// How far back something may still count: the longest window, and the oldest session that is open.
    fn since(&self, meters: &[&Meter], history: bool) -> Timestamp {
        let now = self.clock.now();
        let windows = meters.iter().map(|meter| match meter.window {
            Window::Last(Span(length)) => Some(now - Span(length)),
            Window::Session => None,
        });
        let mut since: Vec<Timestamp> = windows.clone().flatten().collect();
        if history || windows.clone().any(|window| window.is_none()) {
            since.extend(self.authenticator.sessions().iter().map(|session| session.opened_at));
        }
        since.into_iter().min().unwrap_or(now)
    }

    fn take_back(&self, entry: &Entry, meters: &[&Meter], (history, limits): (bool, bool)) {
        let draft = &entry.draft;
        for used in &draft.uses {
            if let Some(meter) = meters.iter().find(|meter| meter.name == used.meter) {
                self.meters.restore(meter, used, draft.at);
            }
            let place =
                used.meter.strip_prefix(LIMIT).filter(|_| limits).and_then(|number| number.parse::<usize>().ok());
            if let Some(meter) = place.and_then(|place| self.limits.get(place))
                && self.authenticator.knows_session(&used.subject)
            {
                self.meters.restore(meter, used, draft.at);
            }
        }
        if draft.what.is_dry_run() {
            return;
        }
        let flow = draft.authority.flow.as_deref().or(draft.authority.session.as_deref());
        let (Some(flow), Some(server), Some(tool), Some(ended)) =
            (flow, &draft.what.server, &draft.what.tool, draft.result)
        else {
            return;
        };
        if history && self.authenticator.knows_session(flow) {
            self.flows.of(flow).restore(&format!("{server}/{tool}"), ended);
        }
    }
}

fn counts_calls(session: &Session) -> bool {
    session.limits.iter().any(|limit| matches!(limit, Limit::McpTool { calls: Some(_), .. }))
}
