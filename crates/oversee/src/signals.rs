//! Security events to others and from others: OpenID Shared Signals Framework 1.0 with the events of CAEP 1.0.
//!
//! What happens here is read from the log (`told`), waits in the streams of those who asked for it (`streams`, `queue`),
//! and is sent to them (`push`) or fetched by them (`poll`). What others tell is judged by whoever knows keys, and acted
//! on here (`receiver`): it can end something for a person, and it can never begin or allow anything.

use chancery_model::problem::{self, Row};
use chancery_model::{Secret, Timestamp};
use chancery_store::{BoxFuture, StoreError};
use serde_json::{Map, Value};

mod collect;
mod feed;
mod held;
pub mod kinds;
mod poll;
mod push;
mod queue;
mod receiver;
mod streams;
mod subject;
mod told;
mod transmitter;

pub use feed::Feed;
pub use poll::{PollAnswer, PollRequest};
pub use receiver::{Collect, Reactions, ReceiveConfig, Receiver};
pub use streams::{DeliveryRequest, StreamRequest, StreamView};
pub use transmitter::{Admitted, TransmitConfig, Transmitter};

/// Why a request about signals is refused.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct SignalError {
    /// Its row of the error table.
    pub row: Row,
    /// The deciding fact.
    pub why: String,
}

impl SignalError {
    fn new(row: Row, why: impl Into<String>) -> Self {
        Self { row, why: why.into() }
    }

    fn bad(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_STREAM, why)
    }
}

impl From<StoreError> for SignalError {
    fn from(e: StoreError) -> Self {
        match e.refusal::<Self>() {
            Ok(refused) => refused,
            Err(StoreError::Conflict(_)) => Self::new(problem::STREAM_EXISTS, "it was created a moment ago"),
            Err(e) => Self::new(problem::STORE_FAILED, e.to_string()),
        }
    }
}

/// Signs security event tokens. Keys are another room's.
pub trait Signs: Send + Sync {
    /// The token over these claims, or why there is none.
    fn sign<'a>(&'a self, claims: &'a Value) -> BoxFuture<'a, Result<String, String>>;
}

/// Seals what a stream's pushes need, and opens it again.
pub trait Seals: Send + Sync {
    /// Sealed for this stream.
    fn seal(&self, stream: &str, text: &Secret) -> Result<Vec<u8>, String>;
    /// What was sealed for this stream.
    fn open(&self, stream: &str, sealed: &[u8]) -> Result<Secret, String>;
}

/// Judges security event tokens of others, and knows the stored secrets.
pub trait Judges: Send + Sync {
    /// What a token of the transmitter of this name says.
    fn judge<'a>(&'a self, transmitter: &'a str, token: &'a str) -> BoxFuture<'a, Result<Heard, NotTaken>>;
    /// The stored secret of this name.
    fn secret<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>>;
}

/// What a verified token of others says.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The event's name at its transmitter.
    pub jti: String,
    /// SHA-256 of the token.
    pub digest: chancery_model::Hash,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Whom it is about.
    pub subject: Value,
    /// The URI of the event type.
    pub kind: String,
    /// The event.
    pub event: Map<String, Value>,
}

/// Why a token of others is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotTaken {
    /// The code of RFC 8935, section 2.4; nothing where the trouble is ours and it may be sent again.
    pub code: Option<&'static str>,
    /// The deciding fact.
    pub why: String,
}

impl From<StoreError> for NotTaken {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(|e| Self { code: None, why: e.to_string() })
    }
}
