//! tlog

mod hash;

pub use hash::{Hash, leaf_hash, node_hash, salted_hash};
