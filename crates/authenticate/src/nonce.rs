//! Server-provided nonces for DPoP proofs (RFC 9449, sections 8 and 9).
//!
//! A nonce is a keyed hash of the current half minute under a secret drawn at start. Nothing is stored per client, and
//! a nonce from before a restart is never one of ours.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use chancery_model::{Random, Span, Timestamp};

use crate::jose::encode;

/// The nonces that are good at one moment.
#[derive(Debug)]
struct Window {
    slot: i64,
    current: Arc<str>,
    previous: Arc<str>,
}

/// Makes nonces and says how long one is good. All times are of the monotonic clock.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    rotate: i64,
    window: ArcSwap<Window>,
}

impl Nonces {
    /// Nonces that change every `rotate` and stay good for one more turn.
    pub fn new(rotate: Span, random: &dyn Random) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>());
        let window = ArcSwap::from_pointee(window(&key, 0));
        Self { key, rotate: rotate.0.max(1), window }
    }

    /// The nonce that the next proof should carry.
    pub fn current(&self, now: Timestamp) -> Arc<str> {
        self.at(now).current.clone()
    }

    /// When a proof with this nonce dies; nothing if the nonce is not good now.
    pub fn dies(&self, nonce: &str, now: Timestamp) -> Option<Timestamp> {
        let window = self.at(now);
        let issued = if nonce == &*window.current {
            window.slot
        } else if nonce == &*window.previous {
            window.slot - 1
        } else {
            return None;
        };
        Some(Timestamp((issued + 2) * self.rotate))
    }

    fn at(&self, now: Timestamp) -> Arc<Window> {
        let slot = now.0.div_euclid(self.rotate);
        let known = self.window.load_full();
        if known.slot == slot {
            return known;
        }
        let fresh = Arc::new(window(&self.key, slot));
        self.window.store(fresh.clone());
        fresh
    }
}

fn window(key: &hmac::Key, slot: i64) -> Window {
    Window { slot, current: nonce(key, slot), previous: nonce(key, slot - 1) }
}

fn nonce(key: &hmac::Key, slot: i64) -> Arc<str> {
    let tag = hmac::sign(key, &slot.to_be_bytes());
    encode(&tag.as_ref()[..16]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixed;

    #[test]
    fn a_nonce_is_good_for_its_turn_and_the_next() {
        let nonces = Nonces::new(Span::seconds(30), &Fixed(1));
        let nonce = nonces.current(Timestamp::from_seconds(95));
        for second in 90..150 {
            let now = Timestamp::from_seconds(second);
            assert_eq!(nonces.dies(&nonce, now), Some(Timestamp::from_seconds(150)), "at {second}");
        }
        assert_eq!(nonces.dies(&nonce, Timestamp::from_seconds(150)), None);
        assert_eq!(
            nonces.dies(&nonce, Timestamp::from_seconds(89)),
            Some(Timestamp::from_seconds(150)).filter(|_| false)
        );
    }

    #[test]
    fn a_nonce_from_before_a_restart_is_not_ours() {
        let now = Timestamp::from_seconds(95);
        let before = Nonces::new(Span::seconds(30), &Fixed(1)).current(now);
        assert_eq!(Nonces::new(Span::seconds(30), &Fixed(2)).dies(&before, now), None);
    }
}
