//! Record first, then act; close the record after.

use std::fmt;
use std::sync::Arc;

use chancery_model::{ActResult, ApprovalId, Clock, DecisionId, Digest, Draft, Kind, Position};
use chancery_store::{BODIES_LIMIT, Durable, Store, StoreError, approvals};
use chancery_tlog::{Signer, Tree, VerifierKey};
use tokio::sync::{Mutex, Semaphore};

use crate::RecordError;

/// Outcomes on their way to the disk at the most. Beyond it [`Recorder::after`] waits: the store has come to a halt.
const OUTCOMES: u32 = 8192;

/// Writes the record. Cloning it is cheap; all clones are one recorder.
#[derive(Clone)]
pub struct Recorder {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) signer: Signer,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tree as it was last signed; nothing before it was loaded.
    pub(crate) tree: Mutex<Option<Tree>>,
    outcomes: Arc<Semaphore>,
}

/// Proof that an intent is on the disk. Forwarding an act takes one by value; only [`Recorder::before`] makes it.
#[derive(Debug)]
#[must_use = "an intent without an outcome is reported as indeterminate"]
pub struct Receipt {
    durable: Durable,
}

impl Receipt {
    /// The intent's public name, for the upstream's request and for people.
    pub fn id(&self) -> DecisionId {
        DecisionId(self.durable.position())
    }

    /// Where the intent is: what [`Recorder::after`] closes.
    pub fn position(&self) -> Position {
        self.durable.position()
    }

    /// The proof of the store.
    pub fn durable(&self) -> &Durable {
        &self.durable
    }
}

impl Recorder {
    /// A recorder over `store`. The log's origin is the name of `signer`.
    pub fn new(store: Store, signer: Signer, clock: Arc<dyn Clock>) -> Self {
        let outcomes = Arc::new(Semaphore::new(OUTCOMES as usize));
        Self { inner: Arc::new(Inner { store, signer, clock, tree: Mutex::new(None), outcomes }) }
    }

    /// Makes an intent durable. Nothing may be forwarded before this returned a receipt.
    ///
    /// # Errors
    /// [`RecordError::NotAnIntent`] for an entry of another kind, or what the store says. Both are a deny.
    pub async fn before(&self, intent: Draft) -> Result<Receipt, RecordError> {
        if intent.kind != Kind::Intent {
            return Err(RecordError::NotAnIntent);
        }
        let durable = self.inner.store.append(intent).await?;
        Ok(Receipt { durable })
    }

    /// As [`Recorder::before`], for an intent that needs an approval: it is used up in the same commit. Whoever comes
    /// second gets no receipt, and neither intent nor use is written.
    ///
    /// # Errors
    /// [`RecordError::NotApproved`] if it was used already, or its time is over, or it is not for this call.
    pub async fn before_approved(&self, intent: Draft, id: ApprovalId, call: Digest) -> Result<Receipt, RecordError> {
        if intent.kind != Kind::Intent {
            return Err(RecordError::NotAnIntent);
        }
        Ok(Receipt { durable: self.using_up(intent, id, call).await? })
    }

    /// As [`Recorder::decided`], for an answer that allows because people approved it: the approval is used up in the
    /// same commit. Whoever comes second gets no answer, and neither answer nor use is written.
    ///
    /// # Errors
    /// [`RecordError::NotApproved`] if it was used already, or its time is over, or it is not for this question.
    pub async fn decided_approved(
        &self,
        decision: Draft,
        id: ApprovalId,
        call: Digest,
    ) -> Result<DecisionId, RecordError> {
        Ok(DecisionId(self.using_up(decision, id, call).await?.position()))
    }

    async fn using_up(&self, draft: Draft, id: ApprovalId, call: Digest) -> Result<Durable, RecordError> {
        let now = self.inner.clock.now();
        let write = self.inner.store.write(draft, move |tx| {
            Box::pin(async move {
                match approvals::consume(tx, &id, &call, now).await? || reused() {
                    true => Ok(()),
                    false => Err(StoreError::refuse(RecordError::NotApproved)),
                }
            })
        });
        let written = write.await.map_err(|e| e.refusal::<RecordError>().unwrap_or_else(RecordError::from))?;
        Ok(written.durable)
    }

    /// Hands over what became of an intent, and returns before it is on the disk: it goes along with the next commit,
    /// within 20 milliseconds. [`Recorder::flush`] waits for it.
    ///
    /// It never waits unless 8,192 outcomes are on their way already. An outcome that cannot be written (the process
    /// dies, the disk fails) leaves its intent open: it is reported as indeterminate at the next start.
    pub async fn after(&self, closed: Position, mut outcome: Draft) {
        outcome.kind = Kind::Outcome;
        outcome.closes = Some(closed);
        outcome.result.get_or_insert(ActResult::Indeterminate);
        leave_out_oversized(&mut outcome);
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&self.inner.outcomes).acquire_owned().await else { return };
        let store = self.inner.store.clone();
        tokio::spawn(async move {
            if let Err(e) = store.append_patiently(outcome).await {
                tracing::error!(intent = %DecisionId(closed), error = %e, "an outcome was not recorded");
            }
            drop(place);
        });
    }

    /// Makes a decision durable that lets nothing happen here: a deny, or an answer to an enforcer of its own.
    pub async fn decided(&self, decision: Draft) -> Result<DecisionId, RecordError> {
        let durable = self.inner.store.append(decision).await?;
        Ok(DecisionId(durable.position()))
    }

    /// Waits until every outcome handed over so far is on the disk or has failed.
    pub async fn flush(&self) {
        // Whoever holds all places knows that nobody else holds one.
        drop(self.inner.outcomes.acquire_many(OUTCOMES).await);
    }

    /// The log's key, as verifiers must know it.
    pub fn key(&self) -> &VerifierKey {
        self.inner.signer.key()
    }

    /// The store under it.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }
}

#[cfg(feature = "faults")]
fn reused() -> bool {
    faults::REUSED.load(std::sync::atomic::Ordering::SeqCst)
}

#[cfg(not(feature = "faults"))]
const fn reused() -> bool {
    false
}

/// Ways to be wrong, so that tests can show that they would notice.
#[cfg(feature = "faults")]
pub mod faults {
    use std::sync::atomic::AtomicBool;

    /// It is not looked at whether an approval was used already.
    pub static REUSED: AtomicBool = AtomicBool::new(false);
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("key", self.key()).finish_non_exhaustive()
    }
}

/// An outcome must not be lost because the result was large: then it is recorded without the result.
fn leave_out_oversized(outcome: &mut Draft) {
    let length: usize = outcome.bodies.iter().map(|body| body.content.len()).sum();
    if length > BODIES_LIMIT {
        outcome.bodies.clear();
        outcome.detail = Some(format!("{length} bytes of result were not kept: more than {BODIES_LIMIT}"));
    }
}
