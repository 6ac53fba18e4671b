//! Two secrets can be compared, and none can be read.

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Serialize, Serializer};

/// Under which key secrets are fingerprinted. Without it a fingerprint says nothing, not even to whoever guesses.
pub struct FingerprintKey(hmac::Key);

impl FingerprintKey {
    /// 32 bytes that nobody else knows.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Of this secret.
    pub fn of(&self, secret: &str) -> Fingerprint {
        let tag = hmac::sign(&self.0, secret.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&tag.as_ref()[..16]);
        Fingerprint(first)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// The first 128 bits of HMAC-SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_has_the_same_fingerprint_under_one_key_only() {
        let (one, other) = (FingerprintKey::new(&[1; 32]), FingerprintKey::new(&[2; 32]));
        assert_eq!(one.of("s3cret"), one.of("s3cret"));
        assert_ne!(one.of("s3cret"), one.of("s3cret "));
        assert_ne!(one.of("s3cret"), other.of("s3cret"));
        assert_eq!(one.of("s3cret").to_string().len(), 32);
    }
}
