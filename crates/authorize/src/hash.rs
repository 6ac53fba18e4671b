//! Hashes of entities for the index. They only choose a bucket: what is found there is compared in full.

use std::hash::{DefaultHasher, Hash, Hasher};

use cedar_policy_core::ast::{EntityType, EntityUID};

/// The hash of an entity's type and id.
pub(crate) fn entity(uid: &EntityUID) -> u64 {
    of(uid)
}

/// The hash of a type.
pub(crate) fn kind(kind: &EntityType) -> u64 {
    of(kind)
}

/// A place of the index: two hashes and what they are of.
pub(crate) fn pair(tag: u64, a: u64, b: u64) -> u64 {
    let mixed = (a ^ tag.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 32) ^ b.rotate_left(17)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

fn of<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// For keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map from places of the index.
pub(crate) type Places<T> = std::collections::HashMap<u64, T, std::hash::BuildHasherDefault<Ready>>;
