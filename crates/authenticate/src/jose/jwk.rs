//! Public keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037).

use serde::Deserialize;

use super::compact::Present;
use super::{JoseError, Text};

/// The members of a public JWK that are read. One that says anything private, or a known member twice, is refused.
#[derive(Debug, Deserialize)]
pub struct Jwk<'a> {
    /// `EC`, `OKP` or `RSA`.
    #[serde(borrow)]
    pub kty: Text<'a>,
    /// `P-256` or `Ed25519`.
    #[serde(borrow, default)]
    pub crv: Option<Text<'a>>,
    /// First coordinate.
    #[serde(borrow, default)]
    pub x: Option<Text<'a>>,
    /// Second coordinate.
    #[serde(borrow, default)]
    pub y: Option<Text<'a>>,
    /// RSA modulus.
    #[serde(borrow, default)]
    pub n: Option<Text<'a>>,
    /// RSA exponent.
    #[serde(borrow, default)]
    pub e: Option<Text<'a>>,
    /// The algorithm it is meant for.
    #[serde(borrow, default)]
    pub alg: Option<Text<'a>>,
    /// The use it is meant for.
    #[serde(borrow, default, rename = "use")]
    pub usage: Option<Text<'a>>,
    /// The operations it is meant for.
    #[serde(borrow, default)]
    pub key_ops: Option<Vec<Text<'a>>>,
    /// Its name.
    #[serde(borrow, default)]
    pub kid: Option<Text<'a>>,
    #[serde(default)]
    d: Present,
    #[serde(default)]
    p: Present,
    #[serde(default)]
    q: Present,
    #[serde(default)]
    dp: Present,
    #[serde(default)]
    dq: Present,
    #[serde(default)]
    qi: Present,
    #[serde(default)]
    oth: Present,
    #[serde(default)]
    k: Present,
}

impl<'a> Jwk<'a> {
    /// Reads one JWK.
    pub fn parse(json: &'a str) -> Result<Self, JoseError> {
        serde_json::from_str(json).map_err(|_| JoseError::Key("not a JWK with its members said once"))
    }

    /// Does it hold private or symmetric key material?
    pub(super) fn is_private(&self) -> bool {
        [self.d, self.p, self.q, self.dp, self.dq, self.qi, self.oth, self.k].iter().any(|m| m.0)
    }

    /// Are its operations those of a verifier, as far as it says?
    pub(super) fn may_verify(&self) -> bool {
        self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| &**op == "verify"))
    }
}
