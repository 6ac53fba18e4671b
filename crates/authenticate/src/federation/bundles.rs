//! The bundles of trust domains: our own, stated ones, and those of bundle endpoints (SPIFFE Federation, section 5.2.1).

use std::sync::{Arc, OnceLock, Weak};

use chancery_fetch::Fetcher;
use chancery_model::{Clock, Span, TrustSource};

use super::copies::{Copies, FRESH, Missing, PAUSE, document};
use crate::spiffe::{Bundle, Domain, SvidRefused, TrustDomain};

/// Where the bundle of a source's trust domain comes from. A bundle belongs to one trust domain, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// It is our own.
    Own,
    /// Stated in the source.
    Stated(String),
    /// At this bundle endpoint.
    At(TrustDomain, String),
}

/// What a bundle says of an SVID.
pub(super) enum Judged<T> {
    /// It is one, and says this.
    Good(T),
    /// It is none.
    Bad(SvidRefused),
    /// It may be of a key that a newer bundle has.
    Unknown(SvidRefused),
}

/// The bundles of all origins.
pub(super) struct Bundles {
    fetcher: Arc<Fetcher>,
    copies: Copies<Origin, Bundle>,
    /// Our own trust domain, if there is one. It holds the authenticator, which holds this.
    own: OnceLock<Weak<Domain>>,
}

impl Origin {
    pub(super) fn of(domain: &TrustDomain, source: &TrustSource) -> Self {
        match (&source.jwks, &source.jwks_uri) {
            (Some(stated), _) => Self::Stated(stated.clone()),
            (None, Some(address)) => Self::At(domain.clone(), address.clone()),
            (None, None) => Self::Own,
        }
    }
}

impl Bundles {
    pub(super) fn new(fetcher: Arc<Fetcher>, clock: Arc<dyn Clock>) -> Self {
        Self { fetcher, copies: Copies::new(clock), own: OnceLock::new() }
    }

    /// Names our own trust domain; there is one at most.
    pub(super) fn set_own(&self, domain: &Arc<Domain>) {
        self.own.get_or_init(|| Arc::downgrade(domain));
    }

    /// Forgets the bundles of origins that nobody names any more.
    pub(super) fn forget_unless(&self, is_named: impl Fn(&Origin) -> bool) {
        self.copies.forget_unless(is_named);
    }

    /// What the bundle of this origin says. A fetched one is asked for again where it does not know the key.
    pub(super) async fn judge<T>(
        &self,
        domain: &TrustDomain,
        origin: &Origin,
        judge: impl Fn(&Bundle) -> Judged<T>,
    ) -> Result<Judged<T>, Missing> {
        match origin {
            Origin::Own => Ok(judge(&self.own(domain).await.map_err(Missing::Unavailable)?)),
            Origin::Stated(bundle) => {
                let bundle = Bundle::parse(domain.clone(), bundle);
                Ok(judge(&bundle.map_err(|e| Missing::Unavailable(e.to_string()))?))
            }
            Origin::At(_, address) => self.fetched(domain, origin, address, judge).await,
        }
    }

    async fn fetched<T>(
        &self,
        domain: &TrustDomain,
        origin: &Origin,
        address: &str,
        judge: impl Fn(&Bundle) -> Judged<T>,
    ) -> Result<Judged<T>, Missing> {
        let mut unknown = None;
        let want = |bundle: &Bundle| match judge(bundle) {
            Judged::Unknown(refused) => {
                unknown = Some(refused);
                None
            }
            judged => Some(judged),
        };
        let fetch = || async {
            let json = document(&self.fetcher, address).await?;
            let json = String::from_utf8(json).map_err(|_| format!("{address} is not UTF-8"))?;
            let bundle = Bundle::parse(domain.clone(), &json).map_err(|e| format!("{address}: {e}"))?;
            let fresh = bundle.refresh().map_or(FRESH, |hint| Span::seconds(hint.clamp(0, 3_600)).clamp(PAUSE, FRESH));
            Ok((bundle, fresh))
        };
        match self.copies.find(origin, want, fetch).await {
            Err(Missing::Unknown) => unknown.map(Judged::Unknown).ok_or(Missing::Unknown),
            found => found,
        }
    }

    /// Is this the name of our own trust domain?
    pub(super) fn is_own(&self, domain: &str) -> bool {
        self.own.get().and_then(Weak::upgrade).is_some_and(|own| own.name().name() == domain)
    }

    async fn own(&self, domain: &TrustDomain) -> Result<Bundle, String> {
        let own = self.own.get().and_then(Weak::upgrade).filter(|own| own.name() == domain);
        let own = own.ok_or_else(|| format!("`{domain}` is not the trust domain of this server"))?;
        own.bundle().await.map_err(|e| e.to_string())
    }
}
