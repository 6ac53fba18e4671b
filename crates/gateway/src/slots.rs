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
    agent: Option<(AgentId, Counts)>,
}

impl Slots {
    pub(crate) fn new(limits: &Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.concurrent));
        Self { all, counts: Counts::default(), per_agent: limits.concurrent_per_agent }
    }

    pub(crate) fn take(&self) -> Result<Slot, Refusal> {
        let place = self.all.clone().try_acquire_owned();
        place.map(|place| Slot { _place: place, agent: None }).map_err(|_| busy("all places for requests are taken"))
    }

    /// The same place, counted for an agent.
    pub(crate) fn of(&self, mut slot: Slot, agent: &AgentId) -> Result<Slot, Refusal> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(agent.clone()).or_default();
        if *count >= self.per_agent {
            return Err(busy(&format!("{count} requests of this agent are in progress")));
        }
        *count += 1;
        slot.agent = Some((agent.clone(), self.counts.clone()));
        Ok(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((agent, counts)) = self.agent.take() {
            let mut counts = lock(&counts);
            match counts.get_mut(&agent) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(counts.remove(&agent)),
            }
        }
    }
}

fn busy(why: &str) -> Refusal {
    Refusal::new(problem::TOO_BUSY, rpc::DENIED, why)
}
