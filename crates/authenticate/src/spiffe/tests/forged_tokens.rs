//! JWT-SVIDs with one thing wrong.

use serde_json::json;

use super::*;
use crate::jose::{PrivateKey, encode};
use crate::testing::Counting;
use crate::tests::START;

struct Issuer {
    key: PrivateKey,
    bundle: Bundle,
}

impl Issuer {
    fn new() -> Self {
        let key = PrivateKey::generate_p256().unwrap();
        let jwk = bundle::jwt_jwk(key.public()).unwrap();
        Self { bundle: Bundle::parse(domain_name(), &format!(r#"{{"keys":[{jwk}]}}"#)).unwrap(), key }
    }

    fn header(&self, more: &str) -> String {
        format!(r#"{{"alg":"ES256","kid":"{}"{more}}}"#, self.key.public().thumbprint_text())
    }

    fn sign(&self, header: &str, claims: &serde_json::Value) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
        format!("{signed}.{}", encode(&self.key.sign(signed.as_bytes()).unwrap()))
    }

    fn judge(&self, token: &str) -> Result<JwtSvid, SvidRefused> {
        verify_jwt_svid(token, &self.bundle, AUDIENCE, Timestamp::from_seconds(START))
    }
}

fn good() -> serde_json::Value {
    json!({"sub": "spiffe://acme.example/x", "aud": [AUDIENCE], "exp": START + 60, "iat": START})
}

#[test]
fn what_others_make_is_taken() {
    let issuer = Issuer::new();
    for header in ["", r#","typ":"JWT""#, r#","typ":"JOSE""#] {
        assert!(issuer.judge(&issuer.sign(&issuer.header(header), &good())).is_ok(), "{header}");
    }
    let mut one = good();
    one["aud"] = AUDIENCE.into();
    assert_eq!(issuer.judge(&issuer.sign(&issuer.header(""), &one)).unwrap().audience, audience());
}

#[test]
fn a_jwt_svid_with_one_thing_wrong_is_refused() {
    let issuer = Issuer::new();
    for (claim, value) in [
        ("sub", json!("spiffe://acme.example")),
        ("sub", json!("spiffe://evil.example/x")),
        ("sub", json!("spiffe://acme.example.evil/x")),
        ("sub", json!("spiffe://acme.example/../x")),
        ("sub", json!("agent-crm")),
        ("sub", json!(null)),
        ("aud", json!([])),
        ("aud", json!(["https://other.example"])),
        ("aud", json!([AUDIENCE, "https://other.example"])),
        ("aud", json!([AUDIENCE, AUDIENCE])),
        ("aud", json!(format!("{AUDIENCE}/"))),
        ("aud", json!(null)),
        ("exp", json!(START)),
        ("exp", json!(START - 1)),
        ("exp", json!((START + 60).to_string())),
        ("exp", json!(null)),
        ("iat", json!(START + 6)),
        ("nbf", json!(START + 6)),
    ] {
        let mut claims = good();
        claims[claim] = value.clone();
        assert!(issuer.judge(&issuer.sign(&issuer.header(""), &claims)).is_err(), "{claim}: {value}");
    }
    for member in
        [r#","typ":"at+jwt""#, r#","typ":"jwt""#, r#","crit":["exp"]"#, r#","jwk":{"kty":"EC"}"#, r#","x5c":[]"#]
    {
        assert!(issuer.judge(&issuer.sign(&issuer.header(member), &good())).is_err(), "{member}");
    }
    assert!(issuer.judge(&issuer.sign(r#"{"alg":"ES256"}"#, &good())).is_err(), "no kid");
    let none = issuer.header("").replace("ES256", "none");
    assert!(issuer.judge(&issuer.sign(&none, &good())).is_err(), "no algorithm");
}

#[test]
fn keys_of_others_and_eddsa_sign_nothing_here() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let forged = other.sign(&issuer.header(""), &good());
    assert!(issuer.judge(&forged).unwrap_err().0.contains("signature"));
    assert!(issuer.judge(&other.sign(&other.header(""), &good())).unwrap_err().0.contains("no key"));

    let key = PrivateKey::generate_ed25519(&*Counting::from(9)).unwrap();
    let x: serde_json::Value = serde_json::from_str(key.public().canonical_jwk()).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x["x"], "use": "jwt-svid", "kid": "ed"});
    let mut keys = issuer.bundle.to_json();
    keys["keys"].as_array_mut().unwrap().push(jwk);
    let bundle = Bundle::parse(domain_name(), &keys.to_string()).unwrap();
    let ed = Issuer { key, bundle };
    let token = ed.sign(r#"{"alg":"EdDSA","kid":"ed"}"#, &good());
    assert!(ed.judge(&token).unwrap_err().0.contains("no key"), "JWT-SVID knows no EdDSA");
}
