//! X.509-SVIDs with one thing wrong.

use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use serde_json::json;

use super::*;
use crate::tests::START;

/// A certificate and its key, as somebody else's authority has them.
struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn between(first: i32, last: i32, params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
}

impl Ca {
    fn root(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (Self::params(change), KeyPair::generate().unwrap());
        Self { der: params.self_signed(&key).unwrap().der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn below(above: &Self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (Self::params(change), KeyPair::generate().unwrap());
        Self { der: params.signed_by(&key, &above.issuer).unwrap().der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::default();
        between(2020, 2040, &mut params);
        params.subject_alt_names = vec![uri("spiffe://acme.example")];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = format!(
            "ca {}",
            crate::jose::encode(&(&*crate::testing::Counting::from(1) as &dyn chancery_model::Random).bytes::<4>())
        );
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        change(&mut params);
        params
    }

    fn bundle(&self) -> Bundle {
        let x5c = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let keys = json!({"keys": [{"use": "x509-svid", "kty": "EC", "x5c": [x5c]}]});
        Bundle::parse(domain_name(), &keys.to_string()).unwrap()
    }

    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        between(2020, 2040, &mut params);
        params.subject_alt_names = vec![uri("spiffe://acme.example/x")];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }
}

fn judge(chain: &[&[u8]], bundle: &Bundle) -> Result<X509Svid, SvidRefused> {
    verify_x509_svid(chain, bundle, Timestamp::from_seconds(START))
}

#[test]
fn what_others_sign_is_taken_over_one_step_or_two() {
    let root = Ca::root(|_| {});
    let leaf = root.leaf(|_| {});
    let read = judge(&[&leaf], &root.bundle()).unwrap();
    assert_eq!((read.id.path(), read.thumbprint), ("/x", crate::jose::sha256(&leaf)));
    let middle = Ca::below(&root, |_| {});
    let leaf = middle.leaf(|p| p.subject_alt_names.push(SanType::DnsName("x.acme.example".try_into().unwrap())));
    assert!(judge(&[&leaf, &middle.der], &root.bundle()).is_ok(), "DNS names besides do no harm");
    assert!(judge(&[&leaf], &root.bundle()).is_err(), "without the step between");
}

#[test]
fn an_x509_svid_with_one_thing_wrong_is_refused() {
    let root = Ca::root(|_| {});
    type Change = fn(&mut CertificateParams);
    let wrong: [(&str, Change); 13] = [
        ("two URIs", |p| p.subject_alt_names.push(uri("spiffe://acme.example/y"))),
        ("the same URI twice", |p| p.subject_alt_names.push(uri("spiffe://acme.example/x"))),
        ("another URI besides", |p| p.subject_alt_names.push(uri("https://acme.example"))),
        ("no URI", |p| p.subject_alt_names = vec![SanType::DnsName("acme.example".try_into().unwrap())]),
        ("no name", |p| p.subject_alt_names.clear()),
        ("the trust domain itself", |p| p.subject_alt_names = vec![uri("spiffe://acme.example")]),
        ("another trust domain", |p| p.subject_alt_names = vec![uri("spiffe://evil.example/x")]),
        ("no SPIFFE ID", |p| p.subject_alt_names = vec![uri("spiffe://acme.example/../x")]),
        ("an authority", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ("signs certificates", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        ("no digitalSignature", |p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
        ("no key usage", |p| p.key_usages.clear()),
        ("for servers only", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
    ];
    for (what, change) in wrong {
        assert!(judge(&[&root.leaf(change)], &root.bundle()).is_err(), "{what}");
    }
    let expired = root.leaf(|p| between(2020, 2021, p));
    assert!(judge(&[&expired], &root.bundle()).is_err());
    let early = root.leaf(|p| between(2039, 2040, p));
    assert!(judge(&[&early], &root.bundle()).is_err());
}

#[test]
fn only_the_domains_own_roots_count() {
    let (root, other) = (Ca::root(|_| {}), Ca::root(|_| {}));
    let foreign = other.leaf(|_| {});
    assert!(judge(&[&foreign], &root.bundle()).unwrap_err().0.contains("no path"));
    assert!(judge(&[&foreign, &other.der], &root.bundle()).is_err(), "a root that is sent along is none");
    let leaf = root.leaf(|_| {});
    let mut forged = leaf.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(judge(&[&forged], &root.bundle()).is_err());
    let bytes = [leaf.as_slice(), &[0]].concat();
    assert!(judge(&[&bytes], &root.bundle()).is_err(), "something follows");
    assert!(judge(&[], &root.bundle()).is_err());
    assert!(judge(&[leaf.as_slice(); 9], &root.bundle()).is_err(), "too many");

    let over = Ca::root(|p| between(2020, 2021, p));
    assert!(judge(&[&over.leaf(|_| {})], &over.bundle()).unwrap_err().0.contains("no path"), "the root is over");
    let workload = Ca::below(&root, |p| p.is_ca = IsCa::ExplicitNoCa);
    assert!(judge(&[&workload.leaf(|_| {}), &workload.der], &root.bundle()).is_err(), "a workload signs nothing");
}
