//! A named place in the log that outlives the process: whoever follows is handed every entry after its commit, at
//! least once, each writer's entries in their order.
//!
//! A follower reads from where it stands and nowhere else; where it stands is saved about twice a second, after its
//! job has done what it was handed. So a crash hands some entries out again and leaves out none: a job must bear
//! to see an entry twice, and an entry's id is the name to know it by. A job that fails is handed the same entries
//! again, later and later, and nothing else until it has done them. Followers know nothing of each other.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use chancery_model::{DecisionId, Entry, Position, Timestamp};
use chancery_store::log::{self, Scan};
use chancery_store::{BoxFuture, Store, StoreError, followers};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

#[cfg(test)]
mod tests;

/// After a commit others follow as a rule: they are read together.
const GATHER: Duration = Duration::from_millis(20);
/// How often the place is saved while it moves, and entries of other nodes are looked for.
const TICK: Duration = Duration::from_millis(500);
/// Where nobody else writes, somebody who begins to is noticed after so many ticks.
const NEW_WRITERS: u32 = 20;
/// About so many entries are handed over at once: whole commits.
const BATCH: usize = 512;
/// Before a job that failed is tried again: at first, and at the most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// An entry of the log as a job gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Where it is.
    pub position: Position,
    /// When its commit was made.
    pub committed_at: Timestamp,
    /// The entry.
    pub entry: Entry,
}

impl Followed {
    /// Its public name: the same each time it is handed over.
    pub fn id(&self) -> DecisionId {
        DecisionId(self.position)
    }
}

/// Why a job did not do what it was handed.
pub type JobFailed = Box<dyn Error + Send + Sync>;

/// What is done with the entries.
pub trait Job: Send {
    /// Does all of it, or fails: then it is handed the same again. The entries are of one writer, in order, and
    /// follow the ones before without a gap. It may be dropped at any point where it waits, as by a crash.
    fn take<'a>(&'a mut self, entries: &'a [Followed]) -> BoxFuture<'a, Result<(), JobFailed>>;
}

/// Where a follower begins that has never followed. One that has goes on where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is committed from now on.
    Now,
    /// With what was committed at this time or later.
    At(Timestamp),
}

/// One who follows.
pub struct Follower {
    store: Store,
    name: String,
    walks: BTreeMap<u32, Walk>,
    /// It stands somewhere else than what is saved says.
    moved: bool,
}

/// Along one writer's entries.
struct Walk {
    scan: Scan,
    next: u64,
}

impl Follower {
    /// Takes up the place of this name. A new one is saved before this returns: no entry from then on is left out.
    ///
    /// # Errors
    /// What the store says.
    pub async fn open(store: &Store, name: &str, start: Start) -> Result<Self, StoreError> {
        let mut places = followers::places(store, name).await?;
        if places.is_empty() {
            places = begin(store, start).await?;
            followers::save(store, name, places.clone()).await?;
        }
        let walks = places.into_iter().map(|(writer, next)| (writer, Walk::from(store, writer, next))).collect();
        Ok(Self { store: store.clone(), name: name.to_owned(), walks, moved: false })
    }

    /// Hands over what is there and what comes, until `stop`. Two must never run under one name at a time.
    pub async fn run(mut self, mut job: impl Job, stop: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = stop => {}
            () = self.follow(&mut job) => {}
        }
        self.save().await;
    }

    async fn follow(&mut self, job: &mut impl Job) {
        let mut commits = self.store.commits();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            commits.mark_unchanged();
            if let Err(error) = self.catch_up(job).await {
                tracing::warn!(follower = self.name, %error, "the log could not be read: it is tried again");
                sleep(TICK).await;
            }
            self.wait(&mut commits, &mut ticks).await;
        }
    }

    /// Until there may be something to read.
    async fn wait(&mut self, commits: &mut watch::Receiver<u64>, ticks: &mut Interval) {
        let mut idle = 0;
        loop {
            tokio::select! {
                changed = commits.changed() => {
                    // The store is held by `self`: its end of the channel is there.
                    drop(changed);
                    return sleep(GATHER).await;
                }
                _ = ticks.tick() => {
                    self.save().await;
                    idle += 1;
                    if self.walks.len() > 1 || idle == NEW_WRITERS {
                        return;
                    }
                }
            }
        }
    }

    /// Hands over all there is, the writers taking turns.
    async fn catch_up(&mut self, job: &mut impl Job) -> Result<(), StoreError> {
        loop {
            let mut done = true;
            for (writer, end) in log::writers(&self.store).await? {
                let walk = self.walks.entry(writer).or_insert_with(|| Walk::from(&self.store, writer, 0));
                if walk.next >= end {
                    continue;
                }
                let entries = match walk.read().await {
                    Ok(entries) => entries,
                    Err(error) => {
                        // What was read of it and not handed over is read again.
                        *walk = Walk::from(&self.store, writer, walk.next);
                        return Err(error);
                    }
                };
                let Some(last) = entries.last() else { continue };
                let next = last.position.seq + 1;
                hand_over(&self.name, job, &entries).await;
                walk.next = next;
                self.moved = true;
                done = false;
            }
            if done {
                return Ok(());
            }
        }
    }

    async fn save(&mut self) {
        if !self.moved {
            return;
        }
        let places = self.walks.iter().map(|(writer, walk)| (*writer, walk.next)).collect();
        match followers::save(&self.store, &self.name, places).await {
            Ok(()) => self.moved = false,
            Err(error) => tracing::warn!(follower = self.name, %error, "the place in the log is not saved"),
        }
    }
}

impl Walk {
    fn from(store: &Store, writer: u32, next: u64) -> Self {
        Self { scan: log::forward(store, Position { writer, seq: next }), next }
    }

    /// The next commits, about [`BATCH`] entries; nothing at the end.
    async fn read(&mut self) -> Result<Vec<Followed>, StoreError> {
        let mut entries = Vec::new();
        while entries.len() < BATCH {
            let Some(segment) = self.scan.next().await? else { break };
            for entry in segment.decoded() {
                let entry = entry?;
                let position = entry.header.position;
                if position.seq >= self.next {
                    entries.push(Followed { position, committed_at: segment.committed_at, entry });
                }
            }
        }
        Ok(entries)
    }
}

/// Until the job has done them.
async fn hand_over(name: &str, job: &mut impl Job, entries: &[Followed]) {
    let mut pause = FIRST_RETRY;
    while let Err(error) = job.take(entries).await {
        let first = entries.first().map(|followed| followed.id().to_string());
        tracing::warn!(follower = name, first, count = entries.len(), %error, "entries of the log wait: what follows it failed");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// Where a new follower stands.
async fn begin(store: &Store, start: Start) -> Result<Vec<(u32, u64)>, StoreError> {
    let ends = log::writers(store).await?;
    let Start::At(time) = start else { return Ok(ends) };
    let mut places = Vec::new();
    for (writer, _) in ends {
        places.push((writer, log::first_since(store, writer, time).await?));
    }
    Ok(places)
}
