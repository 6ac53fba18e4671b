//! The only SQL, and the only way to write: a change and the entry that records it are one commit.
//!
//! [`Store::write`] takes the entry and the change; there is no other door, so "changed but not recorded" cannot be
//! written. Writers that wait at the same time share one durable commit (group commit; nobody sleeps to wait for
//! company). What [`Store::append`] or [`Store::write`] returned is on the disk: SQLite in WAL mode with
//! `synchronous=FULL`, or PostgreSQL with `synchronous_commit=on`. A commit that fails poisons the store: everybody
//! who waited gets the error, every later write is refused, and the process is expected to exit, because after a
//! failed `fsync` nobody knows what the disk holds. A lost connection to PostgreSQL does not: the end of the log is
//! read back over a new one, and says what became of the commit.
//!
//! One module per noun: functions on [`Tx`] write, functions on [`Reader`] (a `&Store` or a `&mut Tx`) read.

pub mod accounts;
pub mod adoptions;
pub mod agents;
pub mod approvals;
pub mod backchannel;
pub mod blueprints;
pub mod bodies;
pub mod break_glass;
mod bulk;
pub mod client_certificates;
pub mod client_secrets;
pub mod clients;
pub mod connections;
pub mod consents;
pub mod containments;
pub mod deliveries;
pub mod device_codes;
mod disk;
mod ending;
pub mod enrolments;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
mod faults;
mod feed;
pub mod findings;
pub mod followers;
pub mod grants;
pub mod groups;
mod job;
mod keeper;
pub mod keys;
mod lease;
mod link;
pub mod log;
pub mod logins;
pub mod manifests;
mod membership;
pub mod nodes;
pub mod objects;
mod open;
pub mod passkeys;
mod pending;
pub mod persons;
pub mod policies;
pub mod proposals;
mod question;
mod recovery;
pub mod refresh_tokens;
pub mod registration_codes;
mod row;
pub mod secrets;
pub mod servers;
pub mod sessions;
mod settling;
pub mod signals;
mod sql;
pub mod stand_ins;
mod store;
pub mod streams;
pub mod sweeps;
pub mod tool_uses;
pub mod tools;
pub mod trust_sources;
mod tx;
mod writer;

pub use error::StoreError;
pub use job::{BODIES_LIMIT, Durable, ENTRY_LIMIT, Written};
pub use keeper::{Confirmation, How, Watch};
pub use lease::Lease;
pub use membership::{Membership, token_hash};
pub use settling::{Ender, Stop};
pub use store::{Config, Observer, Store};
pub use tx::{Reader, Tx};

pub(crate) use sql::sql;

/// SHA-256, for rooms that name things by what they are.
pub use chancery_tlog::sha256;

/// What a change returns: a boxed future that may borrow the transaction.
pub type BoxFuture<'t, T> = futures_util::future::BoxFuture<'t, T>;

#[cfg(test)]
mod tests;
