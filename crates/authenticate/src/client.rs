//! The agent's side: its key, and what it signs. For our own command line, bridge and tests.

use std::fmt;

use base64::Engine;
use chancery_model::{Random, Secret, Span, Timestamp};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::enrol::ENROLMENT_TYP;
use crate::jose::{Algorithm, KeyRefused, PrivateKey, decode, encode, sha256};

/// A client assertion lives a minute: it is used at once.
const ASSERTION: Span = Span::minutes(1);

/// An agent's own private key.
pub struct AgentKey(PrivateKey);

/// The request a DPoP proof is for.
#[derive(Debug, Clone, Copy)]
pub struct ProofFor<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// Its URL without query and fragment.
    pub url: &'a str,
    /// The access token it carries; none at the token endpoint.
    pub token: Option<&'a str>,
    /// The newest nonce the server sent.
    pub nonce: Option<&'a str>,
}

#[derive(Serialize)]
struct EnrolmentClaims<'a> {
    code_hash: String,
    aud: &'a str,
    iat: i64,
}

#[derive(Serialize)]
struct AssertionClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

#[derive(Serialize)]
struct ProofClaims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl AgentKey {
    /// A fresh ES256 key.
    pub fn generate() -> Result<Self, KeyRefused> {
        PrivateKey::generate_p256().map(Self)
    }

    /// A fresh Ed25519 key.
    pub fn generate_ed25519(random: &dyn Random) -> Result<Self, KeyRefused> {
        PrivateKey::generate_ed25519(random).map(Self)
    }

    /// The key as one line of text, to be kept in a file that only its owner reads.
    pub fn to_text(&self) -> Result<Secret, KeyRefused> {
        let material = self.0.material()?;
        Ok(Secret::new(format!("{} {}", self.0.algorithm().name(), encode(&material))))
    }

    /// Reads what [`AgentKey::to_text`] wrote.
    pub fn from_text(text: &Secret) -> Result<Self, KeyRefused> {
        let (name, material) = text.expose().trim().split_once(' ').ok_or(KeyRefused("read"))?;
        let material = Zeroizing::new(decode(material)?);
        if name == Algorithm::Es256.name() {
            PrivateKey::p256(&material).map(Self)
        } else if name == Algorithm::EdDsa.name() {
            PrivateKey::ed25519(&material).map(Self)
        } else {
            Err(KeyRefused("read"))
        }
    }

    /// Reads a P-256 key in PKCS #8, PEM (RFC 7468, section 10), with or without its line ends.
    pub fn from_pem(text: &Secret) -> Result<Self, KeyRefused> {
        const HEAD: &str = "-----BEGIN PRIVATE KEY-----";
        const TAIL: &str = "-----END PRIVATE KEY-----";
        let inner = text.expose().trim().strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(TAIL));
        let inner = Zeroizing::new(inner.ok_or(KeyRefused("read"))?.split_whitespace().collect::<String>());
        let material = base64::engine::general_purpose::STANDARD.decode(&*inner).map_err(|_| KeyRefused("read"))?;
        PrivateKey::p256(&Zeroizing::new(material)).map(Self)
    }

    /// The agent's key that this private key is.
    pub(crate) fn of(key: PrivateKey) -> Self {
        Self(key)
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> &str {
        self.0.public().canonical_jwk()
    }

    /// Its RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> String {
        self.0.public().thumbprint_text()
    }

    /// The proof of possession that goes with an enrolment code.
    pub fn enrolment_proof(&self, code: &Secret, issuer: &str, now: Timestamp) -> Result<String, KeyRefused> {
        let code_hash = encode(&sha256(code.expose().as_bytes()));
        let claims = EnrolmentClaims { code_hash, aud: issuer, iat: now.seconds() };
        self.0.sign_jws(&self.0.header(ENROLMENT_TYP, ""), &claims)
    }

    /// A client assertion (RFC 7523) for one token request. `client_id` is the agent's id or name.
    pub fn assertion(
        &self,
        client_id: &str,
        issuer: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, KeyRefused> {
        let claims = AssertionClaims {
            iss: client_id,
            sub: client_id,
            aud: issuer,
            iat: now.seconds(),
            exp: (now + ASSERTION).seconds(),
            jti: encode(&random.bytes::<16>()),
        };
        let kid = format!(r#","kid":"{}""#, self.thumbprint());
        self.0.sign_jws(&self.0.header("JWT", &kid), &claims)
    }

    /// A DPoP proof (RFC 9449) for one request.
    pub fn proof(&self, request: ProofFor<'_>, now: Timestamp, random: &dyn Random) -> Result<String, KeyRefused> {
        let claims = ProofClaims {
            jti: encode(&random.bytes::<16>()),
            htm: request.method,
            htu: request.url,
            iat: now.seconds(),
            ath: request.token.map(|token| encode(&sha256(token.as_bytes()))),
            nonce: request.nonce,
        };
        let jwk = format!(r#","jwk":{}"#, self.jwk());
        self.0.sign_jws(&self.0.header(crate::dpop::TYP, &jwk), &claims)
    }

    /// A JWS of any type over any claims, for tests of what must be refused.
    #[cfg(test)]
    pub(crate) fn raw(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.0.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(&signature))
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", self.thumbprint())
    }
}
