//! Security event tokens (RFC 8417) as OpenID Shared Signals Framework 1.0, section 4.1 profiles them: ours are signed,
//! those of others are judged.
//!
//! They have a key of their own, because its algorithm is not ours to choose: the CAEP Interoperability Profile, section
//! 2.6, wants RS256 with at least 2048 bits for every one of them. It is made when it is needed first.

use std::sync::Arc;

use chancery_model::{Span, Timestamp};
use chancery_store::keys::SealedKey;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::authenticator::Authenticator;
use crate::federation::{Facts, Missing, Origin, SKEW};
use crate::jose::{Compact, Jwk, KeyRefused, Policy, PrivateKey, PublicKey, sha256, short};
use crate::keys::{KeysError, Retiring, keep, place, sealed};
use crate::metadata::{JwkSet, jwk};

/// Which of the stored keys are for it.
const PURPOSE: &str = "set";
/// RFC 8417, section 2.3.
const TYP: &str = "secevent+jwt";
/// A key signs for so long.
const LIFETIME: Span = Span::days(90);
/// A retired key is published for so long: a receiver may verify late what it fetched in time.
const OVERLAP: Span = Span::days(7);
/// After that the stored keys are looked at again: another process may have made a new one.
const FRESH: Span = Span::minutes(10);
/// The longest `jti` that is taken, in bytes.
const LONGEST_NAME: usize = 256;

/// The key that signs security event tokens, once there is one.
#[derive(Default)]
pub(crate) struct Sets(Mutex<Option<Arc<SetKeys>>>);

struct SetKeys {
    signing: PrivateKey,
    header: String,
    published: Vec<Value>,
    due: Timestamp,
    read_at: Timestamp,
}

impl SetKeys {
    fn of(signing: PrivateKey, stored: &[SealedKey], now: Timestamp) -> Result<Self, KeysError> {
        let header = signing.header(TYP, &format!(r#","kid":"{}""#, signing.public().thumbprint_text()));
        let mut published = Vec::new();
        for key in stored.iter().filter(|key| key.retired_at.is_none_or(|at| now < at + OVERLAP)) {
            let public = PublicKey::from_jwk(&Jwk::parse(&key.public).map_err(KeyRefused::from)?, Policy::Issuers);
            let public = public.map_err(KeyRefused::from)?;
            published.extend(jwk(&public.thumbprint_text(), &public));
        }
        let made = stored.iter().filter(|key| key.retired_at.is_none()).map(|key| key.created_at).max();
        Ok(Self { signing, header, published, due: made.unwrap_or(now) + LIFETIME, read_at: now })
    }
}

impl Authenticator {
    /// A security event token over these claims.
    pub async fn sign_set(&self, claims: &Value) -> Result<String, KeysError> {
        let keys = self.set_keys().await?;
        Ok(keys.signing.sign_jws(&keys.header, claims)?)
    }

    /// The public keys that security event tokens of ours are verified with.
    pub async fn set_jwks(&self) -> Result<JwkSet, KeysError> {
        Ok(JwkSet { keys: self.set_keys().await?.published.clone() })
    }

    /// Makes a new key for security event tokens, which happens by itself every 90 days. `actor` is who wants it.
    pub async fn rotate_set_key(&self, retiring: Retiring, actor: &str) -> Result<(), KeysError> {
        let mut held = self.sets.0.lock().await;
        self.make_set_key(retiring, actor).await?;
        *held = self.load_set_keys().await?;
        Ok(())
    }

    async fn set_keys(&self) -> Result<Arc<SetKeys>, KeysError> {
        let mut held = self.sets.0.lock().await;
        let now = self.clock.now();
        if let Some(keys) = held.as_ref().filter(|keys| now < keys.due && now < keys.read_at + FRESH) {
            return Ok(Arc::clone(keys));
        }
        let loaded = self.load_set_keys().await?.filter(|keys| now < keys.due);
        let keys = match loaded {
            Some(keys) => keys,
            None => {
                self.make_set_key(Retiring::WithOverlap, "system").await?;
                self.load_set_keys().await?.ok_or(KeyRefused("read: it is gone"))?
            }
        };
        *held = Some(Arc::clone(&keys));
        Ok(keys)
    }

    async fn load_set_keys(&self) -> Result<Option<Arc<SetKeys>>, KeysError> {
        let stored = chancery_store::keys::of_purpose(&self.store, PURPOSE).await?;
        let Some(newest) = stored.iter().find(|key| key.retired_at.is_none()) else { return Ok(None) };
        let signing = PrivateKey::rsa(&self.vault.unseal(place(&newest.id), &newest.sealed)?)?;
        Ok(Some(Arc::new(SetKeys::of(signing, &stored, self.clock.now())?)))
    }

    async fn make_set_key(&self, retiring: Retiring, actor: &str) -> Result<(), KeysError> {
        let now = self.clock.now();
        let at = if retiring == Retiring::AtOnce { now - OVERLAP } else { now };
        let stored = chancery_store::keys::of_purpose(&self.store, PURPOSE).await?;
        let old = stored.into_iter().filter(|key| key.retired_at.is_none_or(|retired| at < retired));
        let old = old.map(|key| (key.id, at)).collect();
        let made = tokio::task::spawn_blocking(PrivateKey::generate_rsa).await.map_err(|_| KeyRefused("made"))??;
        keep(&self.store, sealed(&self.vault, &made, PURPOSE, now)?, old, actor).await
    }
}

/// How a transmitter signs. A key of another kind, and a header that names another algorithm, are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum SetAlgorithm {
    /// What the CAEP Interoperability Profile, section 2.6, wants.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// A transmitter whose events are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSource {
    /// Its issuer identifier, letter by letter.
    pub issuer: String,
    /// Who we are to it: the `aud` of its events.
    pub audience: String,
    /// Where its keys are, if not where its metadata says.
    pub jwks_uri: Option<String>,
    /// How it signs.
    pub algorithm: SetAlgorithm,
    /// How old an event may be when it comes.
    pub window: Span,
}

/// What a security event token says, verified.
#[derive(Debug, Clone, PartialEq)]
pub struct SetFacts {
    /// Its name: the transmitter's, for ever.
    pub jti: String,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// When it was made.
    pub issued_at: Timestamp,
    /// Whom it is about: a subject identifier (RFC 9493).
    pub subject: Value,
    /// The URI of the event type.
    pub kind: String,
    /// The event itself.
    pub event: Map<String, Value>,
}

/// Why a security event token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SetRefused {
    /// The code of RFC 8935, section 2.4.
    pub code: &'static str,
    /// The deciding fact.
    pub why: String,
}

impl SetRefused {
    fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }

    fn request(why: impl Into<String>) -> Self {
        Self::new("invalid_request", why)
    }

    fn key(why: impl Into<String>) -> Self {
        Self::new("invalid_key", why)
    }

    /// Is it our trouble, so that the same token may be taken later?
    pub fn is_ours(&self) -> bool {
        self.code == UNAVAILABLE
    }
}

/// The keys cannot be had: no code of the registry, because the answer is that of a server in trouble.
const UNAVAILABLE: &str = "unavailable";

impl Authenticator {
    /// Judges a security event token of others: its type, algorithm, key, issuer, audience and time, and that it holds one
    /// event about one subject. Whether it came before is for whoever acts on it.
    pub async fn judge_set(&self, token: &str, source: &SetSource) -> Result<SetFacts, SetRefused> {
        let jws = Compact::parse(token).map_err(|e| SetRefused::request(e.to_string()))?;
        let header = jws.header().map_err(|e| SetRefused::request(e.to_string()))?;
        header.demand_type(TYP).map_err(|e| SetRefused::request(e.to_string()))?;
        header.refuse_jwk().map_err(|e| SetRefused::key(e.to_string()))?;
        if *header.alg != *source.algorithm.name() {
            let why = format!("it is signed with `{}`, not with {}", short(&header.alg), source.algorithm.name());
            return Err(SetRefused::key(why));
        }
        if header.kid.is_none() {
            return Err(SetRefused::key("its header names no key"));
        }
        let key = self.federation.key_of(&source.origin(), &header).await.map_err(|missing| match missing {
            Missing::Unknown => SetRefused::key("it is signed by none of the transmitter's present keys"),
            Missing::Unavailable(why) => SetRefused::new(UNAVAILABLE, why),
        })?;
        let payload = jws.verify(&header, &key).map_err(|e| SetRefused::key(e.to_string()))?;
        let facts = Facts::read(&payload).map_err(SetRefused::request)?;
        source.check(&facts, self.clock.now())?;
        said(&facts, sha256(token.as_bytes()))
    }
}

impl SetAlgorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

impl SetSource {
    fn origin(&self) -> Origin {
        match &self.jwks_uri {
            Some(address) => Origin::At(address.clone()),
            None => Origin::Transmitter(self.issuer.clone()),
        }
    }

    /// Sections 4.1.2 to 4.1.8.
    fn check(&self, facts: &Facts, now: Timestamp) -> Result<(), SetRefused> {
        if facts.text("iss") != Some(&self.issuer) {
            return Err(SetRefused::new("invalid_issuer", "its `iss` is not this transmitter"));
        }
        if !is_for(facts, &self.audience) {
            return Err(SetRefused::new("invalid_audience", "its `aud` is not this receiver"));
        }
        for never in ["exp", "sub"] {
            if facts.has(never) {
                return Err(SetRefused::request(format!("it has `{never}`, which no event of this framework has")));
            }
        }
        let made = facts.time("iat").ok_or_else(|| SetRefused::request("it has no `iat`"))?;
        if made > now + SKEW {
            return Err(SetRefused::request("its `iat` is in the future"));
        }
        if now > made + self.window {
            return Err(SetRefused::request("it is older than what is taken"));
        }
        Ok(())
    }
}

/// One value, or several that are all meant to be one receiver (section 4.1.8).
fn is_for(facts: &Facts, audience: &str) -> bool {
    match facts.value("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

fn said(facts: &Facts, digest: [u8; 32]) -> Result<SetFacts, SetRefused> {
    let is_name = |jti: &&str| (1..=LONGEST_NAME).contains(&jti.len()) && !jti.contains(char::is_control);
    let jti = facts.text("jti").filter(is_name);
    let jti = jti.ok_or_else(|| SetRefused::request(format!("its `jti` is no text of 1 to {LONGEST_NAME} bytes")))?;
    let subject = facts.value("sub_id").filter(|subject| subject.get("format").is_some_and(Value::is_string));
    let subject = subject.ok_or_else(|| SetRefused::request("it has no `sub_id` with a `format`"))?;
    let events = facts.value("events").and_then(Value::as_object);
    let mut events = events.ok_or_else(|| SetRefused::request("it has no `events`"))?.iter();
    let (Some((kind, Value::Object(event))), None) = (events.next(), events.next()) else {
        return Err(SetRefused::request("its `events` is not one event"));
    };
    Ok(SetFacts {
        jti: jti.to_owned(),
        digest,
        issued_at: facts.time("iat").unwrap_or_default(),
        subject: subject.clone(),
        kind: kind.clone(),
        event: event.clone(),
    })
}

/// Where the metadata of a transmitter is (section 7.2): between its host and its path.
pub fn metadata_address(issuer: &str) -> String {
    const WELL_KNOWN: &str = "/.well-known/ssf-configuration";
    let issuer = issuer.trim_end_matches('/');
    let (scheme, rest) = issuer.split_once("://").unwrap_or(("https", issuer));
    match rest.split_once('/') {
        Some((host, path)) => format!("{scheme}://{host}{WELL_KNOWN}/{path}"),
        None => format!("{issuer}{WELL_KNOWN}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_a_transmitter_goes_between_host_and_path() {
        for (issuer, address) in [
            ("https://tr.example.com", "https://tr.example.com/.well-known/ssf-configuration"),
            ("https://tr.example.com/", "https://tr.example.com/.well-known/ssf-configuration"),
            ("https://tr.example.com/issuer1", "https://tr.example.com/.well-known/ssf-configuration/issuer1"),
            ("http://127.0.0.1:8420", "http://127.0.0.1:8420/.well-known/ssf-configuration"),
        ] {
            assert_eq!(metadata_address(issuer), address);
        }
    }

    #[test]
    fn an_rsa_key_survives_its_sealed_form_and_its_signature_verifies() {
        let key = PrivateKey::generate_rsa().unwrap();
        let again = PrivateKey::rsa(&key.material().unwrap()).unwrap();
        assert_eq!(again.public().thumbprint(), key.public().thumbprint());
        let signature = again.sign(b"what is signed").unwrap();
        assert_eq!(signature.len(), 256);
        key.public().verify(b"what is signed", &signature).unwrap();
        assert!(key.public().verify(b"what is not", &signature).is_err());
    }
}
