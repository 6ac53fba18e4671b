//! What was verified lately, by the SHA-256 of its text, so that the same text need not be verified again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// How many ways the memory is split.
const SHARDS: usize = 16;

/// A bounded memory: each shard keeps two generations and drops the older when the younger is full.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    shards: Vec<RwLock<Generations<T>>>,
    each: usize,
}

#[derive(Debug)]
struct Generations<T> {
    young: HashMap<[u8; 32], Arc<T>>,
    old: HashMap<[u8; 32], Arc<T>>,
}

impl<T> Recent<T> {
    /// Room for so many.
    pub(crate) fn new(capacity: usize) -> Self {
        let empty = || RwLock::new(Generations { young: HashMap::new(), old: HashMap::new() });
        Self { shards: (0..SHARDS).map(|_| empty()).collect(), each: (capacity / SHARDS / 2).max(1) }
    }

    /// What was remembered under this hash.
    pub(crate) fn get(&self, digest: &[u8; 32]) -> Option<Arc<T>> {
        let shard = self.shard(digest).read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shard.young.get(digest) {
            return Some(known.clone());
        }
        let known = shard.old.get(digest).cloned()?;
        drop(shard);
        self.put(*digest, known.clone());
        Some(known)
    }

    /// Remembers it for a while.
    pub(crate) fn put(&self, digest: [u8; 32], value: Arc<T>) {
        let mut shard = self.shard(&digest).write().unwrap_or_else(PoisonError::into_inner);
        if shard.young.len() >= self.each {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(digest, value);
    }

    /// Keeps those for which this holds.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.young.retain(|_, value| keep(value));
            shard.old.retain(|_, value| keep(value));
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let lengths = self.shards.iter().map(|s| {
            let shard = s.read().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        });
        lengths.sum()
    }

    fn shard(&self, digest: &[u8; 32]) -> &RwLock<Generations<T>> {
        &self.shards[usize::from(digest[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let recent = Recent::new(2 * 4 * SHARDS);
        let used = [0; 32];
        recent.put(used, Arc::new(0));
        for n in 1..=100u8 {
            let mut digest = [n; 32];
            digest[0] = 0;
            recent.put(digest, Arc::new(n));
            assert_eq!(recent.get(&used).as_deref(), Some(&0), "after {n} others");
            assert!(recent.len() <= 2 * 4, "{} are kept", recent.len());
        }
        recent.retain(|n| *n != 0);
        assert_eq!(recent.get(&used), None);
    }
}
