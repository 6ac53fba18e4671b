//! One use per proof: remembers identifiers until the proofs that carry them are dead anyway.
//!
//! Sharded by the presenter's key and, inside a shard, by the slot of time in which the proof dies, so that taking,
//! looking up and forgetting cost the same however much is remembered. Memory is bounded; when it is full, proofs are
//! refused, never forgotten early.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use chancery_model::{Span, Timestamp};

use crate::jose::sha256;

/// How many ways presenters are kept apart.
const SHARDS: usize = 64;

/// Why an identifier was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// It was taken before.
    #[error("it was used before")]
    Before,
    /// It died at a time that is already forgotten, so whether it was used cannot be told.
    #[error("it is too old to tell whether it was used before")]
    Forgotten,
    /// There is no room to remember it.
    #[error("too many proofs are alive at this moment: slow down")]
    Full,
}

/// Remembers (key, identifier) pairs until a time of death.
#[derive(Debug)]
pub struct Replay {
    shards: Vec<Mutex<Shard>>,
    slot: i64,
    capacity: usize,
    held: AtomicUsize,
    forgotten: AtomicI64,
}

type Shard = BTreeMap<i64, HashSet<u128>>;

impl Replay {
    /// Room for so many identifiers in all; one shard of presenters may take half of it. `slot` is how finely
    /// times of death are told apart: an identifier is remembered for at most so much longer than needed.
    pub fn new(slot: Span, capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let forgotten = AtomicI64::new(i64::MIN);
        Self { shards, slot: slot.0.max(1), capacity, held: AtomicUsize::new(0), forgotten }
    }

    /// Takes an identifier that nobody must present again before `dies`. `key` is the SHA-256 of the presenter's key
    /// or name; the same identifier under another key is another one. Times may be of any clock, but of one.
    pub fn take(&self, key: &[u8; 32], id: &str, dies: Timestamp, now: Timestamp) -> Result<(), Replayed> {
        let name = name(key, id);
        let mut shard = self.shards[usize::from(key[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(&mut shard, now);
        if dies.0 <= self.forgotten.load(Ordering::Acquire) {
            return Err(Replayed::Forgotten);
        }
        if shard.values().any(|slot| slot.contains(&name)) {
            return Err(Replayed::Before);
        }
        let in_shard: usize = shard.values().map(HashSet::len).sum();
        if in_shard >= self.capacity / 2 || self.held.load(Ordering::Relaxed) >= self.capacity {
            return Err(Replayed::Full);
        }
        shard.entry((dies.0 - 1).div_euclid(self.slot)).or_default().insert(name);
        self.held.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets what is dead in every shard. Without it a quiet shard would keep its share of the room.
    pub fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            self.forget(&mut shard.lock().unwrap_or_else(PoisonError::into_inner), now);
        }
    }

    /// How many identifiers are remembered.
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Is nothing remembered?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn forget(&self, shard: &mut Shard, now: Timestamp) {
        let current = now.0.div_euclid(self.slot);
        // What died up to the start of the current slot is gone for good, even if the clock should step back.
        self.forgotten.fetch_max(current.saturating_mul(self.slot), Ordering::AcqRel);
        while let Some(oldest) = shard.first_entry().filter(|slot| *slot.key() < current) {
            self.held.fetch_sub(oldest.remove().len(), Ordering::Relaxed);
        }
    }
}

fn name(key: &[u8; 32], id: &str) -> u128 {
    let mut bytes = Vec::with_capacity(32 + id.len());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(id.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&sha256(&bytes)[..16]);
    u128::from_be_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn an_identifier_is_taken_once_until_it_dies() {
        let replay = Replay::new(Span::seconds(10), 100);
        assert_eq!(replay.take(&KEY, "a", at(70), at(0)), Ok(()));
        for second in 0..70 {
            assert_eq!(replay.take(&KEY, "a", at(70), at(second)), Err(Replayed::Before), "at {second}");
        }
        assert_eq!(replay.take(&[8; 32], "a", at(70), at(69)), Ok(()), "under another key it is another identifier");
        assert_eq!(replay.take(&KEY, "a", at(70), at(70)), Err(Replayed::Forgotten), "dead, and forgotten");
        assert_eq!(replay.len(), 1, "the other key's shard was not visited since");
    }

    #[test]
    fn a_clock_that_steps_back_revives_nothing() {
        let replay = Replay::new(Span::seconds(10), 100);
        replay.take(&KEY, "a", at(70), at(0)).unwrap();
        replay.sweep(at(200));
        assert!(replay.is_empty());
        assert_eq!(replay.take(&KEY, "a", at(70), at(1)), Err(Replayed::Forgotten));
    }

    #[test]
    fn full_refuses_and_keeps_what_it_has() {
        let replay = Replay::new(Span::seconds(10), 200);
        for n in 0..100 {
            replay.take(&KEY, &n.to_string(), at(70), at(0)).unwrap();
        }
        assert_eq!(replay.take(&KEY, "one more", at(70), at(0)), Err(Replayed::Full));
        assert_eq!(replay.take(&KEY, "17", at(70), at(1)), Err(Replayed::Before));
        assert_eq!(replay.take(&[1; 32], "others", at(70), at(1)), Ok(()), "one presenter cannot take all the room");
        assert_eq!(replay.take(&KEY, "later", at(170), at(90)), Ok(()), "room comes back when proofs die");
    }
}
