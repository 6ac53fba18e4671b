//! Making the certificates of our own trust domain (X509-SVID, sections 2 to 4).

use std::time::Duration;

use chancery_model::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, date_time_ymd,
};
use zeroize::Zeroizing;

use super::id::{SpiffeId, TrustDomain};
use crate::jose::{KeyRefused, PrivateKey};

/// Certificates begin a little earlier than now: clocks differ.
const BACKDATED: Span = Span::minutes(1);

/// A self-signed root of the trust domain, in DER.
pub(super) fn root(
    domain: &TrustDomain,
    key: &PrivateKey,
    serial: [u8; 16],
    now: Timestamp,
    ends: Timestamp,
) -> Result<Vec<u8>, KeyRefused> {
    let mut params = root_params(domain, key)?;
    params.serial_number = Some(positive(serial));
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now - BACKDATED);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(ends);
    let made = params.self_signed(&pair(key)?).map_err(refused)?;
    Ok(made.der().to_vec())
}

/// A leaf for a workload, signed by a root of ours, in DER.
pub(super) fn leaf(
    id: &SpiffeId,
    key: &PrivateKey,
    root: (&TrustDomain, &PrivateKey),
    serial: [u8; 16],
    (now, ends): (Timestamp, Timestamp),
) -> Result<Vec<u8>, KeyRefused> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(positive(serial));
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now - BACKDATED);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(ends);
    params.distinguished_name = name(root.0, None);
    params.subject_alt_names = vec![uri(id)?];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(root_params(root.0, root.1)?, pair(root.1)?);
    let made = params.signed_by(&pair(key)?, &issuer).map_err(refused)?;
    Ok(made.der().to_vec())
}

/// What of a root follows from its domain and key alone: the issuer of its leaves is made again from that.
fn root_params(domain: &TrustDomain, key: &PrivateKey) -> Result<CertificateParams, KeyRefused> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(domain, Some(&key.public().thumbprint_text()));
    params.subject_alt_names = vec![uri(&domain.id())?];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Two roots of one domain have two names, so that a leaf's issuer is one of them.
fn name(domain: &TrustDomain, key: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, domain.name());
    if let Some(key) = key {
        name.push(DnType::CommonName, key);
    }
    name
}

fn uri(id: &SpiffeId) -> Result<SanType, KeyRefused> {
    Ok(SanType::URI(id.as_str().try_into().map_err(refused)?))
}

fn pair(key: &PrivateKey) -> Result<KeyPair, KeyRefused> {
    let material: Zeroizing<Vec<u8>> = key.material()?;
    KeyPair::from_pkcs8_der_and_sign_algo(&material.as_slice().into(), &PKCS_ECDSA_P256_SHA256).map_err(refused)
}

fn since_1970(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.seconds()).unwrap_or(0))
}

/// A serial number is positive and not zero (RFC 5280, section 4.1.2.2).
fn positive(mut serial: [u8; 16]) -> SerialNumber {
    serial[0] = serial[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&serial)
}

fn refused<E>(_: E) -> KeyRefused {
    KeyRefused("used for a certificate")
}
