//! What the log can prove of itself. Everything is checked before it is handed out.

use chancery_model::{Position, Timestamp};
use chancery_store::log;
use chancery_tlog::{Checkpoint, Hash, Plan, ProofFile, leaf_hash, verify_inclusion};

use crate::{RecordError, Recorder};

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it states.
    pub checkpoint: Checkpoint,
    /// The signed note, as it is given to others.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// The proof that an entry is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The encoded entry.
    pub entry: Vec<u8>,
    /// Which leaf it is, from 0.
    pub index: u64,
    /// From the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The tree it is in.
    pub signed: Signed,
}

/// The proof that the tree extends an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Leaves of the older tree.
    pub old: u64,
    /// RFC 6962, section 2.1.2.
    pub hashes: Vec<Hash>,
    /// The newer tree.
    pub signed: Signed,
}

impl Recorder {
    /// The newest checkpoint, its signature verified; nothing if none was signed yet.
    pub async fn checkpoint(&self) -> Result<Option<Signed>, RecordError> {
        let Some(stored) = log::checkpoint(&self.inner.store).await? else { return Ok(None) };
        let checkpoint = Checkpoint::open(&stored.note, self.key())
            .map_err(|e| RecordError::Inconsistent(format!("the newest checkpoint: {e}")))?;
        if checkpoint.size != stored.size {
            return Err(RecordError::Inconsistent("the newest checkpoint is filed under another size".to_owned()));
        }
        Ok(Some(Signed { checkpoint, note: stored.note, signed_at: stored.signed_at }))
    }

    /// The newest checkpoint over everything that is durable now.
    pub async fn checkpoint_now(&self) -> Result<Signed, RecordError> {
        self.sequence_once().await?;
        self.checkpoint().await?.ok_or_else(|| RecordError::Inconsistent("the checkpoint is gone".to_owned()))
    }

    /// The proof that the entry at `position` is in the newest tree. Sequences first if it is not in it yet.
    pub async fn inclusion_proof(&self, position: Position) -> Result<Inclusion, RecordError> {
        let store = &self.inner.store;
        let entry = log::bytes(store, position).await?.ok_or(RecordError::NoSuchEntry(position))?;
        if log::index_of(store, position).await?.is_none() {
            self.sequence_once().await?;
        }
        let index = log::index_of(store, position).await?.ok_or(RecordError::NoSuchEntry(position))?;
        let signed = self.checkpoint().await?.ok_or(RecordError::NoSuchEntry(position))?;
        let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
        let hashes = self.resolve(&Plan::inclusion(index, size)?).await?;
        verify_inclusion(&leaf_hash(&entry), index, size, &hashes, &root)
            .map_err(|e| RecordError::Inconsistent(format!("entry {index} of the tree: {e}")))?;
        Ok(Inclusion { entry, index, hashes, signed })
    }

    /// The proof that the newest tree extends the one of `old` leaves.
    pub async fn consistency_proof(&self, old: u64) -> Result<Consistency, RecordError> {
        let signed = self.checkpoint_now().await?;
        let hashes = self.resolve(&Plan::consistency(old, signed.checkpoint.size)?).await?;
        Ok(Consistency { old, hashes, signed })
    }

    /// A proof file (C2SP tlog-proof): the entry, its inclusion proof and the checkpoint, to be verified offline with
    /// nothing but the log's key.
    pub async fn prove(&self, position: Position) -> Result<ProofFile, RecordError> {
        let Inclusion { entry, index, hashes, signed } = self.inclusion_proof(position).await?;
        Ok(ProofFile { entry, index, hashes, checkpoint: signed.note })
    }

    async fn resolve(&self, plan: &Plan) -> Result<Vec<Hash>, RecordError> {
        let tiles = self.tiles(&plan.tiles()).await?;
        Ok(plan.resolve(|tile| tiles.get(&tile).map(Vec::as_slice))?)
    }
}
