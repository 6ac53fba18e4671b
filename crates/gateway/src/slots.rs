//! How many requests may be in progress, in all and of one agent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chancery_model::{AgentId, problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::lock;
use crate::refusal::{Refusal, rpc};

type Counts = Arc<Mutex<HashMap<AgentId, usize>>>;

pub(crate) struct Slots {
    all: Arc<Semaphore>,
    counts: Counts,
    per_agent: usize,
}

/// A place among the requests in progress.
pub(crate) struct Slot {
    _place: OwnedSemaphorePermit,
    agent: AgentId,
    counts: Counts,
}

impl Slots {
    pub(crate) fn new(limits: &Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.concurrent));
        Self { all, counts: Counts::default(), per_agent: limits.concurrent_per_agent }
    }

    /// A place for a request of this agent. Whoever is not known yet takes none from those who are.
    pub(crate) fn take(&self, agent: &AgentId) -> Result<Slot, Refusal> {
        let place = self.all.clone().try_acquire_owned().map_err(|_| busy("all places for requests are taken"))?;
        let mut counts = lock(&self.counts);
        let count = counts.entry(agent.clone()).or_default();
        if *count >= self.per_agent {
            return Err(busy(&format!("{count} requests of this agent are in progress")));
        }
        *count += 1;
        Ok(Slot { _place: place, agent: agent.clone(), counts: self.counts.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        match counts.get_mut(&self.agent) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.agent)),
        }
    }
}

fn busy(why: &str) -> Refusal {
    Refusal::new(problem::TOO_BUSY, rpc::DENIED, why)
}
