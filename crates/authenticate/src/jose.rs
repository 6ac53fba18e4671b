//! The small part of JOSE that Chancery speaks: JWS in compact serialisation (RFC 7515, section 7.1) and nothing else.
//!
//! A key decides its algorithm, never a header. Base64url has one spelling per value. Headers that fetch or carry keys,
//! extend the format or encrypt (`jku`, `x5u`, `x5c`, `crit`, `b64`, `zip`, `enc`) are refused; `jwk` is read only where
//! a DPoP proof brings its key. The payload can be reached through a verified signature only.

mod base64url;
mod compact;
mod jwk;
mod key;
mod number;
mod roca;
mod sign;

pub use base64url::{decode, decode_array, encode};
pub(crate) use compact::claims;
pub use compact::{Compact, Header, Text};
pub use jwk::Jwk;
pub use key::{Algorithm, Policy, PublicKey};
pub use number::NumericDate;
pub use sign::{KeyRefused, PrivateKey};

/// The longest token or proof that is read, in bytes.
pub const LONGEST: usize = 8 * 1024;

/// Why a JWS or JWK was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Not three parts between dots, or one of them empty.
    #[error("not a JWS in compact serialisation: three parts between dots are expected")]
    Shape,
    /// Longer than [`LONGEST`].
    #[error("longer than {LONGEST} bytes")]
    TooLong,
    /// Not the one base64url spelling of its bytes.
    #[error("not strict base64url without padding")]
    Encoding,
    /// The header is not a JSON object of the expected members, or says one of them twice.
    #[error("the header is not acceptable JSON: {0}")]
    Header(String),
    /// A header member that changes how the rest would have to be read, or where keys come from.
    #[error("the header member `{0}` is not accepted here")]
    Member(&'static str),
    /// The header names another algorithm than the key has.
    #[error("the algorithm `{found}` is not the one of the key ({wanted})")]
    Algorithm {
        /// What the header says, cut short.
        found: String,
        /// What the key is for.
        wanted: &'static str,
    },
    /// Another `typ` than this place takes.
    #[error("the type `{found}` is not `{wanted}`")]
    Type {
        /// What the header says, cut short.
        found: String,
        /// What is taken here.
        wanted: &'static str,
    },
    /// Not a public key that may be used here.
    #[error("the key is not acceptable: {0}")]
    Key(&'static str),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// The payload is not a JSON object of the expected claims, or says one of them twice.
    #[error("the claims are not acceptable JSON: {0}")]
    Claims(String),
}

/// Text from outside, cut short for an error message.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

#[cfg(test)]
mod tests;
