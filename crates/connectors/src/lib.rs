//! Other people's systems, one file each: what lives there.
//!
//! So far: files. [`scan`] walks directories and reads what it understands by the shape of what is in a file, never by
//! its name. What it did not understand it says: every file is parsed, irrelevant, or a [`Gap`].

mod document;
mod files;
mod fingerprint;
mod join;
mod reference;
mod report;
mod scan;
mod sightings;

pub use fingerprint::{Fingerprint, FingerprintKey};
pub use reference::{Reference, looks_secret};
pub use report::{
    Coverage, Credential, Edge, Excluded, Finding, Gap, Identity, OwnerHint, Package, Report, SCHEMA, SCHEMA_ID,
    Server, Source, Transport,
};
pub use scan::{Options, ScanError, scan};
