//! What is refused.

use chancery_model::problem::{self, Row};
use chancery_model::{BadUrn, SweepId};
use chancery_store::StoreError;

/// A sweep that is not taken, or a question without an answer.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// One of the same source and scope goes on.
    #[error("{by} is sweeping it already: {id}")]
    Running {
        /// Who.
        by: String,
        /// Which.
        id: SweepId,
    },
    /// A later state of the source is known already.
    #[error("its state of {known} is known already, and this one is of {stated}")]
    Older {
        /// What is known is of then.
        known: String,
        /// What was stated is of then.
        stated: String,
    },
    /// It says that it looked in the future.
    #[error("it states a time that has not come: {0}")]
    Future(String),
    /// It was ended by somebody else, who took it for broken off.
    #[error("{0} is over: another one of its source and scope began")]
    Over(SweepId),
    /// Source or scope cannot be names.
    #[error("a source has 1 to 200 characters, a scope at most 1,000")]
    Name,
    /// There is none of this id.
    #[error("there is no sweep `{0}`")]
    NoSweep(String),
    /// It holds nothing back, or somebody said what of it.
    #[error("{0} holds nothing back")]
    NothingHeld(SweepId),
    /// A later sweep has looked again.
    #[error("{newer} has looked again since: what it holds back is the question now")]
    Overtaken {
        /// The later one.
        newer: SweepId,
    },
    /// Nothing is called so.
    #[error("nothing is called `{0}`")]
    NoObject(String),
    /// Several things are called so.
    #[error("{}", several(name, urns))]
    Several {
        /// The name.
        name: String,
        /// Some of them.
        urns: Vec<String>,
    },
    /// It names no object.
    #[error("{0}")]
    Urn(#[from] BadUrn),
    /// There is too much of it.
    #[error("{0}")]
    Full(#[from] chancery_graph::Full),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

fn several(name: &str, urns: &[String]) -> String {
    format!("several things are called `{name}`, for instance {}", urns.join(" and "))
}

impl DiscoverError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::Running { .. } | Self::Older { .. } | Self::Future(_) | Self::Over(_) => problem::SWEEP_REFUSED,
            Self::Name | Self::Urn(_) => problem::BAD_FIELD,
            Self::NoSweep(_) => problem::NO_SWEEP,
            Self::NothingHeld(_) | Self::Overtaken { .. } => problem::NOTHING_HELD,
            Self::NoObject(_) => problem::NO_OBJECT,
            Self::Several { .. } => problem::SEVERAL_OBJECTS,
            Self::Full(_) => problem::INTERNAL,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for DiscoverError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}
