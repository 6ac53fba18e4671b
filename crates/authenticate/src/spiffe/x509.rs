//! Verifying X.509-SVIDs (X509-SVID, section 5).

use chancery_model::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::SvidRefused;
use super::bundle::Bundle;
use super::id::SpiffeId;
use crate::certificates::{leads_to_a_root, names, parsed};
use crate::jose::sha256;

/// An X.509-SVID that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X509Svid {
    /// Who it names.
    pub id: SpiffeId,
    /// From then on it is nothing.
    pub expires: Timestamp,
    /// SHA-256 of the leaf: the `x5t#S256` of tokens that are bound to it (RFC 8705, section 3.1).
    pub thumbprint: [u8; 32],
}

/// Verifies an X.509-SVID of the bundle's trust domain: a chain of certificates in DER, the leaf first. That its
/// presenter has the leaf's private key is for the TLS handshake to prove.
///
/// # Errors
/// [`SvidRefused`] says what is wrong with it, in words that may be sent to whoever presented it.
pub fn verify_x509_svid(chain: &[&[u8]], bundle: &Bundle, now: Timestamp) -> Result<X509Svid, SvidRefused> {
    let leaf = chain.first().ok_or_else(|| SvidRefused::new("there is no certificate"))?;
    let certificate = parsed(leaf).map_err(SvidRefused)?;
    check_leaf(&certificate)?;
    let id = named(&certificate)?;
    if !id.is_workload_of(bundle.domain()) {
        return Err(SvidRefused::new(format!("`{id}` is no workload of `{}`", bundle.domain())));
    }
    leads_to_a_root(chain, bundle.roots(), now).map_err(SvidRefused)?;
    let expires = Timestamp::from_seconds(certificate.validity().not_after.timestamp());
    Ok(X509Svid { id, expires, thumbprint: sha256(leaf) })
}

/// What a leaf must say of itself (section 4): it signs no certificates.
fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), SvidRefused> {
    let basic = leaf.basic_constraints().map_err(|_| unreadable("basic constraints"))?;
    if basic.is_some_and(|basic| basic.value.ca) {
        return Err(SvidRefused::new("it is the certificate of a certificate authority"));
    }
    let usage = leaf.key_usage().map_err(|_| unreadable("key usage"))?.map(|usage| usage.value);
    match usage {
        Some(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(SvidRefused::new("its key may sign certificates or revocation lists"))
        }
        Some(usage) if usage.digital_signature() => Ok(()),
        _ => Err(SvidRefused::new("its key usage lacks digitalSignature")),
    }
}

/// Its one URI (section 2).
fn named(leaf: &X509Certificate<'_>) -> Result<SpiffeId, SvidRefused> {
    let names = names(leaf).map_err(SvidRefused)?;
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(SvidRefused::new("it has not exactly one URI among its alternative names"));
    };
    uri.parse().map_err(|e| SvidRefused::new(format!("its URI is no SPIFFE ID: {e}")))
}

fn unreadable(what: &str) -> SvidRefused {
    SvidRefused::new(format!("its {what} cannot be read"))
}
