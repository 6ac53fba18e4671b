//! Verifies an exported log offline: no server, no database, nothing but the bundle and, better, an older checkpoint.
//!
//! One pass over the file, in memory bounded by one group of 256 entries: the archive's form, the checkpoint's
//! signature, the root recomputed from the entries, every tile, every writer's chain, every body against the salted
//! hash in its entry, every missing body against an erasure in the log, and the root at the older checkpoint's size.

mod archive;
pub mod args;
pub mod cli;
mod pass;
mod report;
pub mod sample;

use std::io::{self, Read};

use chancery_tlog::VerifierKey;

pub use pass::{Report, Since};

/// What to verify against.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// An older checkpoint of the same log (a signed note), kept somewhere the log's operator cannot reach.
    pub checkpoint: Option<String>,
    /// The log's key as it is known from elsewhere. Without it, the one in the bundle is believed.
    pub key: Option<VerifierKey>,
    /// A check to leave out. For negative controls in tests only: the program has no way to set it.
    pub without: Option<Check>,
}

/// The checks, each of which finds something that no other does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Headers and padding are in the one form; nothing stands behind the end.
    Archive,
    /// The manifest is the one that belongs to the checkpoint.
    Manifest,
    /// The log's key signed the checkpoint.
    Signature,
    /// The entries lead to the checkpoint's root.
    Root,
    /// The tiles are those of the entries.
    Tiles,
    /// Each writer's entries follow one another without a gap, each holding the hash of the one before.
    Chain,
    /// Each body has the salted hash that its entry states.
    Bodies,
    /// Each missing body was erased by an entry of the log.
    Erasures,
    /// The log extends the older checkpoint.
    Extends,
}

/// Why a bundle is not verified.
#[derive(Debug)]
pub enum Failure {
    /// It could not be read.
    Io(io::Error),
    /// It was read, and is not what it claims to be.
    Detected(Detected),
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// Which member, entry or body.
    pub place: String,
    /// What of it was checked.
    pub field: &'static str,
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl std::fmt::Display for Detected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, field, expected, found } = self;
        write!(f, "{place}: {field}: expected {expected}, found {found}")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the bundle could not be read: {e}"),
            Self::Detected(detected) => detected.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Detected> for Failure {
    fn from(detected: Detected) -> Self {
        Self::Detected(detected)
    }
}

/// Verifies `bundle`. Large reads are made of it: it need not be buffered.
pub fn verify(mut bundle: impl Read, options: &Options) -> Result<Report, Failure> {
    pass::run(&mut bundle, options)
}
