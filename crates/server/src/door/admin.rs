//! The admin door: a unix socket that only its owner can open.

/// Whoever is on the other end of the admin socket: a user id of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) u32);

impl Peer {
    /// How entries name the actor of a change.
    pub(crate) fn actor(self) -> String {
        format!("local:{}", self.0)
    }
}
