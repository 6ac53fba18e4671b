//! Why something was not asked for or not decided.

use chancery_model::problem::{self, Row};
use chancery_store::StoreError;
use chancery_store::passkeys::NotCounted;

/// A request or a vote that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// There is none.
    #[error("there is no request `{0}`")]
    Unknown(String),
    /// The agent asks too often.
    #[error("the agent asks too often: {0}")]
    TooMany(String),
    /// It is not what was shown, or somebody was quicker.
    #[error("the request is not what was shown any more")]
    Changed,
    /// It was decided or used, or its time is over.
    #[error("the request is {0}")]
    Over(String),
    /// They are not among those who may decide it.
    #[error("{0}")]
    NotTheirs(String),
    /// They have said something already.
    #[error("they have said what they think of it already")]
    Twice,
    /// Much hangs on it, and no passkey was shown for it.
    #[error("whoever approves it shows a passkey for it")]
    NoProof,
    /// A passkey was shown, and does not count.
    #[error("{0}")]
    Passkey(NotCounted),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl ApprovalError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::Unknown(_) => problem::NO_APPROVAL,
            Self::TooMany(_) => problem::TOO_MANY_REQUESTS_FOR_APPROVAL,
            Self::Changed => problem::APPROVAL_CHANGED,
            Self::Over(_) | Self::Twice => problem::APPROVAL_OVER,
            Self::NotTheirs(_) => problem::NOT_AN_APPROVER,
            Self::NoProof => problem::NEEDS_PASSKEY,
            Self::Passkey(_) => problem::BAD_PASSKEY,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for ApprovalError {
    fn from(e: StoreError) -> Self {
        let e = match e.refusal::<Self>() {
            Ok(own) => return own,
            Err(e) => e,
        };
        match e.refusal::<NotCounted>() {
            Ok(passkey) => Self::Passkey(passkey),
            // The index over open requests: somebody asked the same at another node.
            Err(StoreError::Conflict(_)) => Self::Changed,
            Err(other) => Self::Store(other),
        }
    }
}
