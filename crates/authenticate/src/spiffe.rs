//! SPIFFE: names of workloads, the documents that prove them (SVIDs), the keys that others check them with (bundles),
//! and a trust domain of our own.
//!
//! Whoever judges a foreign SVID needs [`verify_jwt_svid`] or [`verify_x509_svid`] and the [`Bundle`] of its trust
//! domain, and nothing else of this room. [`Domain`] is our own trust domain: it makes SVIDs for agents.

mod authority;
mod bundle;
mod certificate;
mod domain;
mod id;
mod jwt;
mod x509;

pub use bundle::{Bundle, BundleError, REFRESH_HINT};
pub use domain::{Domain, DomainError, JwtIssued, Workload, X509Issued};
pub use id::{IdError, SpiffeId, TrustDomain};
pub use jwt::{JwtSvid, verify_jwt_svid};
pub use x509::{X509Svid, verify_x509_svid};

/// Why an SVID is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SvidRefused(pub String);

impl SvidRefused {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

#[cfg(test)]
mod tests;
