//! The one writer: takes what waits, commits it at once, tells the observers, answers everybody.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chancery_model::{Changed, Hash, Position, Session, Timestamp};
use chancery_tlog::leaf_hash;
use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::bodies::frame;
use crate::ending::Ending;
use crate::job::{Job, Prepared};
use crate::link::Pool;
use crate::log::Chain;
use crate::open::postgres::Server;
use crate::pending::Leaves;
use crate::row::int;
use crate::store::{Shared, message};
use crate::{Durable, StoreError, Tx, feed, sessions};

/// How long a patient entry waits for a commit to go along with.
const PATIENCE: Duration = Duration::from_millis(20);
/// With so many jobs a commit is well shared.
const COMPANY: usize = 256;
/// Jobs taken from the queue at once.
const JOBS: usize = 4096;
/// Bytes of entries and bodies in one commit; one job may be larger.
const BYTES: usize = 8 << 20;
/// Between two attempts to read what others changed.
const AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Writer {
    pub(crate) tx: Tx,
    pub(crate) chain: Chain,
    pub(crate) inbox: mpsc::UnboundedReceiver<Job>,
    pub(crate) shared: Arc<Shared>,
    ending: Ending,
    readers: Arc<Pool>,
    /// Where a lost connection is made again.
    pub(crate) server: Option<Server>,
}

/// What a commit is about to make true.
pub(crate) struct Made {
    /// Where the chain ended before.
    pub(crate) before: Chain,
    pub(crate) leaves: Leaves,
    /// The number of what it changed in the feed.
    pub(crate) change: Option<u64>,
}

/// Why there is none.
enum Failed {
    /// The connection was lost, before the commit was sent or after.
    Lost { why: StoreError, sent: Option<Made> },
    /// Nobody knows what the disk holds, or this process is not what it was.
    Broken(StoreError),
}

/// The entries of one commit, in the form of its row.
#[derive(Default)]
struct Segment {
    leaves: Vec<u8>,
    entries: Vec<u8>,
    bodies: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(
        tx: Tx,
        chain: Chain,
        inbox: mpsc::UnboundedReceiver<Job>,
        shared: Arc<Shared>,
        (readers, server): (Arc<Pool>, Option<Server>),
    ) -> Self {
        let ending = Ending::new(tx.engine());
        Self { tx, chain, inbox, shared, ending, readers, server }
    }

    /// Until the store is closed or every handle is dropped.
    pub(crate) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        while self.gather(&mut waiting).await {
            let batch = next_batch(&mut waiting);
            self.commit(batch).await;
        }
        self.tx.close().await;
    }

    /// Waits for work and takes all there is. False when there will be no more.
    async fn gather(&mut self, waiting: &mut VecDeque<Job>) -> bool {
        if !waiting.is_empty() {
            return true;
        }
        let mut jobs = Vec::new();
        tokio::select! {
            biased;
            _ = self.inbox.recv_many(&mut jobs, JOBS) => {}
            () = self.shared.closing() => {
                self.inbox.close();
                self.inbox.recv_many(&mut jobs, JOBS).await;
            }
        }
        self.wait_for_company(&mut jobs).await;
        self.take_company(&mut jobs).await;
        waiting.extend(jobs);
        !waiting.is_empty()
    }

    /// While everybody is patient, somebody who is not may still come: one sync for both instead of two, and whoever
    /// comes does not find the disk busy with what could have waited.
    async fn wait_for_company(&mut self, jobs: &mut Vec<Job>) {
        let mut enough = std::pin::pin!(tokio::time::sleep(PATIENCE));
        while !jobs.is_empty() && jobs.len() < JOBS && jobs.iter().all(Job::is_patient) {
            let room = JOBS - jobs.len();
            tokio::select! {
                biased;
                more = self.inbox.recv_many(jobs, room) => if more == 0 { return },
                () = self.shared.closing() => return,
                () = &mut enough => return,
            }
        }
    }

    /// Those who were answered a moment ago may be about to write again: let them run once before the commit. When
    /// the commit is well shared already it begins, and they run beside it.
    async fn take_company(&mut self, jobs: &mut Vec<Job>) {
        let mut before = 0;
        while jobs.len() > before && jobs.len() < COMPANY {
            before = jobs.len();
            tokio::task::yield_now().await;
            if !self.inbox.is_empty() {
                self.inbox.recv_many(jobs, JOBS - before).await;
            }
        }
    }

    async fn commit(&mut self, mut batch: Vec<Job>) {
        if let Some(why) = self.shared.failure() {
            return fail_all(batch, &why.to_string());
        }
        let at = self.shared.clock.now();
        match self.attempt(&mut batch, at).await {
            Ok(made) => self.settle(batch, made, at).await,
            Err(Failed::Lost { why, sent }) => self.recover(batch, sent, at, &why.to_string()).await,
            Err(Failed::Broken(why)) => self.break_off(batch, &why),
        }
    }

    /// After the commit: tells everybody.
    pub(crate) async fn settle(&mut self, batch: Vec<Job>, made: Made, at: Timestamp) {
        match self.tell(&made).await {
            Ok(()) => {
                self.tx.scrub().await;
                if made.leaves.count() > 0 {
                    self.shared.committed();
                }
                answer_all(batch, &made, at);
            }
            Err(why) => self.break_off(batch, &why),
        }
    }

    pub(crate) fn break_off(&self, batch: Vec<Job>, why: &StoreError) {
        let why = why.to_string();
        self.shared.poison(&why);
        fail_all(batch, &why);
    }

    /// Everything in one commit. Changes that refuse leave the batch.
    async fn attempt(&mut self, batch: &mut Vec<Job>, at: Timestamp) -> Result<Made, Failed> {
        let opened: Vec<Arc<Session>> = batch.iter().filter_map(Job::session).cloned().collect();
        let fed = self.ending.feeds();
        let begun = batch.iter().any(Job::is_change) || (fed && !opened.is_empty());
        if begun {
            self.begin(batch).await.map_err(Failed::before)?;
        }
        opened.iter().for_each(|session| self.tx.note(Changed::Session(Arc::clone(session))));
        let change = match fed {
            true => feed::add(&mut self.tx, self.chain.writer, at.0).await.map_err(Failed::before)?,
            false => None,
        };
        let before = self.chain.clone();
        let segment = self.chain_up(batch);
        let leaves = Leaves { writer: before.writer, first_seq: before.next_seq, hashes: segment.leaves.clone() };
        let made = Made { before, leaves, change };
        match self.insert(&made.before, segment, &opened, at, begun).await {
            Ok(()) => Ok(made),
            Err(why) => Err(Failed::after(why, made)),
        }
    }

    async fn begin(&mut self, batch: &mut Vec<Job>) -> Result<(), StoreError> {
        self.tx.control(self.ending.begin()).await?;
        self.run_changes(batch).await
    }

    /// Runs each change in a savepoint, so that one that fails takes nothing with it but its own entry.
    async fn run_changes(&mut self, batch: &mut Vec<Job>) -> Result<(), StoreError> {
        let mut jobs = std::mem::take(batch).into_iter();
        while let Some(mut job) = jobs.next() {
            match run_change(&mut self.tx, &mut job).await {
                Ok(Ok(())) => batch.push(job),
                Ok(Err(refusal)) => job.fail(refusal),
                Err(broken) => {
                    batch.push(job);
                    batch.extend(jobs);
                    return Err(broken);
                }
            }
        }
        Ok(())
    }

    /// Gives every entry its place and the hash of the one before.
    fn chain_up(&mut self, batch: &[Job]) -> Segment {
        let size = batch.iter().map(Job::size).sum();
        let mut segment = Segment { entries: Vec::with_capacity(size), ..Segment::default() };
        for entry in batch.iter().filter_map(Job::entry) {
            segment.push(entry, &mut self.chain);
        }
        segment
    }

    /// Writes the sessions and the entries, and commits.
    async fn insert(
        &mut self,
        first: &Chain,
        segment: Segment,
        opened: &[Arc<Session>],
        at: Timestamp,
        begun: bool,
    ) -> Result<(), StoreError> {
        if segment.entries.is_empty() {
            return if begun { self.tx.control("COMMIT").await } else { Ok(()) };
        }
        let sql = crate::sql(self.ending.text(begun, !opened.is_empty()))
            .bind(i64::from(first.writer))
            .bind(int(first.next_seq)?)
            .bind(int(self.chain.next_seq - first.next_seq)?)
            .bind(at.0)
            .bind(segment.leaves)
            .bind(segment.entries)
            .bind((!segment.bodies.is_empty()).then_some(segment.bodies));
        let sql = if opened.is_empty() { sql } else { sql.bind(sessions::rows(opened)?) };
        self.tx.run(sql).await?;
        if begun && self.ending.commits_apart() { self.tx.control("COMMIT").await } else { Ok(()) }
    }

    /// After the commit: the sequencer's queue, then the observers.
    async fn tell(&mut self, made: &Made) -> Result<(), StoreError> {
        if made.leaves.count() > 0 && !self.ending.feeds() {
            self.shared.pending().committed(made.leaves.clone());
        }
        let changed = self.tx.take_noted();
        let Some(number) = made.change else { return self.shared.tell(None, &changed) };
        loop {
            let tell = |number, changed: &[Changed]| self.shared.tell(Some(number), changed);
            match self.shared.feed.tell_own(&self.readers, number, &changed, tell).await {
                // What others changed before cannot be read now. Nobody is answered before it is.
                Err(e) if e.is_outage() && !self.shared.is_closing() => tokio::time::sleep(AGAIN).await,
                told => return told,
            }
        }
    }
}

impl Failed {
    fn before(why: StoreError) -> Self {
        if why.is_outage() { Self::Lost { why, sent: None } } else { Self::Broken(why) }
    }

    fn after(why: StoreError, made: Made) -> Self {
        if why.is_outage() { Self::Lost { why, sent: Some(made) } } else { Self::Broken(why) }
    }
}

impl Segment {
    fn push(&mut self, entry: &Prepared, chain: &mut Chain) {
        let position = Position { writer: chain.writer, seq: chain.next_seq };
        let start = self.entries.len();
        self.entries.extend_from_slice(&[0; 4]);
        entry.entry.finish(position, &chain.prev, &mut self.entries);
        let length = u32::try_from(self.entries.len() - start - 4).unwrap_or(u32::MAX);
        self.entries[start..start + 4].copy_from_slice(&length.to_be_bytes());
        chain.prev = leaf_hash(&self.entries[start + 4..]);
        chain.next_seq += 1;
        self.leaves.extend_from_slice(&chain.prev);
        if !entry.bodies.is_empty() {
            frame::push_group(&mut self.bodies, position.seq, &entry.bodies);
        }
    }
}

/// Outer error: the transaction is broken. Inner error: the change said no, and is undone.
async fn run_change(tx: &mut Tx, job: &mut Job) -> Result<Result<(), StoreError>, StoreError> {
    if !job.is_change() {
        return Ok(Ok(()));
    }
    tx.control("SAVEPOINT change").await?;
    let mark = tx.noted();
    let running = AssertUnwindSafe(async {
        match job.run(tx) {
            Some(change) => change.await,
            None => Ok(()),
        }
    });
    let outcome = match running.catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => Err(StoreError::Panicked(message(&*panic))),
    };
    if outcome.is_err() {
        tx.forget_after(mark);
        tx.control("ROLLBACK TO change").await?;
    }
    tx.control("RELEASE change").await?;
    Ok(outcome)
}

/// As many as one commit should hold; at least one.
fn next_batch(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut bytes = 0;
    let fits = |job: &&Job| {
        bytes += job.size();
        bytes <= BYTES
    };
    let count = waiting.iter().take_while(fits).count().max(1);
    waiting.drain(..count.min(waiting.len())).collect()
}

fn answer_all(batch: Vec<Job>, made: &Made, at: Timestamp) {
    let (leaves, change) = (&made.leaves, made.change.unwrap_or(0));
    let mut places = (leaves.first_seq..).zip(leaves.hashes());
    let durable = |(seq, leaf): (u64, &Hash)| Durable::new(Position { writer: leaves.writer, seq }, *leaf, at, change);
    let mut next = || places.next().map(durable).ok_or(StoreError::Closed);
    for job in batch {
        match job {
            Job::Append { answer, .. } | Job::Open { answer, .. } => drop(answer.send(next())),
            Job::Write { step, .. } => step.answer(next()),
            Job::Derive { step } => step.answer(Ok(())),
        }
    }
}

fn fail_all(batch: Vec<Job>, why: &str) {
    let why: Arc<str> = why.into();
    batch.into_iter().for_each(|job| job.fail(StoreError::Poisoned(Arc::clone(&why))));
}
