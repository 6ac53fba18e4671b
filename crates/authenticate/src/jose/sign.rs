//! Private keys that sign: our own, and an agent's on the agent's side.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use chancery_model::Random;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Algorithm, JoseError, Jwk, Policy, PublicKey, encode};

/// A key that could not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be {0}")]
pub struct KeyRefused(pub &'static str);

/// A private key. Neither `Debug` nor anything else prints it.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// What stands in front of a modulus of 2048 bits in `RSAPublicKey` (RFC 8017, appendix A.1.1) in DER.
const BEFORE_MODULUS: [u8; 9] = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
/// And behind it: the exponent 65537.
const BEHIND_MODULUS: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

impl PrivateKey {
    /// A fresh P-256 key. The cryptography provider draws it from the operating system itself.
    pub fn generate_p256() -> Result<Self, KeyRefused> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyRefused("made"))?;
        Self::p256(pkcs8.as_ref())
    }

    /// A fresh RSA key of 2048 bits, for the one profile that wants no other algorithm: security event tokens.
    pub fn generate_rsa() -> Result<Self, KeyRefused> {
        Self::of_rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyRefused("made"))?)
    }

    /// An RSA key of 2048 bits from its PKCS#8 form.
    pub fn rsa(pkcs8: &[u8]) -> Result<Self, KeyRefused> {
        Self::of_rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyRefused("read"))?)
    }

    fn of_rsa(pair: RsaKeyPair) -> Result<Self, KeyRefused> {
        let der = pair.public_key().as_ref();
        let modulus = der.strip_prefix(&BEFORE_MODULUS).and_then(|rest| rest.strip_suffix(&BEHIND_MODULUS));
        let modulus = encode(modulus.ok_or(KeyRefused("read: it has not 2048 bits"))?);
        let public = public(&format!(r#"{{"kty":"RSA","e":"AQAB","n":"{modulus}"}}"#))?;
        Ok(Self { pair: Pair::Rsa(Box::new(pair)), public })
    }

    /// A fresh Ed25519 key.
    pub fn generate_ed25519(random: &dyn Random) -> Result<Self, KeyRefused> {
        Self::ed25519(&*Zeroizing::new(random.bytes::<32>()))
    }

    /// A P-256 key from its PKCS#8 form.
    pub fn p256(pkcs8: &[u8]) -> Result<Self, KeyRefused> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyRefused("read"))?;
        let point = pair.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
        let public = public(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#))?;
        Ok(Self { pair: Pair::P256(pair), public })
    }

    /// An Ed25519 key from its 32-byte seed.
    pub fn ed25519(seed: &[u8]) -> Result<Self, KeyRefused> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyRefused("read"))?;
        let x = encode(pair.public_key().as_ref());
        let public = public(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#))?;
        Ok(Self { pair: Pair::Ed25519(pair), public })
    }

    /// What [`PrivateKey::p256`], [`PrivateKey::rsa`] or [`PrivateKey::ed25519`] reads back, to be kept sealed.
    pub fn material(&self) -> Result<Zeroizing<Vec<u8>>, KeyRefused> {
        let bytes = match &self.pair {
            Pair::P256(pair) => pair.to_pkcs8v1().map_err(|_| KeyRefused("written"))?.as_ref().to_vec(),
            Pair::Ed25519(pair) => {
                use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
                let seed = pair.seed().map_err(|_| KeyRefused("written"))?;
                let bytes: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| KeyRefused("written"))?;
                bytes.as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyRefused("written"))?;
                der.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(bytes))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A bare signature over some bytes: 64 bytes, or 256 by an RSA key.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyRefused> {
        match &self.pair {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
                return signed.map(|()| signature).map_err(|_| KeyRefused("used"));
            }
        }
        .map(|s| s.as_ref().to_vec())
        .map_err(|_| KeyRefused("used"))
    }

    /// The header of a JWS by this key, ready for [`PrivateKey::sign_jws`]. `extra` is JSON members with a leading comma.
    pub fn header(&self, typ: &str, extra: &str) -> String {
        let alg = self.algorithm().name();
        encode(format!(r#"{{"alg":"{alg}","typ":"{typ}"{extra}}}"#).as_bytes())
    }

    /// A JWS in compact serialisation over claims, under a header from [`PrivateKey::header`].
    pub fn sign_jws(&self, header: &str, claims: &impl Serialize) -> Result<String, KeyRefused> {
        let claims = serde_json::to_vec(claims).map_err(|_| KeyRefused("used: the claims are not JSON"))?;
        let mut jws = format!("{header}.{}", encode(&claims));
        let signature = self.sign(jws.as_bytes())?;
        jws.push('.');
        jws.push_str(&encode(&signature));
        Ok(jws)
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({} {})", self.algorithm().name(), self.public.thumbprint_text())
    }
}

impl From<JoseError> for KeyRefused {
    fn from(_: JoseError) -> Self {
        Self("read")
    }
}

fn public(jwk: &str) -> Result<PublicKey, KeyRefused> {
    Ok(PublicKey::from_jwk(&Jwk::parse(jwk)?, Policy::Issuers)?)
}
