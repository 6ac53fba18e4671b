//! The compact serialisation: `BASE64URL(header).BASE64URL(payload).BASE64URL(signature)`.

use std::borrow::Cow;
use std::ops::Deref;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::{JoseError, Jwk, LONGEST, PublicKey, decode, short};

/// A JWS taken apart, not verified yet.
#[derive(Debug)]
pub struct Compact<'a> {
    signed: &'a str,
    head: &'a str,
    payload: &'a str,
    header: Vec<u8>,
    signature: Vec<u8>,
}

/// JSON text that is borrowed from its source where no escape stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// Whether a member is there at all, whatever its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Present(pub(super) bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// The members of a JOSE header that are read. Members not known here are ignored (RFC 7515, section 4);
/// a known one said twice is refused.
#[derive(Debug, Deserialize)]
pub struct Header<'a> {
    /// The algorithm the signer claims to have used. Compared with the key's, never obeyed.
    #[serde(borrow)]
    pub alg: Text<'a>,
    /// What kind of object this is.
    #[serde(borrow, default)]
    pub typ: Option<Text<'a>>,
    /// Which key, in the issuer's words. A name to compare, never a path or a query.
    #[serde(borrow, default)]
    pub kid: Option<Text<'a>>,
    /// The key itself; accepted in DPoP proofs and enrolment proofs only.
    #[serde(borrow, default)]
    pub jwk: Option<Jwk<'a>>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    b64: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    zip: Present,
    #[serde(default)]
    enc: Present,
}

impl<'a> Compact<'a> {
    /// Takes the text apart. Nothing in it is believed yet.
    pub fn parse(text: &'a str) -> Result<Self, JoseError> {
        if text.len() > LONGEST {
            return Err(JoseError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JoseError::Shape)?;
        let (head, payload) = signed.split_once('.').ok_or(JoseError::Shape)?;
        if head.is_empty() || payload.is_empty() || signature.is_empty() || payload.contains('.') {
            return Err(JoseError::Shape);
        }
        Ok(Self { signed, head, payload, header: decode(head)?, signature: decode(signature)? })
    }

    /// Reads the header and refuses what would change how the rest is to be read.
    pub fn header(&self) -> Result<Header<'_>, JoseError> {
        let header: Header<'_> = serde_json::from_slice(&self.header).map_err(|e| JoseError::Header(e.to_string()))?;
        for (present, name) in [
            (header.crit, "crit"),
            (header.b64, "b64"),
            (header.jku, "jku"),
            (header.x5u, "x5u"),
            (header.x5c, "x5c"),
            (header.zip, "zip"),
            (header.enc, "enc"),
        ] {
            if present.0 {
                return Err(JoseError::Member(name));
            }
        }
        Ok(header)
    }

    /// The payload that nobody vouches for, to find out whose key to verify with, and for nothing else.
    pub(crate) fn hearsay(&self) -> Result<Vec<u8>, JoseError> {
        decode(self.payload)
    }

    /// The header as it was sent: the same text means the same header.
    pub(crate) fn head(&self) -> &str {
        self.head
    }

    /// The payload, if the signature verifies with this key under the key's own algorithm.
    /// `header` is what [`Compact::header`] returned for this very text.
    pub fn verify(&self, header: &Header<'_>, key: &PublicKey) -> Result<Vec<u8>, JoseError> {
        key.algorithm().check(&header.alg)?;
        self.verify_known(key)
    }

    /// The same, where a JWS with the same [`Compact::head`] was verified with this key before.
    pub(crate) fn verify_known(&self, key: &PublicKey) -> Result<Vec<u8>, JoseError> {
        key.verify(self.signed.as_bytes(), &self.signature)?;
        decode(self.payload)
    }
}

impl Header<'_> {
    /// Refuses any `typ` but the one given, letter by letter.
    pub fn demand_type(&self, wanted: &'static str) -> Result<(), JoseError> {
        match self.typ.as_deref() {
            Some(found) if found == wanted => Ok(()),
            found => Err(JoseError::Type { found: short(found.unwrap_or("")), wanted }),
        }
    }

    /// Refuses a header that brings its own key.
    pub fn refuse_jwk(&self) -> Result<(), JoseError> {
        if self.jwk.is_some() { Err(JoseError::Member("jwk")) } else { Ok(()) }
    }
}

/// Reads typed claims out of a verified payload.
pub(crate) fn claims<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, JoseError> {
    serde_json::from_slice(payload).map_err(|e| JoseError::Claims(e.to_string()))
}
