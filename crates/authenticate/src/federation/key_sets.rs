//! The keys of platforms: fetched when they are needed, kept for a while, asked for again when a key is unknown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use chancery_fetch::{Ask, Fetcher};
use chancery_model::{Clock, Limits, Span, Timestamp, TrustSource, parse_strict};
use serde_json::Value;

use super::KeySet;
use crate::jose::PublicKey;

/// How long a set is used without asking again.
const FRESH: Span = Span::minutes(5);
/// How long the keys of a set are used when asking again fails. A key that was taken back dies by then at the latest.
const LIFETIME: Span = Span::minutes(15);
/// How long is waited between two attempts, whatever came of the first.
const PAUSE: Span = Span::seconds(30);

/// Where the keys of a source come from. Sources with the same origin share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// Stated in the source.
    Stated(String),
    /// At this address.
    At(String),
    /// Where the issuer's metadata says (OpenID Connect Discovery 1.0, section 4).
    Discovered(String),
}

/// Why there is no key to verify with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The issuer has no such key.
    Unknown,
    /// The issuer's keys cannot be had.
    Unavailable(String),
}

/// The key sets of all origins.
pub(crate) struct KeySets {
    fetcher: Arc<Fetcher>,
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<Origin, Arc<Held>>>,
}

#[derive(Default)]
struct Held {
    set: ArcSwapOption<KeySet>,
    /// One asks at a time; the others wait for what comes of it.
    asking: tokio::sync::Mutex<Asked>,
}

/// The last attempt.
#[derive(Default)]
struct Asked {
    at: Option<Timestamp>,
    failed: Option<String>,
}

impl Origin {
    pub(super) fn of(source: &TrustSource) -> Self {
        match (&source.jwks, &source.jwks_uri) {
            (Some(stated), _) => Self::Stated(stated.clone()),
            (None, Some(address)) => Self::At(address.clone()),
            (None, None) => Self::Discovered(source.issuer.clone()),
        }
    }
}

impl KeySets {
    pub(crate) fn new(fetcher: Arc<Fetcher>, clock: Arc<dyn Clock>) -> Self {
        Self { fetcher, clock, held: Mutex::default() }
    }

    /// Forgets the keys of origins that nobody names any more.
    pub(crate) fn forget_unless(&self, is_named: impl Fn(&Origin) -> bool) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|origin, _| is_named(origin));
    }

    /// The key of this name for this algorithm.
    pub(crate) async fn key(&self, origin: &Origin, kid: Option<&str>, alg: &str) -> Result<Arc<PublicKey>, NoKey> {
        if let Origin::Stated(set) = origin {
            let set = KeySet::read(set.as_bytes(), Timestamp(0)).map_err(NoKey::Unavailable)?;
            return set.key(kid, alg).ok_or(NoKey::Unknown);
        }
        let held = self.held(origin);
        let known = |longest: Span| {
            let set = held.set.load_full().filter(|set| self.clock.now() < set.since + longest)?;
            Some(set.key(kid, alg))
        };
        if let Some(Some(key)) = known(FRESH) {
            return Ok(key);
        }
        let mut asked = held.asking.lock().await;
        if let Some(Some(key)) = known(FRESH) {
            return Ok(key);
        }
        self.ask_again(&held, origin, &mut asked).await;
        match known(LIFETIME) {
            Some(key) => key.ok_or(NoKey::Unknown),
            None => Err(NoKey::Unavailable(asked.failed.clone().unwrap_or_else(|| "the keys are too old".to_owned()))),
        }
    }

    fn held(&self, origin: &Origin) -> Arc<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(origin.clone()).or_default().clone()
    }

    /// Asks, unless that was done a moment ago. A set that comes replaces the one before: keys that are not in it are
    /// dead.
    async fn ask_again(&self, held: &Held, origin: &Origin, asked: &mut Asked) {
        let now = self.clock.now();
        if asked.at.is_some_and(|at| now < at + PAUSE) {
            return;
        }
        asked.at = Some(now);
        match self.fetch(origin).await.and_then(|json| KeySet::read(&json, now)) {
            Ok(set) => {
                held.set.store(Some(Arc::new(set)));
                asked.failed = None;
            }
            Err(why) => {
                tracing::warn!(?origin, why, "the keys of a platform cannot be had");
                asked.failed = Some(format!("the issuer's keys cannot be had: {why}"));
            }
        }
    }

    async fn fetch(&self, origin: &Origin) -> Result<Vec<u8>, String> {
        match origin {
            Origin::Stated(set) => Ok(set.clone().into_bytes()),
            Origin::At(address) => self.document(address).await,
            Origin::Discovered(issuer) => self.document(&self.discover(issuer).await?).await,
        }
    }

    /// The `jwks_uri` of an issuer's metadata, which must be that issuer's own.
    async fn discover(&self, issuer: &str) -> Result<String, String> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found = self.document(&address).await?;
        let metadata = parse_strict(&found, Limits { depth: 8, keys: 1_000 }).map_err(|e| format!("{address}: {e}"))?;
        if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(format!("{address} is the metadata of another issuer"));
        }
        let keys = metadata.get("jwks_uri").and_then(Value::as_str);
        keys.map(str::to_owned).ok_or_else(|| format!("{address} names no `jwks_uri`"))
    }

    async fn document(&self, address: &str) -> Result<Vec<u8>, String> {
        let ask = Ask::get(address).accept("application/json, application/jwk-set+json");
        let answer = self.fetcher.fetch(ask).await.map_err(|e| e.to_string())?;
        if answer.status != http::StatusCode::OK {
            return Err(format!("{address} answered with status {}", answer.status.as_u16()));
        }
        if !answer.is_json() {
            return Err(format!("{address} answered with `{}`, which is not JSON", answer.content_type()));
        }
        Ok(answer.body.to_vec())
    }
}
