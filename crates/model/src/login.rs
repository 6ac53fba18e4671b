//! A person who is signed in with a browser.

use crate::{Epoch, Hash, LoginId, Person, PersonId, Span, Timestamp};

/// How long a login may be left unused.
pub const LOGIN_IDLE: Span = Span::minutes(15);
/// The longest a login may last.
pub const LOGIN_MAXIMUM: Span = Span::hours(8);

/// One login. The browser holds 256 random bits; here is their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its name in entries.
    pub id: LoginId,
    /// SHA-256 of what the browser holds.
    pub hash: Hash,
    /// Who signed in.
    pub person: PersonId,
    /// The person's epoch then.
    pub epoch: Epoch,
    /// When they signed in.
    pub created_at: Timestamp,
    /// The last use that is durable.
    pub used_at: Timestamp,
    /// When a passkey of theirs was last shown in it, with their device having verified them.
    pub proved_at: Option<Timestamp>,
    /// When they signed out, or signed in anew.
    pub ended_at: Option<Timestamp>,
}

impl Login {
    /// Is it good for this person at this moment?
    pub fn admits(&self, person: &Person, now: Timestamp) -> bool {
        let unchanged = person.is_active() && person.id == self.person && person.epoch == self.epoch;
        let in_time = now < self.used_at + LOGIN_IDLE && now < self.created_at + LOGIN_MAXIMUM;
        unchanged && in_time && self.ended_at.is_none()
    }
}
