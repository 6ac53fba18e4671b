//! What can go wrong with the store.

use std::error::Error;
use std::sync::Arc;

use sqlx::postgres::PgDatabaseError;

/// A write or read that did not happen, or of which it is not known whether it did.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory or its database cannot be opened.
    #[error("cannot open the data directory `{path}`: {why}")]
    Open {
        /// The data directory.
        path: String,
        /// The cause, and what to do.
        why: String,
    },
    /// The PostgreSQL database cannot be opened.
    #[error("cannot open the PostgreSQL database: {0}")]
    Connect(String),
    /// Another process has the data directory open.
    #[error(
        "the data directory `{path}` is in use by another process: stop that one first, or choose another directory"
    )]
    Locked {
        /// The data directory.
        path: String,
    },
    /// What is stored is not what was written: a disk fault, or somebody changed it.
    #[error(
        "the stored data is damaged or was tampered with: {0}; keep a copy and verify it against an old checkpoint"
    )]
    Damaged(String),
    /// The log is shorter than the tree that was signed: an old copy was put back, or entries were removed.
    #[error(
        "the log holds {entries} entries, but a checkpoint over {signed} was signed: entries were removed or an old copy was put back; restore the newest copy"
    )]
    Truncated {
        /// Entries that are there.
        entries: u64,
        /// The tree size of the newest checkpoint.
        signed: u64,
    },
    /// A commit failed. This write may be on the disk or not; all later writes are refused until a restart.
    #[error("the store failed and refuses all writes: {0}; check the disk, then restart")]
    Poisoned(Arc<str>),
    /// The connection to the database was lost. This write is not on the disk.
    #[error("the database cannot be reached, nothing was written: {0}")]
    Unavailable(Arc<str>),
    /// The connection to the database was lost during the commit, and did not come back soon. This write may be on
    /// the disk or not.
    #[error(
        "the connection to the database was lost during the commit, so that this may be written or not: {0}; look before you do it again"
    )]
    Unknown(Arc<str>),
    /// The store was closed. This write is not on the disk.
    #[error("the store is closed")]
    Closed,
    /// A change panicked. Neither it nor its entry was written.
    #[error("a change panicked and was undone: {0}")]
    Panicked(String),
    /// The row exists already, or refers to one that does not.
    #[error("the change contradicts what is stored: {0}")]
    Conflict(String),
    /// There is no row to change.
    #[error("there is no {noun} `{id}`")]
    Missing {
        /// The kind of thing.
        noun: &'static str,
        /// Its id or name.
        id: String,
    },
    /// An entry and its bodies are over the limit.
    #[error("an entry of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes of the entry, or of all its bodies.
        size: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The change itself said no, for a reason of its caller's. Neither it nor its entry was written.
    #[error("{0}")]
    Refused(Box<dyn Error + Send + Sync>),
    /// The database answered a read or a change with an error.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
}

impl StoreError {
    /// For changes that must say no for a reason of their own: undoes the change and its entry.
    pub fn refuse(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Refused(why.into())
    }

    /// Is it the way to the database that failed, and not the database?
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Database(e) if is_outage(e))
    }

    /// The caller's own reason, if this is one of type `E`.
    pub fn refusal<E: Error + 'static>(self) -> Result<E, Self> {
        match self {
            Self::Refused(why) => why.downcast().map(|e| *e).map_err(Self::Refused),
            other => Err(other),
        }
    }
}

/// PostgreSQL's classes 08 (connection), 40 (rolled back for others' sake), 53 (no resources) and 57 (an operator stops
/// it), and the codes of a session that was ended and of a server that is another's copy now.
fn is_outage(e: &sqlx::Error) -> bool {
    let Some(database) = e.as_database_error() else {
        use sqlx::Error::{Io, PoolTimedOut, Protocol, Tls};
        return matches!(e, Io(_) | Tls(_) | Protocol(_) | PoolTimedOut);
    };
    let postgres = database.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code);
    postgres.is_some_and(|code| {
        ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
            || ["25P03", "25P04", "25006"].contains(&code)
    })
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> Self {
        let contradicts = e
            .as_database_error()
            .is_some_and(|d| d.is_unique_violation() || d.is_foreign_key_violation() || d.is_check_violation());
        if contradicts { Self::Conflict(e.to_string()) } else { Self::Database(e) }
    }
}
