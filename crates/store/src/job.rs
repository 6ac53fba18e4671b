//! What waits for the writer, and what its author gets back.

use std::sync::Arc;

use chancery_model::{Body, Commitment, Draft, Hash, Position, Random, Sealed, Session, Timestamp};
use chancery_tlog::{MAX_ENTRY, salted_hash};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::bodies::frame;
use crate::{StoreError, Tx};

/// The most bytes of one encoded entry: what an entry bundle of the log can hold.
pub const ENTRY_LIMIT: usize = MAX_ENTRY;
/// The most bytes of all bodies of one entry.
pub const BODIES_LIMIT: usize = 16 << 20;

/// Proof that an entry is on the disk. Only the store makes one, after the commit; it cannot be copied.
#[derive(Debug, PartialEq, Eq)]
pub struct Durable {
    position: Position,
    leaf: Hash,
    at: Timestamp,
    change: u64,
}

impl Durable {
    pub(crate) fn new(position: Position, leaf: Hash, at: Timestamp, change: u64) -> Self {
        Self { position, leaf, at, change }
    }

    /// The number under which other nodes learn what its commit changed: for [`Store::confirmed`](crate::Store::confirmed).
    /// 0 where there are no other nodes, or nothing changed.
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Where the entry is in the log.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The entry's RFC 6962 leaf hash.
    pub fn leaf(&self) -> Hash {
        self.leaf
    }

    /// When it was committed.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// A change that is on the disk together with its entry.
#[derive(Debug)]
pub struct Written<T> {
    /// What the change returned.
    pub value: T,
    /// The proof for its entry.
    pub durable: Durable,
}

/// A draft as far as its author can take it: encoded, bodies salted and framed.
pub(crate) struct Prepared {
    pub(crate) entry: Sealed,
    pub(crate) bodies: Vec<u8>,
}

impl Prepared {
    pub(crate) fn new(draft: &Draft, random: &dyn Random) -> Result<Self, StoreError> {
        within(draft.bodies.iter().map(|b| b.content.len()).sum(), BODIES_LIMIT)?;
        let mut bodies = Vec::new();
        let commit = |body: &Body| {
            let salt: Hash = random.bytes();
            frame::push(&mut bodies, body.name, &salt, &body.content);
            Commitment { name: body.name.to_owned(), hash: salted_hash(&salt, &body.content) }
        };
        let commitments: Vec<Commitment> = draft.bodies.iter().map(commit).collect();
        let entry = draft.seal(&commitments);
        within(entry.len_bound(), ENTRY_LIMIT)?;
        Ok(Self { entry, bodies })
    }

    /// Bytes it adds to a commit, at the most.
    pub(crate) fn size(&self) -> usize {
        self.entry.len_bound() + self.bodies.len()
    }
}

fn within(size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::TooLarge { size, limit }) } else { Ok(()) }
}

/// One thing for the writer to do.
pub(crate) enum Job {
    /// An entry alone. A patient one lets the next commit come, rather than be a commit of its own.
    Append { entry: Prepared, patient: bool, answer: oneshot::Sender<Result<Durable, StoreError>> },
    /// An entry with a new session: no closure, so that all of a commit are one statement.
    Open { entry: Prepared, session: Arc<Session>, answer: oneshot::Sender<Result<Durable, StoreError>> },
    /// An entry with a change.
    Write { entry: Prepared, step: Box<dyn Step<Durable>> },
    /// A change to what is derived from the log: the one kind without an entry.
    Derive { step: Box<dyn Step<()>> },
}

impl Job {
    pub(crate) fn entry(&self) -> Option<&Prepared> {
        match self {
            Self::Append { entry, .. } | Self::Open { entry, .. } | Self::Write { entry, .. } => Some(entry),
            Self::Derive { .. } => None,
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.entry().map_or(0, Prepared::size)
    }

    /// May it wait for the next commit that somebody waits for?
    pub(crate) fn is_patient(&self) -> bool {
        matches!(self, Self::Append { patient: true, .. })
    }

    /// Does it have a closure to run?
    pub(crate) fn is_change(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Derive { .. })
    }

    /// The session that it opens.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Open { session, .. } => Some(session),
            _ => None,
        }
    }

    /// Runs the change, where there is one.
    pub(crate) fn run<'t>(&'t mut self, tx: &'t mut Tx) -> Option<BoxFuture<'t, Result<(), StoreError>>> {
        match self {
            Self::Append { .. } | Self::Open { .. } => None,
            Self::Write { step, .. } => Some(step.run(tx)),
            Self::Derive { step } => Some(step.run(tx)),
        }
    }

    /// Tells the author that it was not done.
    pub(crate) fn fail(self, why: StoreError) {
        match self {
            // Nobody listens any more if the author went away; that is the author's choice.
            Self::Append { answer, .. } | Self::Open { answer, .. } => drop(answer.send(Err(why))),
            Self::Write { step, .. } => step.answer(Err(why)),
            Self::Derive { step } => step.answer(Err(why)),
        }
    }
}

/// A change with somebody who waits for it. `P` is the proof it is answered with.
pub(crate) trait Step<P>: Send {
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>>;
    fn answer(self: Box<Self>, outcome: Result<P, StoreError>);
}

/// The one kind of step: `change` runs in the transaction, `pack` after the commit, in the writer.
pub(crate) struct Waiting<T, F, K, O> {
    change: Option<F>,
    value: Option<T>,
    pack: K,
    answer: oneshot::Sender<Result<O, StoreError>>,
}

impl<T, F, K, O> Waiting<T, F, K, O> {
    pub(crate) fn new(change: F, pack: K, answer: oneshot::Sender<Result<O, StoreError>>) -> Box<Self> {
        Box::new(Self { change: Some(change), value: None, pack, answer })
    }
}

impl<T, F, K, O, P> Step<P> for Waiting<T, F, K, O>
where
    T: Send,
    O: Send,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send,
    K: FnOnce(T, P) -> O + Send,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(change) = self.change.take() {
                self.value = Some(change(tx).await?);
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, outcome: Result<P, StoreError>) {
        let Self { value, pack, answer, .. } = *self;
        let packed = outcome.and_then(|proof| match value {
            Some(value) => Ok(pack(value, proof)),
            None => Err(StoreError::Closed),
        });
        drop(answer.send(packed));
    }
}
