//! What is not to be waited with until a person looks: rules over the stream of entries that contain an agent and page
//! people, with the entries that made them.
//!
//! A follower of the log hands every entry to the rules; what they count is kept in memory, with bounds, and is made
//! again at a start from the last hour of the log. What fires is written down as an entry of its own (`trigger fire`),
//! from which people are told. A trigger never contains everything, and after a number of containments in an hour
//! the triggers only page: a rule that is wrong about all agents does not stop them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_model::{Change, Clock, Containment, DecisionId, Draft, Kind, Position, Random, Span, Who};
use chancery_store::{BoxFuture, Store, StoreError, followers, log, tool_uses};
use serde_json::json;
use tokio::sync::Mutex;

mod config;
mod watch;

pub use config::{Act, Looks, Target, Trigger, When};

use crate::containment::{self, ContainError, Means, Wanted};
use crate::follow::{Followed, Follower, Job, JobFailed, Start};
use watch::{Firing, Watch};

/// The follower's name.
const FOLLOWER: &str = "trigger";
/// How much of the log is read again at a start, and how many entries of a writer at the most.
const MEMORY: Span = Span::hours(1);
const ENTRIES: u64 = 200_000;
/// An entry that is older when it is read teaches, but sets nothing off: its agent went on, or was looked at, long ago.
const STALE: Span = Span::minutes(5);
/// How often calls without an outcome are looked for.
const TICK: Duration = Duration::from_secs(1);
/// Entries that are named as evidence.
const EVIDENCE: usize = 20;

/// Where a declared meter stands for whom, if it is declared.
pub type ReadMeter = Box<dyn Fn(&str, &str) -> Option<i64> + Send + Sync>;

/// What the room needs of others.
pub struct Parts {
    /// The record.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Where meters stand: the meter's name, and whose use it is.
    pub meters: ReadMeter,
    /// How many containments triggers may make in an hour.
    pub most: u32,
}

/// Looks at what happens. Nothing is followed without rules. Cloning it is cheap.
#[derive(Clone)]
pub struct Triggers {
    rules: Vec<Trigger>,
    parts: Arc<Parts>,
    /// Where a follower begins that has never followed.
    start: Start,
}

/// The rules and what they have seen.
#[derive(Clone)]
struct Watcher {
    parts: Arc<Parts>,
    watch: Arc<Mutex<Watch>>,
}

impl Triggers {
    /// With these rules. What happens from now on is looked at, also if it happens before [`Triggers::run`].
    pub fn new(rules: Vec<Trigger>, parts: Parts) -> Self {
        let start = Start::At(parts.clock.now());
        Self { rules, parts: Arc::new(parts), start }
    }

    /// Takes the rules up where they were left, by whichever node, and looks until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        if self.rules.is_empty() {
            return;
        }
        let looking = async {
            loop {
                match self.take_up().await {
                    Ok(taken) => return taken,
                    Err(error) => tracing::warn!(%error, "the triggers cannot be taken up: it is tried again"),
                }
                tokio::time::sleep(TICK).await;
            }
        };
        let mut stop = std::pin::pin!(stop);
        let (follower, watcher) = tokio::select! {
            () = &mut stop => return,
            taken = looking => taken,
        };
        let ticking = watcher.clone();
        tokio::select! {
            () = follower.run(watcher, stop) => {}
            () = ticking.tick() => {}
        }
    }

    async fn take_up(&self) -> Result<(Follower, Watcher), StoreError> {
        let follower = Follower::open(&self.parts.store, FOLLOWER, self.start).await?;
        let mut watch = Watch::new(self.rules.clone(), self.parts.most);
        remember(&mut watch, &self.parts).await?;
        Ok((follower, Watcher { parts: Arc::clone(&self.parts), watch: Arc::new(Mutex::new(watch)) }))
    }
}

/// Makes again what the rules knew: nothing is set off by it.
async fn remember(watch: &mut Watch, parts: &Parts) -> Result<(), StoreError> {
    tool_uses::each(&parts.store, |used| watch.knows(used)).await?;
    let since = parts.clock.now() - MEMORY;
    let places: BTreeMap<u32, u64> = followers::places(&parts.store, FOLLOWER).await?.into_iter().collect();
    for (writer, end) in places {
        let first = log::first_since(&parts.store, writer, since).await?;
        let seq = first.max(end.saturating_sub(ENTRIES));
        let mut scan = log::forward(&parts.store, Position { writer, seq });
        while let Some(segment) = scan.next().await?.filter(|segment| segment.first_seq < end) {
            for entry in segment.decoded() {
                let entry = entry?;
                let position = entry.header.position;
                if position.seq < end {
                    watch.learn(&Followed { position, committed_at: segment.committed_at, entry });
                }
            }
        }
        watch.stands(writer, end);
    }
    Ok(())
}

impl Job for Watcher {
    fn take<'a>(&'a mut self, entries: &'a [Followed]) -> BoxFuture<'a, Result<(), JobFailed>> {
        Box::pin(async move {
            let mut watch = self.watch.lock().await;
            let fresh = self.parts.clock.now() - STALE;
            for followed in entries {
                match followed.committed_at >= fresh {
                    true => watch.look(followed, &*self.parts.meters),
                    false => watch.learn(followed),
                }
            }
            self.carry_out(&mut watch).await?;
            let used = watch.take_used();
            if !used.is_empty() {
                tool_uses::save(&self.parts.store, used).await?;
            }
            Ok(())
        })
    }
}

impl Watcher {
    /// What becomes true by the passing of time alone.
    async fn tick(self) {
        loop {
            tokio::time::sleep(TICK).await;
            let mut watch = self.watch.lock().await;
            watch.overdue(self.parts.clock.now());
            if let Err(error) = self.carry_out(&mut watch).await {
                tracing::warn!(%error, "a trigger fired and could not be carried out: it is tried again");
            }
        }
    }

    /// Does what is due. What fails stays due.
    async fn carry_out(&self, watch: &mut Watch) -> Result<(), StoreError> {
        while let Some(firing) = watch.due() {
            let outcome = self.contain(watch, &firing).await?;
            let written = self.parts.store.append(self.draft(&firing, &outcome)).await?;
            watch.done(written.position(), self.parts.clock.now());
        }
        Ok(())
    }

    /// Contains what the trigger says, if it says so and may.
    async fn contain(&self, watch: &mut Watch, firing: &Firing) -> Result<Outcome, StoreError> {
        let paged = |remark: &str| Ok(Outcome { contained: None, remark: Some(remark.to_owned()) });
        if firing.trigger.act != Act::Contain {
            return Ok(Outcome { contained: None, remark: None });
        }
        let Some(subject) = &firing.contain else { return paged("there is nothing to contain") };
        let now = self.parts.clock.now();
        if !watch.may_contain(now) {
            return paged("as many were contained by triggers in this hour as may be: look at once");
        }
        let means = Means { store: &self.parts.store, clock: &*self.parts.clock, random: &*self.parts.random };
        let (scope, by, reason) = (firing.trigger.contain.scope(), by(firing), firing.reason());
        let wanted = Wanted { scope, subject, known: false, reason: &reason, by: &by };
        match containment::contain(means, wanted).await {
            Ok(contained) => {
                let already = contained.entry.is_none();
                if !already {
                    watch.contained(now);
                }
                let remark = already.then(|| "it was contained before".to_owned());
                Ok(Outcome { contained: Some(contained.containment.id.to_string()), remark })
            }
            Err(ContainError::Store(error)) => Err(error),
            Err(other) => paged(&format!("not contained: {other}")),
        }
    }

    /// Written before anybody is told, and what they are told from.
    fn draft(&self, firing: &Firing, outcome: &Outcome) -> Draft {
        let evidence: Vec<DecisionId> = firing.evidence.iter().map(|position| DecisionId(*position)).collect();
        let after = json!({
            "trigger": firing.trigger.name, "severity": firing.trigger.severity, "agent": firing.agent,
            "subject": firing.subject, "reason": firing.reason(), "evidence": evidence,
            "containment": outcome.contained, "contained": outcome.contained.is_some(), "remark": outcome.remark,
        });
        let change = Change {
            noun: "trigger".to_owned(),
            id: format!("{}/{}", firing.trigger.name, firing.subject),
            verb: "fire".to_owned(),
            after: Some(after.to_string()),
        };
        let who = Who { human: Some(by(firing)), ..Who::default() };
        Draft { kind: Kind::Change, at: self.parts.clock.now(), who, change: Some(change), ..Draft::default() }
    }
}

/// What became of a firing.
struct Outcome {
    contained: Option<String>,
    remark: Option<String>,
}

/// How entries name it.
fn by(firing: &Firing) -> String {
    format!("{}{}", Containment::TRIGGER, firing.trigger.name)
}

impl Firing {
    /// What happened, and the entries that show it.
    fn reason(&self) -> String {
        let named: Vec<String> = self.evidence.iter().map(|position| DecisionId(*position).to_string()).collect();
        format!("trigger {}: {}; see {}", self.trigger.name, self.what, named.join(" "))
    }
}
