//! Certificates of clients: what they say, and whether they lead to a root (RFC 5280, section 6).

use std::time::Duration;

use chancery_model::{CertificateRule, Timestamp};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, aws_lc_rs};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::jose::sha256;
use crate::shown::ShownCertificates;

/// The most certificates that are looked at: the leaf and what leads to a root.
const LONGEST_CHAIN: usize = 8;

/// The signatures of certificates that are taken.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    aws_lc_rs::ECDSA_P256_SHA256,
    aws_lc_rs::ECDSA_P256_SHA384,
    aws_lc_rs::ECDSA_P384_SHA256,
    aws_lc_rs::ECDSA_P384_SHA384,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
];

/// Reads one certificate.
pub(crate) fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("it is not one X.509 certificate in DER".to_owned()),
    }
}

/// The thumbprint of a certificate that is in force at this moment (`x5t#S256`, RFC 8705, section 3.1).
///
/// # Errors
/// Why it cannot be registered.
pub fn certificate_thumbprint(der: &[u8], now: Timestamp) -> Result<[u8; 32], String> {
    if in_force(&parsed(der)?, now) { Ok(sha256(der)) } else { Err("it is not valid at this moment".to_owned()) }
}

/// Its alternative names.
pub(crate) fn names<'c>(certificate: &'c X509Certificate<'_>) -> Result<&'c [GeneralName<'c>], String> {
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| "its subject alternative name cannot be read".to_owned())?;
    Ok(names.map(|names| names.value.general_names.as_slice()).unwrap_or_default())
}

/// Is this the certificate that the rule means? `roots` are those of the configuration.
pub(crate) fn is_meant(shown: &ShownCertificates, rule: &CertificateRule, roots: &[Vec<u8>], now: Timestamp) -> bool {
    let Ok(leaf) = parsed(shown.leaf()) else { return false };
    let named = |wanted: &dyn Fn(&GeneralName<'_>) -> bool| names(&leaf).is_ok_and(|names| names.iter().any(wanted));
    match rule {
        CertificateRule::Exact(hash) => sha256(shown.leaf()) == *hash && in_force(&leaf, now),
        CertificateRule::Dns(name) => {
            named(&|found| matches!(found, GeneralName::DNSName(dns) if dns == name))
                && leads_to_a_root(&shown.chain(), roots, now).is_ok()
        }
        CertificateRule::Uri(name) => {
            named(&|found| matches!(found, GeneralName::URI(uri) if uri == name))
                && leads_to_a_root(&shown.chain(), roots, now).is_ok()
        }
    }
}

/// Looks for a path from the first certificate, which may be used by clients and signs nothing itself, over the others
/// to one of the roots. The root must be in force itself, which a trust anchor need not be in RFC 5280.
pub(crate) fn leads_to_a_root(chain: &[&[u8]], roots: &[Vec<u8>], now: Timestamp) -> Result<(), String> {
    let (leaf, rest) = chain.split_first().ok_or("there is no certificate")?;
    if chain.len() > LONGEST_CHAIN {
        return Err(format!("more than {LONGEST_CHAIN} certificates"));
    }
    let lives = |root: &&Vec<u8>| parsed(root).is_ok_and(|root| in_force(&root, now));
    let roots: Vec<CertificateDer<'_>> = roots.iter().filter(lives).map(|root| root.as_slice().into()).collect();
    let anchors: Vec<TrustAnchor<'_>> = roots.iter().filter_map(|r| webpki::anchor_from_trusted_cert(r).ok()).collect();
    let between: Vec<CertificateDer<'_>> = rest.iter().map(|der| CertificateDer::from(*der)).collect();
    let leaf = CertificateDer::from(*leaf);
    let end = EndEntityCert::try_from(&leaf).map_err(|e| format!("it cannot be read: {e}"))?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0)));
    let path = end.verify_for_usage(ALGORITHMS, &anchors, &between, time, KeyUsage::client_auth(), None, None);
    path.map(drop).map_err(|e| format!("no path leads from it to a root: {e}"))
}

fn in_force(certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
    let validity = certificate.validity();
    (validity.not_before.timestamp()..validity.not_after.timestamp()).contains(&now.seconds())
}
