use chancery_model::{DecisionId, Position};
use chancery_store::StoreError;
use chancery_tlog::bundle::BuildError;
use chancery_tlog::{BadCheckpoint, ProofError};

/// Why something was not recorded, or cannot be shown. On the path of an act every one of them is a deny.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An act must be recorded as an intent.
    #[error("an act is recorded with an entry of kind intent, this one has another kind")]
    NotAnIntent,
    /// The approval that an act needs was used, or is over, or is for another one.
    #[error("the approval of this call was used already, or its time is over")]
    NotApproved,
    /// What is stored is not what was signed. Nothing more is signed until somebody looked into it.
    #[error(
        "the log is not what was signed: {0}; nothing is signed any more: export it and compare it with an older copy"
    )]
    Inconsistent(String),
    /// The sequencer broke off, or the process is about to end.
    #[error("the log was not signed: {0}")]
    Interrupted(String),
    /// There is no such entry.
    #[error("there is no entry {}", DecisionId(*.0))]
    NoSuchEntry(Position),
    /// The entry has no such body any more, or never had.
    #[error("entry {} has no body `{name}` that could be erased", DecisionId(*.position))]
    NoSuchBody {
        /// The entry.
        position: Position,
        /// The body's name.
        name: String,
    },
    /// A body was erased between the checkpoint and the reading of it.
    #[error("a body was erased while the log was exported: export it again")]
    ErasedMeanwhile,
    /// A proof cannot be made.
    #[error("the proof cannot be made: {0}")]
    Proof(#[from] ProofError),
    /// A checkpoint cannot be signed or read.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
    /// The export's target failed.
    #[error("the export cannot be written: {0}")]
    Io(#[from] std::io::Error),
}

impl From<BuildError> for RecordError {
    fn from(e: BuildError) -> Self {
        Self::Inconsistent(e.to_string())
    }
}
