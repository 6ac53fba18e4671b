//! The store as its users see it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chancery_model::{Changed, Clock, Draft, Hash, Random, Secret, Session, Span, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::Lock;
use crate::feed::Feed;
use crate::job::{Job, Prepared, Waiting};
use crate::keeper::{self, Watch};
use crate::lease::Lease;
use crate::link::Pool;
use crate::pending::Pending;
use crate::settling::{Ender, Settling};
use crate::{BoxFuture, Durable, Membership, StoreError, Tx, Written, open, sessions};

/// Between two looks whether the database is there, for whoever waits for it.
const GLANCE: Duration = Duration::from_millis(500);
/// So many in a row without a lease, and nobody waits any longer.
const SILENT: u32 = 10;

/// Where the data is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory: created if absent (mode 0700); the database is `chancery.db` in it (mode 0600), if it is
    /// not somewhere else.
    pub path: PathBuf,
    /// A PostgreSQL database: `postgres://user:password@host/name`. The data directory holds the rest.
    pub database: Option<Secret>,
    /// What this process is called among those that share the database.
    pub node: Membership,
}

impl Config {
    /// A data directory with its database in it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), database: None, node: Membership::default() }
    }
}

/// Somebody who keeps a copy of some nouns in memory.
pub type Observer = Box<dyn Fn(&Changed) + Send + Sync>;

/// A handle to the store. Cloning it is cheap; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: mpsc::UnboundedSender<Job>,
    readers: Arc<Pool>,
    /// For the few small rows that are neither entries nor nouns; only where the database is shared.
    desk: Option<Arc<Pool>>,
    shared: Arc<Shared>,
    random: Arc<dyn Random>,
    writer: u32,
    finished: watch::Receiver<bool>,
}

/// What the writer and the handles both touch.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pending: Mutex<Pending>,
    observers: RwLock<Vec<Arc<Observer>>>,
    failed: watch::Sender<Option<Arc<str>>>,
    closing: watch::Sender<bool>,
    /// How many commits with entries there were since the start.
    commits: watch::Sender<u64>,
    lock: Lock,
    pub(crate) lease: Arc<Lease>,
    pub(crate) feed: Feed,
    pub(crate) settling: Arc<Settling>,
}

impl Store {
    /// Opens the data directory, creating it if need be. Refuses a second process, damaged data, and a log that is
    /// shorter than what was signed. Must be called inside a tokio runtime: the writer is a task of it.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, StoreError> {
        open::open(config, clock, random).await
    }

    pub(crate) fn new(
        jobs: mpsc::UnboundedSender<Job>,
        (readers, desk): (Arc<Pool>, Option<Arc<Pool>>),
        shared: Arc<Shared>,
        random: Arc<dyn Random>,
        writer: u32,
        finished: watch::Receiver<bool>,
    ) -> Self {
        Self { inner: Arc::new(Inner { jobs, readers, desk, shared, random, writer, finished }) }
    }

    /// The write path of every change but [`Store::open_session`]. `change` and the entry are one commit: both are on the disk when this returns, or, if it
    /// returns a refusal, neither is. The change runs alone, in the order of arrival, and sees what earlier ones
    /// wrote; it must not wait for anything but the transaction.
    ///
    /// # Errors
    /// What `change` returned (nothing was written); [`StoreError::Poisoned`] if the commit failed (it may have been
    /// written); [`StoreError::TooLarge`]; [`StoreError::Closed`].
    pub async fn write<T, F>(&self, draft: Draft, change: F) -> Result<Written<T>, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let entry = Prepared::new(&draft, &*self.inner.random)?;
        let (answer, answered) = oneshot::channel();
        let step = Waiting::new(change, |value, durable| Written { value, durable }, answer);
        self.send(Job::Write { entry, step })?;
        self.receive(answered).await
    }

    /// A new session and its entry, in one commit. The rows of all sessions of a commit are one statement, which a
    /// closure of each could not be: this is the change that is made most often. Its agent must be committed already,
    /// and nothing of it can be refused: an error of the database poisons the store.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn open_session(&self, draft: Draft, session: Session) -> Result<Durable, StoreError> {
        sessions::require_storable(self.inner.readers.engine(), &session)?;
        let entry = Prepared::new(&draft, &*self.inner.random)?;
        let (answer, answered) = oneshot::channel();
        self.send(Job::Open { entry, session: Arc::new(session), answer })?;
        self.receive(answered).await
    }

    /// An entry with no other change. It is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn append(&self, draft: Draft) -> Result<Durable, StoreError> {
        self.append_job(draft, false).await
    }

    /// As [`Store::append`], for an entry that nobody waits for: it goes along with the next commit that somebody
    /// does wait for, and is a commit of its own only if none comes for 20 milliseconds. It never delays another.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn append_patiently(&self, draft: Draft) -> Result<Durable, StoreError> {
        self.append_job(draft, true).await
    }

    async fn append_job(&self, draft: Draft, patient: bool) -> Result<Durable, StoreError> {
        let entry = Prepared::new(&draft, &*self.inner.random)?;
        let (answer, answered) = oneshot::channel();
        self.send(Job::Append { entry, patient, answer })?;
        self.receive(answered).await
    }

    /// A change to what is derived from the log. It shares commits with the others, but has no entry.
    pub(crate) async fn derive<F, K>(&self, change: F, after: K) -> Result<(), StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> + Send + 'static,
        K: FnOnce() + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let step = Waiting::new(change, move |(), ()| after(), answer);
        self.send(Job::Derive { step })?;
        self.receive(answered).await
    }

    /// Adds somebody to be told of every committed change, in the order of the commits: after the commit and before
    /// the author of the change is answered. An observer runs in the writer: it must be quick and must not wait.
    /// One that panics poisons the store, for its copy can no longer be trusted.
    pub fn observe(&self, observer: Observer) {
        let mut observers = self.inner.shared.observers.write().unwrap_or_else(PoisonError::into_inner);
        observers.push(Arc::new(observer));
    }

    /// Adds somebody who ends what a change stops, after its observers were told. This node does not say that it has a
    /// change before what is returned is over; nor has it a lease again, after it had none, before what was under way then
    /// is. Whoever waits for neither is not held up.
    pub fn end_with(&self, ender: Ender) {
        self.inner.shared.settling.add(ender);
    }

    /// Changes with each commit of this process that holds entries, after it. Entries of other nodes it does not tell of.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.shared.commits.subscribe()
    }

    /// Returns once a commit has failed: with the reason, and never otherwise. The process is to exit then.
    pub async fn failed(&self) -> StoreError {
        let mut failed = self.inner.shared.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(why) => StoreError::Poisoned(why),
            None => StoreError::Closed,
        }
    }

    /// A new token for a node that is to join: 256 random bits. Whoever hands it out keeps its [`token_hash`](crate::token_hash).
    pub fn node_token(&self) -> Secret {
        let bytes: Hash = self.inner.random.bytes();
        Secret::new(bytes.iter().fold("cnt_".to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// Has a commit failed, so that nothing more is written?
    pub fn has_failed(&self) -> bool {
        self.inner.shared.failure().is_some()
    }

    /// Lets the writer finish what was handed to it, closes the database and gives the directory free.
    /// Later writes through any clone are refused.
    pub async fn close(&self) {
        self.inner.shared.closing.send_replace(true);
        let mut finished = self.inner.finished.clone();
        // An error means that the writer is gone already.
        drop(finished.wait_for(|done| *done).await);
        self.inner.readers.close().await;
        if let Some(desk) = &self.inner.desk {
            desk.close().await;
        }
        self.inner.shared.lock.release();
    }

    /// Do other processes write to the same database?
    pub fn is_shared(&self) -> bool {
        self.inner.desk.is_some()
    }

    /// This node's leave to act by what it knows. Whoever acts for somebody looks at it at the last moment.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.inner.shared.lease
    }

    /// Looks at the leases of the other nodes from now on, for whoever is about to make a change that they must confirm.
    pub fn watch(&self) -> Watch {
        match self.is_shared() {
            true => Watch::begin(&self.inner.readers, self.inner.writer, &self.inner.shared.clock),
            false => Watch::default(),
        }
    }

    /// Returns when the observers of this node were told everything up to the change of this number.
    ///
    /// # Errors
    /// Of the database, or of an observer.
    pub async fn heard(&self, change: u64) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        if self.is_shared() && shared.feed.told().await < change {
            shared.feed.follow(&self.inner.readers, |number, changed| shared.tell(Some(number), changed)).await?;
        }
        Ok(())
    }

    /// Takes or keeps a job that only one node may do, for so long; says whether it is this node's. The job has to bear
    /// that two nodes do it once, after one of them was stopped in the middle. A term of nothing gives it back.
    ///
    /// # Errors
    /// Of the database.
    pub async fn lead(&self, job: &str, term: Span) -> Result<bool, StoreError> {
        match &self.inner.desk {
            None => Ok(true),
            Some(_) if !self.lease().is_fresh() => Ok(false),
            Some(desk) => keeper::lead(desk, self.inner.writer, job, term).await,
        }
    }

    /// Uses up, for all nodes, what may be shown once until it `dies`; says whether it was not used before. Where there
    /// is one node its own memory is enough, and this always agrees.
    ///
    /// # Errors
    /// Of the database.
    pub async fn show_once(&self, name: &Hash, dies: Timestamp) -> Result<bool, StoreError> {
        match &self.inner.desk {
            None => Ok(true),
            Some(desk) => keeper::show_once(desk, name, dies).await,
        }
    }

    /// The number of this data directory's writer: all its entries' positions carry it.
    pub fn writer(&self) -> u32 {
        self.inner.writer
    }

    pub(crate) fn readers(&self) -> &Arc<Pool> {
        &self.inner.readers
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        if let Some(why) = self.inner.shared.failure() {
            return Err(why);
        }
        self.inner.jobs.send(job).map_err(|_| StoreError::Closed)
    }

    async fn receive<O>(&self, answered: oneshot::Receiver<Result<O, StoreError>>) -> Result<O, StoreError> {
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or_else(|_| {
                Err(self.inner.shared.failure().unwrap_or_else(|| StoreError::Poisoned("the writer ended".into())))
            }),
            () = self.silence() => Err(StoreError::Unknown("the database does not answer".into())),
        }
    }

    /// Returns when the database has not answered for so long that nobody should wait any more: this node has no lease,
    /// and got none for five seconds. Never where there is one node.
    async fn silence(&self) {
        if !self.is_shared() {
            std::future::pending::<()>().await;
        }
        let mut silent = 0;
        while silent < SILENT {
            tokio::time::sleep(GLANCE).await;
            silent = if self.lease().is_fresh() { 0 } else { silent + 1 };
        }
    }
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, pending: Pending, lock: Lock, lease: Lease, told: u64) -> Self {
        Self {
            lease: Arc::new(lease),
            feed: Feed::new(told),
            settling: Arc::default(),
            clock,
            pending: Mutex::new(pending),
            observers: RwLock::default(),
            failed: watch::channel(None).0,
            closing: watch::channel(false).0,
            commits: watch::channel(0).0,
            lock,
        }
    }

    /// From now on every write is refused.
    pub(crate) fn poison(&self, why: &str) {
        tracing::error!(reason = why, "a commit failed: the store refuses all writes until a restart");
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert_with(|| why.into());
            first
        });
    }

    /// Entries were committed: whoever follows the log may look.
    pub(crate) fn committed(&self) {
        self.commits.send_modify(|commits| *commits += 1);
    }

    /// Why writes are refused, if they are.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failed.borrow().clone().map(StoreError::Poisoned)
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns once the store is to be closed.
    pub(crate) async fn closing(&self) {
        // The sender lives in `self`: there is no error.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// Tells every observer every change, in order; then has ended what these stop.
    ///
    /// # Errors
    /// [`StoreError::Panicked`] if one of them did: its copy can no longer be trusted.
    pub(crate) fn tell(&self, number: Option<u64>, changed: &[Changed]) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        let observers = self.observers();
        let tell_each = || {
            changed.iter().for_each(|change| observers.iter().for_each(|observer| observer(change)));
            self.settling.begin(number, changed);
        };
        catch_unwind(AssertUnwindSafe(tell_each))
            .map_err(|panic| StoreError::Panicked(format!("an observer: {}", message(&*panic))))
    }

    fn observers(&self) -> Vec<Arc<Observer>> {
        self.observers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic says.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("writer", &self.inner.writer).finish_non_exhaustive()
    }
}
