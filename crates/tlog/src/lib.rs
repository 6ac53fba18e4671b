//! Tamper-evident log mathematics and its C2SP formats: tree, tiles, proofs, notes, checkpoints.
//!
//! Pure by law: no IO, no time, no randomness. Hashes are RFC 6962's (SHA-256, leaves prefixed 0x00, nodes 0x01),
//! tiles and entry bundles are C2SP tlog-tiles with height 8, signatures are C2SP signed-note with Ed25519,
//! checkpoints C2SP tlog-checkpoint, proof files C2SP tlog-proof. [`bundle`] is the one file all of it is exported in.

pub mod bundle;
mod checkpoint;
mod entries;
mod hash;
mod note;
mod proof;
mod prooffile;
mod tile;
mod tree;

pub use checkpoint::{BadCheckpoint, Checkpoint};
pub use entries::{BadBundle, Entries, MAX_ENTRY, TooLarge, push_entry};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, salted_hash, sha256};
pub use note::{BadKey, BadNote, Note, Signer, VerifierKey};
pub use proof::{Plan, ProofError, verify_consistency, verify_inclusion};
pub use prooffile::{BadProofFile, ProofFile};
pub use tile::{BadTilePath, TILE_WIDTH, Tile, TilePath};
pub use tree::{ResumeError, Tree};

#[cfg(test)]
mod tests;
