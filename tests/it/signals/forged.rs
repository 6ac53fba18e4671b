//! Security event tokens that are none, or not for us, or not new: each is refused, and nothing happens.

use serde_json::{Value, json};

use super::receiver::{AUDIENCE, CAEP, Idp, MARA, SECRET, email};
use crate::federation::issuer::Key;

/// A token with one thing wrong, and the code it is refused with (RFC 8935, section 2.4).
fn forged(idp: &Idp) -> Vec<(&'static str, String, &'static str)> {
    let claims = idp.claims(&format!("{CAEP}session-revoked"), email(MARA), json!({}));
    let header = json!({"typ": "secevent+jwt", "alg": "RS256", "kid": "idp-1"});
    let with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        idp.key.sign(&header, &changed)
    };
    let without = |name: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().unwrap().remove(name);
        idp.key.sign(&header, &changed)
    };
    let headed = |changed: Value| {
        let mut header = header.clone();
        header.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        idp.key.sign(&header, &claims)
    };
    let now = idp.app.time().now().seconds();
    let good = idp.sign(&claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (ec, other) = (Key::ec(), Key::rsa());
    let none = |alg: &str| {
        let token = headed(json!({"alg": alg}));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    vec![
        ("alg none", none("none"), "invalid_request"),
        ("alg None with a signature", headed(json!({"alg": "None"})), "invalid_key"),
        ("another algorithm in the header", headed(json!({"alg": "ES256"})), "invalid_key"),
        ("HS256 in the header", headed(json!({"alg": "HS256"})), "invalid_key"),
        ("another key under the same name", other.sign(&header, &claims), "invalid_key"),
        ("an EC key", ec.sign(&json!({"typ": "secevent+jwt", "alg": "ES256", "kid": "idp-1"}), &claims), "invalid_key"),
        ("a key that is not there", headed(json!({"kid": "idp-2"})), "invalid_key"),
        ("no name of a key", headed(json!({"kid": null})), "invalid_key"),
        ("its own key", headed(json!({"jwk": idp.key.jwk("idp-1")})), "invalid_key"),
        ("keys from elsewhere", headed(json!({"jku": "https://evil.example/keys"})), "invalid_request"),
        ("a critical extension", headed(json!({"crit": ["x"], "x": 1})), "invalid_request"),
        ("an access token's type", headed(json!({"typ": "at+jwt"})), "invalid_request"),
        ("an identity token's type", headed(json!({"typ": "JWT"})), "invalid_request"),
        ("no type", headed(json!({"typ": null})), "invalid_request"),
        ("another audience", with("aud", "https://other.example".into()), "invalid_audience"),
        ("no audience", without("aud"), "invalid_audience"),
        ("others' audiences", with("aud", json!(["a", "b"])), "invalid_audience"),
        ("another issuer", with("iss", "https://other.example".into()), "invalid_issuer"),
        ("our own issuer", with("iss", idp.app.url().into()), "invalid_issuer"),
        ("no issuer", without("iss"), "invalid_issuer"),
        ("an expiry", with("exp", (now + 60).into()), "invalid_request"),
        ("a sub", with("sub", MARA.into()), "invalid_request"),
        ("no subject", without("sub_id"), "invalid_request"),
        ("a subject without a format", with("sub_id", json!({"email": MARA})), "invalid_request"),
        ("a subject that is a text", with("sub_id", MARA.into()), "invalid_request"),
        ("no name", without("jti"), "invalid_request"),
        ("an empty name", with("jti", "".into()), "invalid_request"),
        ("a long name", with("jti", "x".repeat(300).into()), "invalid_request"),
        ("no time", without("iat"), "invalid_request"),
        ("a time that is a text", with("iat", now.to_string().into()), "invalid_request"),
        ("a time to come", with("iat", (now + 120).into()), "invalid_request"),
        ("a time long ago", with("iat", (now - 80 * 3_600).into()), "invalid_request"),
        ("no event", without("events"), "invalid_request"),
        ("an empty event", with("events", json!({})), "invalid_request"),
        ("two events", with("events", json!({"a:b": {}, "a:c": {}})), "invalid_request"),
        ("an event that is a text", with("events", json!({"a:b": "x"})), "invalid_request"),
        ("events in a list", with("events", json!([{"a:b": {}}])), "invalid_request"),
        ("a token in a token", idp.key.sign(&header, &Value::String(good.clone())), "invalid_request"),
        ("a changed signature", format!("{signed}.{}", turned(signature)), "invalid_key"),
        ("changed claims", change_claims(&good), "invalid_key"),
        ("no signature", format!("{signed}."), "invalid_request"),
        ("padding", format!("{good}=="), "invalid_request"),
        ("not a token", "hello".to_owned(), "invalid_request"),
        ("nothing", String::new(), "invalid_request"),
    ]
}

/// The first letters in another order: still strict base64url.
fn turned(signature: &str) -> String {
    let (first, rest) = signature.split_at(40);
    format!("{}{rest}", first.chars().rev().collect::<String>())
}

fn change_claims(good: &str) -> String {
    let parts: Vec<&str> = good.split('.').collect();
    let mut claims = super::receiver::payload(good);
    claims["sub_id"] = email("lee@example.com");
    let changed = chancery_authenticate::jose::encode(claims.to_string().as_bytes());
    format!("{}.{changed}.{}", parts[0], parts[2])
}

#[tokio::test]
async fn forged_security_event_tokens_are_refused() {
    let idp = Idp::with(|_| {}).await;
    idp.app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    let set = forged(&idp);
    let count = set.len();
    for (what, token, code) in set {
        let answer = idp.push(&token).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(answer.json()["err"], code, "{what}: {}", answer.text());
        assert_eq!(idp.epoch(MARA).await, 1, "{what}");
    }
    println!("forged security event tokens: {count} of {count} refused");
    let refused = idp.app.log().await.iter().filter(|entry| entry["change"] == "refuse signal").count();
    assert_eq!(refused, count, "each is an entry");
    // The same without the fault is taken.
    let good = idp.sign(&idp.claims(&format!("{CAEP}session-revoked"), email(MARA), json!({})));
    assert_eq!(idp.push(&good).await.status, 202);
    assert_eq!(idp.epoch(MARA).await, 2);
}

/// A token of ours, for something else, is no event.
#[tokio::test]
async fn an_access_token_is_no_event() {
    let idp = Idp::with(|_| {}).await;
    let agent = idp.app.service_account("crm-receiver").await;
    let token = agent.token(&idp.app.at("/access/v1")).await;
    let answer = idp.push(&token).await;
    assert_eq!((answer.status.as_u16(), answer.json()["err"].clone()), (400, json!("invalid_request")));
}

#[tokio::test]
async fn an_event_that_comes_again_does_nothing() {
    let idp = Idp::with(|_| {}).await;
    idp.app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    let claims = idp.claims(&format!("{CAEP}session-revoked"), email(MARA), json!({}));
    let token = idp.sign(&claims);
    for _ in 0..3 {
        assert_eq!(idp.push(&token).await.status, 202, "its transmitter may not know that it came");
        assert_eq!(idp.epoch(MARA).await, 2);
    }
    let mut other = claims.clone();
    other["txn"] = "another".into();
    let answer = idp.push(&idp.sign(&other)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["err"].clone()), (400, json!("invalid_request")));
    // Also after a restart: what was taken is remembered on the disk.
    let Idp { app, issuer, key } = idp;
    let idp = Idp { app: app.restart().await, issuer, key };
    assert_eq!(idp.push(&token).await.status, 202);
    assert_eq!(idp.epoch(MARA).await, 2);
}

#[tokio::test]
async fn a_push_must_show_its_secret_and_its_kind() {
    let idp = Idp::with(|_| {}).await;
    idp.app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    let token = idp.sign(&idp.claims(&format!("{CAEP}session-revoked"), email(MARA), json!({})));
    let kind = "application/secevent+jwt";
    let basic = format!("Basic {SECRET}");
    for wrong in ["", "Bearer", "Bearer ", "Bearer wrong", basic.as_str(), SECRET] {
        let answer = idp.push_with(&token, wrong, kind).await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert_eq!(answer.json()["err"], "authentication_failed");
    }
    for wrong in ["application/json", "application/jwt", ""] {
        let answer = idp.push_with(&token, &format!("Bearer {SECRET}"), wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let nobody = idp.app.http().post(&idp.app.at("/ssf/receive/other"), &[], &json!({})).await;
    assert_eq!(nobody.problem(404), "C1097");
    assert_eq!(idp.epoch(MARA).await, 1);
    assert!(AUDIENCE.starts_with("https"));
}

/// While the keys cannot be had, the event is not lost: the answer says to send it again.
#[tokio::test]
async fn without_the_keys_an_event_is_asked_for_again() {
    let idp = Idp::with(|_| {}).await;
    idp.app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    idp.issuer.break_down(true);
    let token = idp.sign(&idp.claims(&format!("{CAEP}session-revoked"), email(MARA), json!({})));
    let answer = idp.push(&token).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "5");
    idp.issuer.break_down(false);
    idp.app.clock().advance(chancery_model::Span::seconds(31));
    assert_eq!(idp.push(&token).await.status, 202);
    assert_eq!(idp.epoch(MARA).await, 2);
}
