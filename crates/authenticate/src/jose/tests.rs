//! Attacks on the format: none of them may come through.

use chancery_model::Random;

use super::*;
use crate::client::AgentKey;
use crate::testing::Counting;

fn key() -> PrivateKey {
    PrivateKey::generate_p256().unwrap()
}

fn verify(text: &str, key: &PublicKey) -> Result<Vec<u8>, JoseError> {
    let jws = Compact::parse(text)?;
    let header = jws.header()?;
    jws.verify(&header, key)
}

fn signed(key: &PrivateKey, header: &str, payload: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&signature))
}

const HEADER: &str = r#"{"alg":"ES256"}"#;

#[test]
fn what_was_signed_is_read() {
    let key = key();
    assert_eq!(verify(&signed(&key, HEADER, b"hello"), key.public()).unwrap(), b"hello");
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let key = key();
    for alg in ["none", "None", "NONE", "nOnE", "", " ", "ES256 ", "es256", "null"] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        assert!(verify(&signed(&key, &header, b"x"), key.public()).is_err(), "{alg}");
        let unsigned = format!("{}.{}.", encode(header.as_bytes()), encode(b"x"));
        assert!(verify(&unsigned, key.public()).is_err(), "{alg} unsigned");
    }
    for header in [r#"{"alg":null}"#, r#"{"alg":["ES256"]}"#, r#"{"alg":1}"#, "{}", "[]", "null", r#""ES256""#, ""] {
        assert!(verify(&signed(&key, header, b"x"), key.public()).is_err(), "{header}");
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let key = key();
    let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(b"x"));
    let jwk = key.public().canonical_jwk().to_owned();
    let members: serde_json::Value = serde_json::from_str(&jwk).unwrap();
    let half = |name: &str| decode(members[name].as_str().unwrap()).unwrap();
    let (x, point) = (half("x"), [vec![4], half("x"), half("y")].concat());
    // SubjectPublicKeyInfo of a P-256 key (RFC 5480, section 2), and its textual forms (RFC 7468, section 13).
    let der = [&decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA").unwrap()[..], &point].concat();
    let base64 = base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &base64[..64], &base64[64..]);
    let spellings =
        [pem.clone(), pem.trim().to_owned(), format!("\n{pem}"), format!(" {pem}"), pem.replace('\n', "\r\n")];
    let secrets = [jwk.as_bytes(), &x, &point, &der, base64.as_bytes(), b"", b" ", key.public().thumbprint()];
    for secret in secrets.into_iter().chain(spellings.iter().map(String::as_bytes)) {
        let mac =
            aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret), signed.as_bytes());
        let forged = format!("{signed}.{}", encode(mac.as_ref()));
        assert!(matches!(verify(&forged, key.public()), Err(JoseError::Algorithm { .. })));
    }
}

/// A key without `alg` has the algorithm of its kind, whatever a header says.
#[test]
fn a_key_without_an_algorithm_takes_none_from_a_header() {
    let modulus = encode(&[&[0xc1][..], &[0x5b; 254], &[0x0f]].concat());
    let rsa = format!(r#"{{"kty":"RSA","n":"{modulus}","e":"AQAB"}}"#);
    let rsa = PublicKey::from_jwk(&Jwk::parse(&rsa).unwrap(), Policy::Issuers).unwrap();
    assert_eq!(rsa.algorithm(), Algorithm::Rs256);
    for alg in ["HS256", "HS512", "none", "ES256", "EdDSA", "PS256", "PBES2-HS256+A128KW", "dir", "RSA-OAEP"] {
        let signed =
            format!("{}.{}", encode(format!(r#"{{"alg":"{alg}","p2c":2147483647}}"#).as_bytes()), encode(b"x"));
        let empty = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"");
        let mac = aws_lc_rs::hmac::sign(&empty, signed.as_bytes());
        for signature in [mac.as_ref(), &[], &[0; 256]] {
            let forged = format!("{signed}.{}", encode(signature));
            assert!(verify(&forged, &rsa).is_err(), "{alg}");
            assert!(verify(&forged, key().public()).is_err(), "{alg}");
        }
    }
}

/// Encrypted things are not opened, not even to find something unsigned in them (RFC 7516).
#[test]
fn what_is_encrypted_is_not_read() {
    let key = key();
    let inner = format!("{}.{}.", encode(br#"{"alg":"none"}"#), encode(br#"{"sub":"admin"}"#));
    for header in [r#"{"alg":"dir","enc":"A128GCM","cty":"JWT"}"#, r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#, HEADER] {
        for content in [inner.as_bytes(), b"x"] {
            let parts = [header.as_bytes(), b"key", b"iv", content, b"tag"].map(encode);
            assert_eq!(verify(&parts.join("."), key.public()), Err(JoseError::Shape), "{header}");
        }
    }
    assert!(verify(&signed(&key, r#"{"alg":"ES256","enc":"A128GCM"}"#, inner.as_bytes()), key.public()).is_err());
}

#[test]
fn a_signature_of_zeros_is_none() {
    let key = key();
    let signed = format!("{}.{}", encode(HEADER.as_bytes()), encode(b"x"));
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    for signature in
        [vec![0; 64], vec![], vec![0; 63], vec![0; 65], [order, order].concat(), [order.to_vec(), vec![0; 32]].concat()]
    {
        assert!(verify(&format!("{signed}.{}", encode(&signature)), key.public()).is_err());
    }
}

#[test]
fn header_members_that_change_the_reading_are_refused() {
    let key = key();
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
        r#""jku":"https://127.0.0.1/jwks""#,
        r#""x5u":"file:///etc/passwd""#,
        r#""x5c":[]"#,
    ] {
        let header = format!(r#"{{"alg":"ES256",{member}}}"#);
        assert!(matches!(verify(&signed(&key, &header, b"x"), key.public()), Err(JoseError::Member(_))), "{member}");
    }
    let unknown = r#"{"alg":"ES256","p2c":2147483647,"x":{"y":[1]}}"#;
    assert!(
        verify(&signed(&key, unknown, b"x"), key.public()).is_ok(),
        "unknown members are ignored (RFC 7515, section 4)"
    );
}

#[test]
fn a_member_said_twice_is_refused() {
    let key = key();
    for header in [
        r#"{"alg":"none","alg":"ES256"}"#,
        r#"{"alg":"ES256","\u0061lg":"ES256"}"#,
        r#"{"alg":"ES256","kid":"a","kid":"b"}"#,
        r#"{"alg":"ES256","typ":"a","typ":"a"}"#,
    ] {
        assert!(matches!(verify(&signed(&key, header, b"x"), key.public()), Err(JoseError::Header(_))), "{header}");
    }
    assert!(Jwk::parse(r#"{"kty":"EC","kty":"EC"}"#).is_err());
}

#[test]
fn only_the_compact_form_is_read() {
    let key = key();
    let good = signed(&key, HEADER, b"x");
    let parts: Vec<&str> = good.split('.').collect();
    let json = format!(r#"{{"protected":"{}","payload":"{}","signature":"{}"}}"#, parts[0], parts[1], parts[2]);
    for other in [
        json,
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.x.y"),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}="),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}=.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}", encode(format!("\u{feff}{HEADER}").as_bytes()), parts[1], parts[2]),
        format!("{}.{}.{}", encode(format!("{HEADER} x").as_bytes()), parts[1], parts[2]),
        good.replace('-', "+").replace('_', "/") + "+",
        "..".into(),
        String::new(),
    ] {
        assert!(verify(&other, key.public()).is_err(), "{other}");
    }
}

#[test]
fn monsters_are_refused_before_they_cost_anything() {
    let key = key();
    let kid = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(1 << 20));
    assert_eq!(verify(&signed(&key, &kid, b"x"), key.public()), Err(JoseError::TooLong));
    let deep = format!(r#"{{"alg":"ES256","x":{}}}"#, "[".repeat(5_000));
    assert!(matches!(verify(&signed(&key, &deep, b"x"), key.public()), Err(JoseError::Header(_))));
    let payload = "[".repeat(5_000);
    let read = verify(&signed(&key, HEADER, payload.as_bytes()), key.public()).unwrap();
    assert!(claims::<serde_json::Value>(&read).is_err());
}

#[test]
fn keys_are_taken_only_as_what_they_are() {
    let p256 = key();
    let good = p256.public().canonical_jwk().to_owned();
    let jwk = |text: &str| PublicKey::from_jwk(&Jwk::parse(text)?, Policy::Issuers).map(|key| key.algorithm());
    assert_eq!(jwk(&good).unwrap(), Algorithm::Es256);
    let ed = AgentKey::generate_ed25519(&*Counting::from(3)).unwrap();
    assert_eq!(jwk(ed.jwk()).unwrap(), Algorithm::EdDsa);
    for (what, with) in [
        (r#""kty":"EC""#, r#""kty":"EC","d":"AA""#),
        (r#""kty":"EC""#, r#""kty":"EC","k":"AA""#),
        (r#""kty":"EC""#, r#""kty":"EC","d":null"#),
        (r#""kty":"EC""#, r#""kty":"EC","alg":"RS256""#),
        (r#""kty":"EC""#, r#""kty":"EC","alg":"none""#),
        (r#""kty":"EC""#, r#""kty":"EC","use":"enc""#),
        (r#""kty":"EC""#, r#""kty":"EC","key_ops":["sign"]"#),
        (r#""kty":"EC""#, r#""kty":"ec""#),
        (r#""kty":"EC""#, r#""kty":"OKP""#),
        ("P-256", "P-384"),
        ("P-256", "secp256k1"),
        ("P-256", "Ed25519"),
        (r#""x":""#, r#""x":"A"#),
        (r#""y":""#, r#""z":""#),
    ] {
        assert!(jwk(&good.replace(what, with)).is_err(), "{with}");
    }
    let off_curve = format!(r#"{{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}}"#, encode(&[7; 32]));
    assert!(jwk(&off_curve).is_err());
    for n in [vec![0xc1; 128], [vec![0], vec![0xc1; 256]].concat(), vec![]] {
        assert!(jwk(&format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode(&n))).is_err());
    }
    for e in ["AQ", "Aw", "AAAB", "AQAA", ""] {
        assert!(jwk(&format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, encode(&[0xc1; 256]))).is_err(), "{e}");
    }
}

#[test]
fn one_keys_signature_is_not_anothers() {
    let random = Counting::from(4);
    let ed = PrivateKey::generate_ed25519(&*random).unwrap();
    let p256 = key();
    let text = signed(&ed, r#"{"alg":"EdDSA"}"#, b"x");
    assert!(verify(&text, ed.public()).is_ok());
    assert!(verify(&signed(&ed, r#"{"alg":"Ed25519"}"#, b"x"), ed.public()).is_ok());
    assert!(verify(&text, p256.public()).is_err());
    assert!(verify(&signed(&ed, HEADER, b"x"), p256.public()).is_err());
    assert!(verify(&signed(&ed, HEADER, b"x"), ed.public()).is_err());
    assert!(verify(&text, PrivateKey::generate_ed25519(&*random).unwrap().public()).is_err());
}

#[test]
fn private_keys_survive_their_sealed_form_and_are_not_printed() {
    let random = Counting::from(5);
    let ed = PrivateKey::generate_ed25519(&*random as &dyn Random).unwrap();
    assert_eq!(PrivateKey::ed25519(&ed.material().unwrap()).unwrap().public().thumbprint(), ed.public().thumbprint());
    let p256 = key();
    let material = p256.material().unwrap();
    assert_eq!(PrivateKey::p256(&material).unwrap().public().thumbprint(), p256.public().thumbprint());
    assert!(PrivateKey::p256(&material[1..]).is_err());
    assert_eq!(format!("{p256:?}"), format!("PrivateKey(ES256 {})", p256.public().thumbprint_text()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}", header in ".{0,80}", jwk in ".{0,80}") {
        let key = key();
        let _ = verify(&text, key.public());
        let header = format!("{}.{}.{}", encode(header.as_bytes()), encode(text.as_bytes()), encode(b"x"));
        proptest::prop_assert!(verify(&header, key.public()).is_err());
        let _ = Jwk::parse(&jwk).map(|jwk| PublicKey::from_jwk(&jwk, Policy::Issuers).is_ok());
    }
}
