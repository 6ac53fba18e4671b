//! Our own keys: ES256 for tokens, Ed25519 for the log. Made at first start, sealed in the store.

use std::sync::Arc;

use chancery_model::{Change, Clock, Draft, Kind, Random, Span, Timestamp, Who};
use chancery_store::keys::SealedKey;
use chancery_store::{Store, StoreError};
use zeroize::Zeroizing;

use crate::access::TYP;
use crate::client::AgentKey;
use crate::jose::{Jwk, KeyRefused, Policy, PrivateKey, PublicKey};
use crate::vault::{Place, Vault, VaultError};

const TOKEN: &str = "token";
const LOG: &str = "log";
const CLIENT: &str = "client";
/// A retired key still verifies this long: longer than any token lives.
const OVERLAP: Span = Span::hours(1);
/// A key signs tokens for so long.
const LIFETIME: Span = Span::days(30);

/// Our keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The vault does not open them.
    #[error("{0}")]
    Vault(#[from] VaultError),
    /// They are not what they should be.
    #[error("{0}")]
    Key(#[from] KeyRefused),
}

/// The keys that sign and verify access tokens.
pub(crate) struct TokenKeys {
    /// Signs.
    pub(crate) signing: Arc<PrivateKey>,
    /// The header of every token it signs.
    pub(crate) header: String,
    /// Verify: the signing one and those retired a short while ago, each with its `kid`.
    pub(crate) verifying: Vec<(String, Arc<PublicKey>)>,
    /// When the signing one is to be replaced.
    due: Timestamp,
    /// When the first of the retired ones verifies no more.
    stale: Option<Timestamp>,
}

/// What becomes of the key before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retiring {
    /// It verifies for another hour: no token is lost.
    WithOverlap,
    /// It verifies nothing any more: every token it signed is refused from now on.
    AtOnce,
}

/// The key that signs checkpoints of the log. Its seed goes to the room that signs, and nowhere else.
pub struct LogKey(PrivateKey);

impl LogKey {
    /// The Ed25519 seed.
    pub fn seed(&self) -> Result<Zeroizing<[u8; 32]>, KeyRefused> {
        let material = self.0.material()?;
        let seed: [u8; 32] = material.as_slice().try_into().map_err(|_| KeyRefused("read"))?;
        Ok(Zeroizing::new(seed))
    }

    /// The key of this data directory, made at the first call.
    pub async fn load(store: &Store, vault: &Vault, clock: &dyn Clock, random: &dyn Random) -> Result<Self, KeysError> {
        let stored = chancery_store::keys::of_purpose(store, LOG).await?;
        if let Some(key) = stored.iter().find(|key| key.retired_at.is_none()) {
            return Ok(Self(PrivateKey::ed25519(&vault.unseal(place(&key.id), &key.sealed)?)?));
        }
        let key = PrivateKey::generate_ed25519(random)?;
        keep(store, sealed(vault, &key, LOG, clock.now())?, Vec::new(), "system").await?;
        Ok(Self(key))
    }
}

/// The key that proves to authorization servers of upstream servers that we are their client (`private_key_jwt`).
pub async fn client_key(store: &Store, vault: &Vault, clock: &dyn Clock) -> Result<AgentKey, KeysError> {
    let stored = chancery_store::keys::of_purpose(store, CLIENT).await?;
    if let Some(key) = stored.iter().find(|key| key.retired_at.is_none()) {
        return Ok(AgentKey::of(PrivateKey::p256(&vault.unseal(place(&key.id), &key.sealed)?)?));
    }
    let key = PrivateKey::generate_p256()?;
    keep(store, sealed(vault, &key, CLIENT, clock.now())?, Vec::new(), "system").await?;
    Ok(AgentKey::of(key))
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogKey({})", self.0.public().thumbprint_text())
    }
}

impl TokenKeys {
    /// The keys of this data directory; the signing one is made at the first call.
    pub(crate) async fn load(store: &Store, vault: &Vault, clock: &dyn Clock) -> Result<Self, KeysError> {
        let stored = chancery_store::keys::of_purpose(store, TOKEN).await?;
        let Some(newest) = stored.iter().find(|key| key.retired_at.is_none()) else {
            return Self::rotate(store, vault, clock, Retiring::WithOverlap, "system").await;
        };
        let signing = PrivateKey::p256(&vault.unseal(place(&newest.id), &newest.sealed)?)?;
        let (mut verifying, now) = (Vec::new(), clock.now());
        let ends = |key: &SealedKey| key.retired_at.map(|at| at + OVERLAP);
        for key in stored.iter().filter(|key| ends(key).is_none_or(|end| now < end)) {
            let jwk = Jwk::parse(&key.public).map_err(KeyRefused::from)?;
            let public = PublicKey::from_jwk(&jwk, Policy::Agents).map_err(KeyRefused::from)?;
            verifying.push((public.thumbprint_text(), Arc::new(public)));
        }
        let header = header(&signing);
        let stale = stored.iter().filter_map(ends).filter(|end| now < *end).min();
        Ok(Self { signing: Arc::new(signing), header, verifying, due: newest.created_at + LIFETIME, stale })
    }

    /// Makes a new signing key and retires the one before. `actor` is who wants it.
    pub(crate) async fn rotate(
        store: &Store,
        vault: &Vault,
        clock: &dyn Clock,
        retiring: Retiring,
        actor: &str,
    ) -> Result<Self, KeysError> {
        let (stored, now) = (chancery_store::keys::of_purpose(store, TOKEN).await?, clock.now());
        let at = if retiring == Retiring::AtOnce { now - OVERLAP } else { now };
        // At once means at once for those, too, that were retired lately.
        let old = stored.into_iter().filter(|key| key.retired_at.is_none_or(|retired| at < retired));
        let old = old.map(|key| (key.id, at)).collect();
        keep(store, sealed(vault, &PrivateKey::generate_p256()?, TOKEN, now)?, old, actor).await?;
        Box::pin(Self::load(store, vault, clock)).await
    }

    /// Is a new signing key due?
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due
    }

    /// Is a retired key still among those that verify?
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        self.stale.is_some_and(|stale| now >= stale)
    }

    /// The public key with this `kid`.
    pub(crate) fn verifying(&self, kid: &str) -> Option<&PublicKey> {
        self.verifying.iter().find(|(name, _)| name == kid).map(|(_, key)| &**key)
    }
}

fn header(key: &PrivateKey) -> String {
    key.header(TYP, &format!(r#","kid":"{}""#, key.public().thumbprint_text()))
}

pub(crate) fn place(id: &str) -> Place<'_> {
    Place { table: "keys", row: id }
}

pub(crate) fn sealed(vault: &Vault, key: &PrivateKey, purpose: &str, now: Timestamp) -> Result<SealedKey, KeysError> {
    let id = key.public().thumbprint_text();
    let sealed = vault.seal(place(&id), &key.material()?)?;
    Ok(SealedKey {
        purpose: purpose.into(),
        public: key.public().canonical_jwk().into(),
        sealed,
        kek_version: vault.version().into(),
        created_at: now,
        retired_at: None,
        id,
    })
}

/// Stores a key, and ends the signing of those before.
pub(crate) async fn keep(
    store: &Store,
    key: SealedKey,
    retires: Vec<(String, Timestamp)>,
    actor: &str,
) -> Result<(), KeysError> {
    let change =
        Change { noun: "key".into(), id: key.id.clone(), verb: "create".into(), after: Some(key.public.clone()) };
    let who = Who { human: Some(actor.into()), ..Who::default() };
    let draft = Draft { kind: Kind::Change, at: key.created_at, who, change: Some(change), ..Draft::default() };
    let write = store.write(draft, move |tx| {
        Box::pin(async move {
            for (old, at) in retires {
                chancery_store::keys::retire(tx, &old, at).await?;
            }
            chancery_store::keys::insert(tx, &key).await
        })
    });
    write.await?;
    Ok(())
}

/// Ends a key's signing.
pub(crate) async fn retire(store: &Store, id: String, now: Timestamp) -> Result<(), KeysError> {
    let change = Change { noun: "key".into(), id: id.clone(), verb: "retire".into(), after: None };
    let who = Who { human: Some("system".into()), ..Who::default() };
    let draft = Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() };
    let write = store.write(draft, move |tx| Box::pin(async move { chancery_store::keys::retire(tx, &id, now).await }));
    write.await?;
    Ok(())
}
