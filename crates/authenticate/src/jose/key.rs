//! Public keys, each pinned to one algorithm.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};

use super::{JoseError, Jwk, decode, decode_array, encode, sha256, short};

/// The signature algorithms there are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
    /// Ed25519 (RFC 8037; RFC 9864 calls it `Ed25519`).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256: verified for other issuers, written by us in security event tokens only.
    Rs256,
}

/// Which algorithms a place takes keys for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Agents' own keys and DPoP proofs: ES256 and EdDSA.
    Agents,
    /// Other issuers' keys: RS256 besides.
    Issuers,
    /// Keys of JWT-SVIDs: ES256 and RS256. JWT-SVID, section 2.1, has no EdDSA.
    Svids,
}

impl Policy {
    /// The `use` its keys are meant for, and whether they have to say so.
    fn takes(self, usage: Option<&str>) -> bool {
        match self {
            Self::Agents | Self::Issuers => usage.is_none_or(|usage| usage == "sig"),
            Self::Svids => usage == Some("jwt-svid"),
        }
    }
}

/// A public key that can verify under its own algorithm and no other.
#[derive(Debug)]
pub struct PublicKey {
    algorithm: Algorithm,
    material: Material,
    thumbprint: [u8; 32],
    canonical: String,
}

#[derive(Debug)]
enum Material {
    Parsed(ParsedPublicKey),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Algorithm {
    /// Its name in `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// Refuses any other name, letter by letter.
    pub fn check(self, name: &str) -> Result<(), JoseError> {
        let fully_specified = self == Self::EdDsa && name == "Ed25519";
        if name == self.name() || fully_specified {
            return Ok(());
        }
        Err(JoseError::Algorithm { found: short(name), wanted: self.name() })
    }
}

impl PublicKey {
    /// Takes the key out of a JWK. Private members, other curves and sizes, and a stated `alg`, `use` or `key_ops`
    /// that is not for verifying under the key's algorithm are refused.
    pub fn from_jwk(jwk: &Jwk<'_>, policy: Policy) -> Result<Self, JoseError> {
        if jwk.is_private() {
            return Err(JoseError::Key("it holds private or symmetric key material"));
        }
        if !policy.takes(jwk.usage.as_deref()) || !jwk.may_verify() {
            return Err(JoseError::Key("its `use` or `key_ops` is not for verifying signatures"));
        }
        let key = match (&*jwk.kty, jwk.crv.as_deref(), policy) {
            ("EC", Some("P-256"), _) => Self::p256(jwk),
            ("OKP", Some("Ed25519"), Policy::Agents | Policy::Issuers) => Self::ed25519(jwk),
            ("RSA", None, Policy::Issuers | Policy::Svids) => Self::rsa(jwk),
            _ => Err(JoseError::Key("use a P-256 key (ES256) or an Ed25519 key (EdDSA)")),
        }?;
        jwk.alg.as_deref().map_or(Ok(()), |alg| key.algorithm.check(alg))?;
        Ok(key)
    }

    /// The algorithm it verifies under.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its RFC 7638 thumbprint with SHA-256.
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// The same as base64url text: a `kid` or `jkt`.
    pub fn thumbprint_text(&self) -> String {
        encode(&self.thumbprint)
    }

    /// The required members as JSON, in the order of RFC 7638, section 3.2.
    pub fn canonical_jwk(&self) -> &str {
        &self.canonical
    }

    /// Verifies one signature.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        match &self.material {
            Material::Parsed(key) => key.verify_sig(message, signature),
            Material::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        }
        .map_err(|_| JoseError::Signature)
    }

    fn p256(jwk: &Jwk<'_>) -> Result<Self, JoseError> {
        let x = required(jwk.x.as_deref())?;
        let y = required(jwk.y.as_deref())?;
        let mut point = [4; 65];
        point[1..33].copy_from_slice(&decode_array::<32>(x)?);
        point[33..].copy_from_slice(&decode_array::<32>(y)?);
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| JoseError::Key("its point is not on the curve"))?;
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(Self::new(Algorithm::Es256, Material::Parsed(key), canonical))
    }

    fn ed25519(jwk: &Jwk<'_>) -> Result<Self, JoseError> {
        let x = required(jwk.x.as_deref())?;
        let key = ParsedPublicKey::new(&ED25519, decode_array::<32>(x)?)
            .map_err(|_| JoseError::Key("its point is not on the curve"))?;
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Ok(Self::new(Algorithm::EdDsa, Material::Parsed(key), canonical))
    }

    fn rsa(jwk: &Jwk<'_>) -> Result<Self, JoseError> {
        let n = required(jwk.n.as_deref())?;
        let e = required(jwk.e.as_deref())?;
        let key = RsaPublicKeyComponents { n: minimal(n)?, e: minimal(e)? };
        if !(256..=1024).contains(&key.n.len()) {
            return Err(JoseError::Key("RSA keys of 2048 to 8192 bits are accepted"));
        }
        if key.e.len() < 3 || key.e.len() > 4 || key.e.last().is_none_or(|last| last % 2 == 0) {
            return Err(JoseError::Key("the RSA exponent must be odd, at least 65537 and below 2^32"));
        }
        if super::roca::is_weak(&key.n) {
            return Err(JoseError::Key("the RSA modulus is one of the weak ones of CVE-2017-15361 (ROCA)"));
        }
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        Ok(Self::new(Algorithm::Rs256, Material::Rsa(key), canonical))
    }

    fn new(algorithm: Algorithm, material: Material, canonical: String) -> Self {
        let thumbprint = sha256(canonical.as_bytes());
        Self { algorithm, material, thumbprint, canonical }
    }
}

fn required(member: Option<&str>) -> Result<&str, JoseError> {
    member.ok_or(JoseError::Key("a member that its type requires is missing"))
}

fn minimal(text: &str) -> Result<Vec<u8>, JoseError> {
    let bytes = decode(text)?;
    match bytes.first() {
        None | Some(0) => Err(JoseError::Key("an RSA number is empty or has leading zeros")),
        Some(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638, section 3.1.
    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        let n = concat!(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs",
            "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI",
            "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        );
        let jwk = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#);
        let key = PublicKey::from_jwk(&Jwk::parse(&jwk).unwrap(), Policy::Issuers).unwrap();
        assert_eq!(key.thumbprint_text(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(PublicKey::from_jwk(&Jwk::parse(&jwk).unwrap(), Policy::Agents).is_err());
    }
}
