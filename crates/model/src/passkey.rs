//! A key with which a person shows that they are there.

use crate::{PasskeyId, PersonId, Timestamp};

/// One passkey (WebAuthn Level 3). The private key never left the person's device or key chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its name in entries.
    pub id: PasskeyId,
    /// What the authenticator calls it.
    pub credential: Vec<u8>,
    /// Whose it is.
    pub person: PersonId,
    /// The host name it is for: the relying party's identifier.
    pub rp_id: String,
    /// The public key as a `COSE_Key` (RFC 9052, section 7).
    pub public_key: Vec<u8>,
    /// How often the authenticator says that it signed; 0 where it does not count.
    pub sign_count: u32,
    /// What its person calls it.
    pub name: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last shown.
    pub used_at: Option<Timestamp>,
}
