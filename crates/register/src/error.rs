//! Why something was not registered or changed.

use chancery_model::TransitionRefused;
use chancery_model::problem::{self, Row};
use chancery_store::StoreError;

/// A change that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A field is missing, blank, too long, or not of its form.
    #[error("{field}: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong, and what it has to be.
        why: String,
    },
    /// The name belongs to another identity, or belonged to one: names are never reused.
    #[error("the name `{0}` is taken: names are never reused")]
    NameTaken(String),
    /// There is none.
    #[error("there is no agent `{0}`")]
    NoAgent(String),
    /// There is none.
    #[error("there is no grant `{0}`")]
    NoGrant(String),
    /// The state does not allow it.
    #[error("{0}")]
    Transition(#[from] TransitionRefused),
    /// The grant is over already.
    #[error("the grant `{0}` was revoked already")]
    RevokedAlready(String),
    /// Others changed the same thing at the same time, again and again.
    #[error("`{0}` is being changed by others: look at it and try again")]
    Busy(String),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl RegisterError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::Field { .. } => problem::BAD_FIELD,
            Self::NameTaken(_) => problem::AGENT_EXISTS,
            Self::NoAgent(_) => problem::NO_AGENT,
            Self::NoGrant(_) => problem::NO_GRANT,
            Self::Transition(_) | Self::RevokedAlready(_) | Self::Busy(_) => problem::BAD_TRANSITION,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for RegisterError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}
