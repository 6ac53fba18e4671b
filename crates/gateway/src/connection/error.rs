//! Why there is no token.

use chancery_model::problem::{self, Problem, Row};

use crate::refusal::{Refusal, rpc};

/// A connection that could not be made or renewed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct ConnectError {
    /// The row of the error table.
    pub row: Row,
    /// The deciding fact.
    pub why: String,
    pub(super) lasts: Lasts,
}

/// Whether asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasts {
    /// No answer came, or somebody was out of order.
    Passing,
    /// Whoever was asked has spoken: the same question gets the same answer.
    Standing,
    /// The authorization server says that the grant itself is gone (`invalid_grant`).
    Gone,
}

impl ConnectError {
    fn new(row: Row, why: impl Into<String>, lasts: Lasts) -> Self {
        Self { row, why: crate::known::detail(&why.into()), lasts }
    }

    /// A document is not what the specification wants, or is not about whom it should be about.
    pub(super) fn metadata(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_METADATA, why, Lasts::Standing)
    }

    /// The authorization server gave no token.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::new(problem::NOT_GRANTED, why, Lasts::Standing)
    }

    /// The grant that tokens are renewed with is not taken any more.
    pub(super) fn gone(self) -> Self {
        Self { lasts: Lasts::Gone, ..self }
    }

    /// The response that came by the browser is not one to what was asked.
    pub fn response(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_AUTHORIZATION, why, Lasts::Standing)
    }

    /// Somebody has to authorize it first.
    pub(super) fn not_connected(why: impl Into<String>) -> Self {
        Self::new(problem::NOT_CONNECTED, why, Lasts::Standing)
    }

    /// There is no connection of this name, nor can there be.
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::new(problem::NO_CONNECTION, why, Lasts::Standing)
    }

    /// The token may do less than this act needs.
    pub(super) fn scope(why: impl Into<String>) -> Self {
        Self::new(problem::SCOPE_MISSING, why, Lasts::Standing)
    }

    /// A stored secret or a file that it needs is not there.
    pub(super) fn secret(why: impl Into<String>) -> Self {
        Self::new(problem::NO_SECRET, why, Lasts::Standing)
    }

    /// No answer came.
    pub(super) fn unreached(why: impl Into<String>) -> Self {
        Self::new(problem::ISSUER_DOWN, why, Lasts::Passing)
    }

    /// Something of ours broke.
    pub(super) fn internal(why: impl Into<String>) -> Self {
        Self::new(problem::INTERNAL, why, Lasts::Passing)
    }

    /// The store did not take what was to be kept.
    pub(super) fn store(error: &chancery_store::StoreError) -> Self {
        Self::new(problem::STORE_FAILED, error.to_string(), Lasts::Passing)
    }

    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::new(self.row, rpc::INTERNAL, self.why.clone())
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        Self::new(error.row, error.why)
    }
}
