//! The keys of our own trust domain, and their turn-over.
//!
//! A key is published an hour before it signs, so that everybody who refreshes their copy of our bundle knows it by
//! then; and it stays published for two hours after it signed last, longer than anything it signed lives. Nothing runs
//! in the background for that: whoever asks for the keys takes the steps that are due.

use std::sync::Arc;

use chancery_model::{Random, Span, Timestamp};
use chancery_store::Store;
use chancery_store::keys::SealedKey;

use super::bundle::{jwt_jwk, x509_jwk};
use super::certificate;
use super::id::TrustDomain;
use crate::jose::{KeyRefused, PrivateKey};
use crate::keys::{self, KeysError};
use crate::vault::Vault;

/// After this a key's successor is made.
const LIFE: Span = Span::days(7);
/// So long a key is published before it signs.
const AHEAD: Span = Span::hours(1);
/// So long it is published after it signed last.
const OVERLAP: Span = Span::hours(2);
/// So long its certificate is valid: a server that was off for a fortnight starts with roots that are in force.
const VALID: Span = Span::days(21);
/// Who the record says did it.
const SYSTEM: &str = "system";
/// Nothing that is signed lives longer.
pub(super) const LONGEST_LEAF: Span = Span::hours(1);

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    X509,
    Jwt,
}

/// One key, with its private half as long as it may sign.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) private: Option<Arc<PrivateKey>>,
    /// As it stands in the bundle.
    pub(super) jwk: String,
    made: Timestamp,
    retired: Option<Timestamp>,
}

/// Every key there ever was for one purpose, the newest first.
pub(super) struct Ring {
    purpose: Purpose,
    held: Vec<Held>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the next key.
    Make(Purpose),
    /// This one signs no more.
    Retire(String),
}

/// What a step needs.
pub(super) struct Means<'a> {
    pub(super) domain: &'a TrustDomain,
    pub(super) store: &'a Store,
    pub(super) vault: &'a Vault,
    pub(super) random: &'a dyn Random,
}

impl Ring {
    pub(super) async fn load(means: &Means<'_>, purpose: Purpose) -> Result<Self, KeysError> {
        let stored = chancery_store::keys::of_purpose(means.store, &purpose.row(means.domain)).await?;
        let held = stored.into_iter().map(|key| Held::of(key, means.vault)).collect::<Result<_, KeysError>>()?;
        Ok(Self { purpose, held })
    }

    /// The key that signs now: the newest that was published long enough, or the oldest there is.
    pub(super) fn signer(&self, now: Timestamp) -> Option<&Held> {
        let mut usable = self.held.iter().filter(|key| key.may_sign(now));
        let known = usable.clone().find(|key| key.made + AHEAD <= now);
        known.or_else(|| usable.next_back())
    }

    /// The JWKs of the bundle.
    pub(super) fn published(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        self.held.iter().filter(move |key| !key.is_over(now)).map(|key| key.jwk.as_str())
    }

    /// How many times what is published changed up to now.
    pub(super) fn changes(&self, now: Timestamp) -> u64 {
        self.held.iter().map(|key| 1 + u64::from(key.is_over(now))).sum()
    }

    /// The next step that is due.
    pub(super) fn due(&self, now: Timestamp) -> Option<Step> {
        let make = Some(Step::Make(self.purpose));
        let Some(signer) = self.signer(now) else { return make };
        let newest = self.held.iter().find(|key| key.retired.is_none());
        if newest.is_none_or(|newest| newest.made + LIFE <= now) {
            return make;
        }
        let old = self.held.iter().find(|key| key.retired.is_none() && key.made < signer.made);
        old.map(|old| Step::Retire(old.id.clone()))
    }
}

impl Held {
    fn of(key: SealedKey, vault: &Vault) -> Result<Self, KeysError> {
        let private = match key.retired_at {
            None => Some(Arc::new(PrivateKey::p256(&vault.unseal(keys::place(&key.id), &key.sealed)?)?)),
            Some(_) => None,
        };
        Ok(Self { id: key.id, private, jwk: key.public, made: key.created_at, retired: key.retired_at })
    }

    fn may_sign(&self, now: Timestamp) -> bool {
        self.private.is_some() && now + LONGEST_LEAF < self.made + VALID
    }

    /// Is nothing it signed alive any more?
    fn is_over(&self, now: Timestamp) -> bool {
        self.retired.is_some_and(|at| at + OVERLAP <= now) || self.made + VALID <= now
    }
}

impl Purpose {
    /// How the store calls keys of this purpose. Another trust domain has other keys.
    fn row(self, domain: &TrustDomain) -> String {
        match self {
            Self::X509 => format!("spiffe-x509 {domain}"),
            Self::Jwt => format!("spiffe-jwt {domain}"),
        }
    }

    fn jwk(self, means: &Means<'_>, key: &PrivateKey, now: Timestamp) -> Result<String, KeyRefused> {
        let jwk = match self {
            Self::X509 => {
                let root = certificate::root(means.domain, key, means.random.bytes(), now, now + VALID)?;
                x509_jwk(key.public(), &root)
            }
            Self::Jwt => jwt_jwk(key.public()),
        };
        jwk.ok_or(KeyRefused("written"))
    }
}

impl Step {
    /// Takes the step, durably.
    pub(super) async fn take(self, means: &Means<'_>, now: Timestamp) -> Result<(), KeysError> {
        match self {
            Self::Make(purpose) => {
                let key = PrivateKey::generate_p256()?;
                let jwk = purpose.jwk(means, &key, now)?;
                let sealed = keys::sealed(means.vault, &key, &purpose.row(means.domain), now)?;
                keys::keep(means.store, SealedKey { public: jwk, ..sealed }, Vec::new(), SYSTEM).await
            }
            Self::Retire(id) => keys::retire(means.store, id, now).await,
        }
    }
}
