//! Trust sources in memory: loaded at start, kept by the store's observer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chancery_model::{TrustKind, TrustSource};

/// What is trusted, by name.
#[derive(Debug, Default)]
pub(crate) struct Sources(RwLock<HashMap<String, Arc<TrustSource>>>);

impl Sources {
    /// Takes one over, or forgets it.
    pub(crate) fn put(&self, source: Arc<TrustSource>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match source.removed_at {
            Some(_) => held.remove(&source.name),
            None => held.insert(source.name.clone(), source),
        };
    }

    /// Those whose platform writes tokens under this issuer, by name.
    pub(crate) fn of_issuer(&self, issuer: &str) -> Vec<Arc<TrustSource>> {
        self.filtered(|source| source.issuer == issuer && !source.kind.is_spiffe())
    }

    /// Those of this kind about workloads of a SPIFFE trust domain, by name.
    pub(crate) fn of_domain(&self, kind: TrustKind, domain: &str) -> Vec<Arc<TrustSource>> {
        self.filtered(|source| source.kind == kind && source.issuer == domain)
    }

    /// Those for which this holds, by name.
    pub(crate) fn filtered(&self, is_meant: impl Fn(&TrustSource) -> bool) -> Vec<Arc<TrustSource>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = held.values().filter(|source| is_meant(source)).cloned().collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Is there one for which this holds?
    pub(crate) fn any(&self, is_meant: impl Fn(&TrustSource) -> bool) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().any(|source| is_meant(source))
    }
}
