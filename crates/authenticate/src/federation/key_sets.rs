//! The keys of platforms.

use std::sync::Arc;

use chancery_fetch::Fetcher;
use chancery_model::{Clock, Limits, TrustSource, parse_strict};
use serde_json::Value;

use super::KeySet;
use super::copies::{Copies, FRESH, Missing, document};
use crate::jose::PublicKey;

/// Where the keys of a source come from. Sources with the same origin share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// Stated in the source.
    Stated(String),
    /// At this address.
    At(String),
    /// Where the issuer's metadata says (OpenID Connect Discovery 1.0, section 4).
    Discovered(String),
    /// Where the metadata of a transmitter of security events says (Shared Signals Framework 1.0, section 7.2).
    Transmitter(String),
}

/// The key sets of all origins.
pub(crate) struct KeySets {
    fetcher: Arc<Fetcher>,
    copies: Copies<Origin, KeySet>,
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
        Self { fetcher, copies: Copies::new(clock) }
    }

    /// Forgets the keys of origins that nobody names any more.
    pub(crate) fn forget_unless(&self, is_named: impl Fn(&Origin) -> bool) {
        self.copies.forget_unless(is_named);
    }

    /// The key of this name for this algorithm.
    pub(crate) async fn key(&self, origin: &Origin, kid: Option<&str>, alg: &str) -> Result<Arc<PublicKey>, Missing> {
        if let Origin::Stated(set) = origin {
            let set = KeySet::read(set.as_bytes()).map_err(Missing::Unavailable)?;
            return set.key(kid, alg).ok_or(Missing::Unknown);
        }
        let read = || async { Ok((KeySet::read(&self.fetch(origin).await?)?, FRESH)) };
        self.copies.find(origin, |set| set.key(kid, alg), read).await
    }

    async fn fetch(&self, origin: &Origin) -> Result<Vec<u8>, String> {
        match origin {
            Origin::Stated(set) => Ok(set.clone().into_bytes()),
            Origin::At(address) => document(&self.fetcher, address).await,
            Origin::Discovered(issuer) => {
                let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                document(&self.fetcher, &self.discover(issuer, address).await?).await
            }
            Origin::Transmitter(issuer) => {
                let address = crate::sets::metadata_address(issuer);
                document(&self.fetcher, &self.discover(issuer, address).await?).await
            }
        }
    }

    /// The `jwks_uri` of an issuer's metadata, which must be that issuer's own.
    async fn discover(&self, issuer: &str, address: String) -> Result<String, String> {
        let found = document(&self.fetcher, &address).await?;
        let metadata = parse_strict(&found, Limits { depth: 8, keys: 1_000 }).map_err(|e| format!("{address}: {e}"))?;
        if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(format!("{address} is the metadata of another issuer"));
        }
        let keys = metadata.get("jwks_uri").and_then(Value::as_str);
        keys.map(str::to_owned).ok_or_else(|| format!("{address} names no `jwks_uri`"))
    }
}
