//! Durable entries become receipts, and receipts become a signed, append-only tree.
//!
//! [`Recorder::before`] makes an intent durable and gives the [`Receipt`] without which nothing is forwarded;
//! [`Recorder::after`] closes it without making anybody wait. Within a second the sequencer puts what is durable into
//! the tree, verifies the grown tree against the last signed one, and only then signs it. Every proof and export is
//! made from what is stored and checked before it is handed out.

mod erase;
mod error;
mod export;
mod intents;
mod proofs;
mod recorder;
mod search;
mod sequencer;

pub use error::RecordError;
pub use export::Export;
pub use proofs::{Consistency, Inclusion, Signed};
#[cfg(feature = "faults")]
pub use recorder::faults;
pub use recorder::{Receipt, Recorder};
pub use search::{Filter, Follow, Found};

#[cfg(test)]
mod tests;
