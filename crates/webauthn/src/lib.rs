//! What an authenticator says, verified: WebAuthn Level 3, sections 7.1 and 7.2, as far as passkeys need it.
//!
//! Pure: it knows no challenge but the one it is asked about, no person and no store. Two algorithms (ES256 and EdDSA), user
//! presence and user verification always, the origin letter by letter, no other site's frame, no extension that means
//! anything, and no attestation that says who made the device. Why not somebody else's library: decision 0029.

mod client_data;
mod cose;
mod data;

use aws_lc_rs::digest::{SHA256, digest};
use client_data::ClientData;
pub use client_data::challenge;
use cose::CoseKey;
use data::{Attestation, AuthenticatorData, Statement};

/// The longest of any part that an authenticator or browser sends, in bytes.
const LONGEST: usize = 16 * 1024;

/// Why it is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// Longer than anything that is one.
    #[error("it is too long")]
    TooLong,
    /// `clientDataJSON` is not what section 5.8.1 says.
    #[error("the client data cannot be read")]
    ClientData,
    /// A registration where an assertion is expected, or the other way round.
    #[error("it was made for something else")]
    Kind,
    /// Another challenge than the one that is answered.
    #[error("it answers another challenge")]
    Challenge,
    /// Another origin, or within a frame of another site.
    #[error("it was made at another address")]
    Origin,
    /// The authenticator data or the attestation object are not as section 6.1 and 6.5 say.
    #[error("what the authenticator says cannot be read")]
    Data,
    /// It is about another host name.
    #[error("it is for another host name")]
    Party,
    /// Nobody was there.
    #[error("nobody confirmed it at the device")]
    Presence,
    /// The device did not verify who was there.
    #[error("the device did not verify who used it")]
    Verification,
    /// A key of another algorithm, or no key.
    #[error("the key is of no kind that is taken here (ES256, EdDSA)")]
    Key,
    /// An attestation of another form than `none` or `packed` by the key itself.
    #[error("the attestation is of a form that was not asked for")]
    Attestation,
    /// The signature does not verify.
    #[error("the signature is wrong")]
    Signature,
    /// The counter went backwards, or did not move: there may be a copy of the key.
    #[error("the device counted backwards: there may be a copy of the key")]
    Counter,
}

/// Where passkeys are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The host name: the relying party's identifier.
    pub id: String,
    /// Scheme, host and port, as browsers write it.
    pub origin: String,
}

/// What a registration brings (section 5.2.1).
pub struct Registration<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `attestationObject`.
    pub attestation: &'a [u8],
}

/// What an assertion brings (section 5.2.2).
pub struct Assertion<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `authenticatorData`.
    pub authenticator_data: &'a [u8],
    /// `signature`.
    pub signature: &'a [u8],
}

/// A credential that was made just now.
#[derive(Debug, PartialEq, Eq)]
pub struct Registered {
    /// What the authenticator calls it.
    pub credential: Vec<u8>,
    /// Its `COSE_Key`.
    pub public_key: Vec<u8>,
    /// How often it signed; 0 where that is not counted.
    pub sign_count: u32,
}

impl Party {
    /// A new credential, if it answers this challenge (section 7.1).
    pub fn register(&self, sent: &Registration<'_>, challenge: &[u8]) -> Result<Registered, NotAccepted> {
        bounded(&[sent.client_data, sent.attestation])?;
        ClientData::read(sent.client_data)?.check("webauthn.create", challenge, &self.origin)?;
        let object = Attestation::read(sent.attestation)?;
        let data = AuthenticatorData::read(object.data)?;
        self.was_there(&data)?;
        let made = data.credential.ok_or(NotAccepted::Data)?;
        let key = CoseKey::read(made.public_key)?;
        if let Statement::Own { algorithm, signature } = object.statement {
            let signed = [object.data, &sha256(sent.client_data)].concat();
            if algorithm != key.algorithm() {
                return Err(NotAccepted::Attestation);
            }
            key.verify(&signed, signature)?;
        }
        Ok(Registered {
            credential: made.id.to_vec(),
            public_key: made.public_key.to_vec(),
            sign_count: data.sign_count,
        })
    }

    /// What the authenticator counts now, if it answers this challenge with this key (section 7.2).
    pub fn verify(
        &self,
        sent: &Assertion<'_>,
        challenge: &[u8],
        public_key: &[u8],
        counted: u32,
    ) -> Result<u32, NotAccepted> {
        bounded(&[sent.client_data, sent.authenticator_data, sent.signature])?;
        ClientData::read(sent.client_data)?.check("webauthn.get", challenge, &self.origin)?;
        let data = AuthenticatorData::read(sent.authenticator_data)?;
        if data.credential.is_some() {
            return Err(NotAccepted::Data);
        }
        self.was_there(&data)?;
        let signed = [sent.authenticator_data, &sha256(sent.client_data)].concat();
        CoseKey::read(public_key)?.verify(&signed, sent.signature)?;
        let counts = data.sign_count != 0 || counted != 0;
        if counts && data.sign_count <= counted { Err(NotAccepted::Counter) } else { Ok(data.sign_count) }
    }

    fn was_there(&self, data: &AuthenticatorData<'_>) -> Result<(), NotAccepted> {
        if data.rp_id_hash != sha256(self.id.as_bytes()) {
            return Err(NotAccepted::Party);
        }
        match (data.present, data.verified) {
            (false, _) => Err(NotAccepted::Presence),
            (true, false) => Err(NotAccepted::Verification),
            (true, true) => Ok(()),
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

fn bounded(parts: &[&[u8]]) -> Result<(), NotAccepted> {
    if parts.iter().any(|part| part.len() > LONGEST) { Err(NotAccepted::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
