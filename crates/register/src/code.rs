//! One-time enrolment codes: shown once, kept as a hash.

use chancery_model::{AgentId, Random, Secret, Span, Timestamp};
use chancery_store::enrolments::{Enrolment, code_hash};

/// How codes begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-enrol-";
/// Five bits each: 160 bits.
const CHARACTERS: usize = 32;
/// The letters of what is good for longer, or for more: 260 bits.
pub(crate) const LONG: usize = 52;
/// Crockford's base 32 in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A secret of `N` letters with five random bits each, behind what makes it known for one of ours.
pub(crate) fn secret<const N: usize>(prefix: &str, random: &dyn Random) -> Secret {
    let letter = |byte: u8| char::from(ALPHABET[usize::from(byte & 31)]);
    let letters: String = random.bytes::<N>().into_iter().map(letter).collect();
    Secret::new(format!("{prefix}{letters}"))
}

/// A code for one enrolment. It can be shown this once; only its hash is kept.
#[derive(Debug)]
pub struct EnrolmentCode {
    /// The code.
    pub code: Secret,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

impl EnrolmentCode {
    pub(crate) fn new(now: Timestamp, lifetime: Span, random: &dyn Random) -> Self {
        Self { code: secret::<CHARACTERS>(PREFIX, random), expires_at: now + lifetime }
    }

    /// What is kept of it.
    pub(crate) fn stored(&self, agent: &AgentId, now: Timestamp) -> Enrolment {
        Enrolment {
            code_hash: code_hash(self.code.expose()),
            agent: agent.clone(),
            created_at: now,
            expires_at: self.expires_at,
            used_at: None,
        }
    }
}
