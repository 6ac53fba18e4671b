//! Public keys of passkeys: `COSE_Key` (RFC 9052, section 7; RFC 9053, section 7) of two kinds.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use minicbor::Decoder;

use super::NotAccepted;

/// ECDSA on P-256 with SHA-256 (RFC 9053, section 2.1).
pub(super) const ES256: i64 = -7;
/// Ed25519 (RFC 9053, section 2.2).
pub(super) const EDDSA: i64 = -8;

const KEY_TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;

/// A key that can verify under its own algorithm and no other.
#[derive(Debug)]
pub(crate) enum CoseKey {
    Es256([u8; 65]),
    EdDsa([u8; 32]),
}

/// What stands in the map, each at most once.
#[derive(Default)]
struct Members {
    key_type: Option<i64>,
    algorithm: Option<i64>,
    curve: Option<i64>,
    x: Option<[u8; 32]>,
    y: Option<[u8; 32]>,
}

impl CoseKey {
    /// Reads a key and nothing behind it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NotAccepted> {
        let members = Members::read(bytes).ok_or(NotAccepted::Key)?;
        match members {
            Members { key_type: Some(2), algorithm: Some(ES256), curve: Some(1), x: Some(x), y: Some(y) } => {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&x);
                point[33..].copy_from_slice(&y);
                Ok(Self::Es256(point))
            }
            Members { key_type: Some(1), algorithm: Some(EDDSA), curve: Some(6), x: Some(x), y: None } => {
                Ok(Self::EdDsa(x))
            }
            _ => Err(NotAccepted::Key),
        }
    }

    pub(super) fn algorithm(&self) -> i64 {
        match self {
            Self::Es256(_) => ES256,
            Self::EdDsa(_) => EDDSA,
        }
    }

    /// An ES256 signature is in DER (WebAuthn Level 3, section 6.5.5). A point that is not on the curve verifies nothing.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), NotAccepted> {
        let verified = match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.map_err(|_| NotAccepted::Signature)
    }
}

impl Members {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let mut members = Self::default();
        for _ in 0..decoder.map().ok()?? {
            let taken = match decoder.i64().ok()? {
                KEY_TYPE => once(&mut members.key_type, decoder.i64().ok()?),
                ALGORITHM => once(&mut members.algorithm, decoder.i64().ok()?),
                CURVE => once(&mut members.curve, decoder.i64().ok()?),
                X => once(&mut members.x, coordinate(&mut decoder)?),
                Y => once(&mut members.y, coordinate(&mut decoder)?),
                _ => false,
            };
            if !taken {
                return None;
            }
        }
        (decoder.position() == bytes.len()).then_some(members)
    }
}

fn coordinate(decoder: &mut Decoder<'_>) -> Option<[u8; 32]> {
    decoder.bytes().ok()?.try_into().ok()
}

fn once<T>(place: &mut Option<T>, value: T) -> bool {
    place.replace(value).is_none()
}
