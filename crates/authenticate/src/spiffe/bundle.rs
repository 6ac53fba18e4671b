//! Bundles: the keys of a trust domain (SPIFFE Trust Domain and Bundle, section 4).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::id::TrustDomain;
use crate::jose::{Compact, Jwk, Policy, PublicKey};

/// How often whoever holds our bundle should ask for it again, in seconds (section 4.1.2).
pub const REFRESH_HINT: i64 = 300;
/// The longest bundle that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// The `use` of a root of X.509-SVIDs.
const X509: &str = "x509-svid";
/// The `use` of a key of JWT-SVIDs.
const JWT: &str = "jwt-svid";

/// Why a document is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not the JSON it should be.
    #[error("the bundle is not a JSON object with `keys`: {0}")]
    Json(String),
    /// Too long to be read.
    #[error("the bundle is longer than {LONGEST} bytes")]
    TooLong,
    /// An `x509-svid` key without exactly one certificate.
    #[error("a key for `x509-svid` must have one certificate in `x5c`")]
    Certificate,
    /// Nothing in it can verify anything.
    #[error("no key of the bundle can be used here: X.509 roots, and P-256 or RSA keys for JWT-SVIDs, can")]
    Empty,
}

/// What a trust domain's SVIDs are verified with.
#[derive(Debug, Clone)]
pub struct Bundle {
    domain: TrustDomain,
    /// Grows with every change.
    sequence: Option<u64>,
    /// After how many seconds it should be asked for again.
    refresh: Option<i64>,
    roots: Vec<Vec<u8>>,
    jwt: Vec<(String, Arc<PublicKey>)>,
    /// The keys that were taken, as they came.
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
    #[serde(default)]
    spiffe_sequence: Option<u64>,
    #[serde(default)]
    spiffe_refresh_hint: Option<i64>,
}

/// What decides what a key of a bundle is for.
#[derive(Deserialize)]
struct Use {
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    x5c: Option<Vec<String>>,
}

impl Bundle {
    /// Reads a bundle of this trust domain. Keys of other uses and kinds are left out (section 4.2.2).
    pub fn parse(domain: TrustDomain, json: &str) -> Result<Self, BundleError> {
        if json.len() > LONGEST {
            return Err(BundleError::TooLong);
        }
        let read: Document<'_> = serde_json::from_str(json).map_err(|e| BundleError::Json(e.to_string()))?;
        let mut bundle = Self::empty(domain, read.spiffe_sequence, read.spiffe_refresh_hint);
        read.keys.iter().try_for_each(|key| bundle.take(key.get()))?;
        if bundle.roots.is_empty() && bundle.jwt.is_empty() { Err(BundleError::Empty) } else { Ok(bundle) }
    }

    fn take(&mut self, jwk: &str) -> Result<(), BundleError> {
        let key: Use = serde_json::from_str(jwk).map_err(|e| BundleError::Json(e.to_string()))?;
        match (key.usage.as_deref(), key.kid) {
            (Some(X509), _) => self.roots.push(root(key.x5c.as_deref())?),
            (Some(JWT), Some(kid)) => match verifier(jwk) {
                Some(verifier) => self.jwt.push((kid, verifier)),
                None => return Ok(()),
            },
            _ => return Ok(()),
        }
        self.keys.push(serde_json::from_str(jwk).map_err(|e| BundleError::Json(e.to_string()))?);
        Ok(())
    }

    /// Our own bundle: JWKs as [`x509_jwk`] and [`jwt_jwk`] wrote them.
    pub(super) fn ours<'k>(
        domain: TrustDomain,
        sequence: u64,
        jwks: impl IntoIterator<Item = &'k str>,
    ) -> Result<Self, BundleError> {
        let mut bundle = Self::empty(domain, Some(sequence), Some(REFRESH_HINT));
        jwks.into_iter().try_for_each(|jwk| bundle.take(jwk))?;
        Ok(bundle)
    }

    fn empty(domain: TrustDomain, sequence: Option<u64>, refresh: Option<i64>) -> Self {
        Self { domain, sequence, refresh, roots: Vec::new(), jwt: Vec::new(), keys: Vec::new() }
    }

    /// Whose it is.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Grows with every change, where the document says it.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// After how many seconds it should be asked for again, where the document says it.
    pub fn refresh(&self) -> Option<i64> {
        self.refresh
    }

    /// The roots of X.509-SVIDs, each in DER.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The key of JWT-SVIDs with this `kid`.
    pub(super) fn jwt_key(&self, kid: &str) -> Option<&PublicKey> {
        self.jwt.iter().find(|(name, _)| name == kid).map(|(_, key)| &**key)
    }

    /// Has it the key that a JWT says it is signed with?
    pub(crate) fn knows_signer(&self, token: &str) -> bool {
        let Ok(jws) = Compact::parse(token) else { return false };
        let kid = jws.header().ok().and_then(|header| header.kid);
        kid.is_some_and(|kid| self.jwt_key(&kid).is_some())
    }

    /// The document of the bundle endpoint, with the keys that were taken.
    pub fn to_json(&self) -> Value {
        let mut document = json!({"keys": self.keys});
        if let Some(sequence) = self.sequence {
            document["spiffe_sequence"] = sequence.into();
        }
        if let Some(refresh) = self.refresh {
            document["spiffe_refresh_hint"] = refresh.into();
        }
        document
    }

    /// The keys of JWT-SVIDs as a JWK set, as the Workload API gives them.
    pub fn jwt_set(&self) -> Value {
        json!({"keys": self.keys.iter().filter(|key| key["use"] == JWT).collect::<Vec<_>>()})
    }
}

/// The JWK of one of our roots (section 4.2).
pub(super) fn x509_jwk(public: &PublicKey, certificate: &[u8]) -> Option<String> {
    let mut jwk: Value = serde_json::from_str(public.canonical_jwk()).ok()?;
    jwk["use"] = X509.into();
    jwk["x5c"] = json!([STANDARD.encode(certificate)]);
    Some(jwk.to_string())
}

/// The JWK of one of our keys of JWT-SVIDs (section 4.2).
pub(super) fn jwt_jwk(public: &PublicKey) -> Option<String> {
    let mut jwk: Value = serde_json::from_str(public.canonical_jwk()).ok()?;
    jwk["use"] = JWT.into();
    jwk["kid"] = public.thumbprint_text().into();
    jwk["alg"] = public.algorithm().name().into();
    Some(jwk.to_string())
}

/// The certificate of a JWK for `x509-svid`.
fn root(x5c: Option<&[String]>) -> Result<Vec<u8>, BundleError> {
    match x5c {
        Some([one]) => STANDARD.decode(one).map_err(|_| BundleError::Certificate),
        _ => Err(BundleError::Certificate),
    }
}

/// The key, if it is of a kind that is taken here.
fn verifier(jwk: &str) -> Option<Arc<PublicKey>> {
    let jwk = Jwk::parse(jwk).ok()?;
    PublicKey::from_jwk(&jwk, Policy::Svids).ok().map(Arc::new)
}
