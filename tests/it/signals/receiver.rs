//! What others tell about people, and what is done about it.

use chancery_authenticate::jose::decode;
use chancery_server::{Delivered, SignalTransmitter};
use chancery_testkit::{Answer, Browser, TestApp};
use serde_json::{Value, json};

use crate::federation::issuer::{Issuer, Key};

pub const AUDIENCE: &str = "https://chancery.example/signals";
pub const SECRET: &str = "the-secret-of-the-push";
pub const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
pub const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
pub const MARA: &str = "mara@example.com";

/// The claims of a token that nobody verified.
pub fn payload(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&decode(middle).unwrap()).unwrap()
}

/// An identity provider that transmits, and a server that listens to it.
pub struct Idp {
    pub app: TestApp,
    pub issuer: Issuer,
    pub key: Key,
}

impl Idp {
    pub async fn with(change: impl FnOnce(&mut SignalTransmitter)) -> Self {
        let key = Key::rsa();
        let issuer = Issuer::start(&[key.jwk("idp-1")]).await;
        let mut transmitter = transmitter(&issuer);
        change(&mut transmitter);
        let allow = vec![issuer.address.to_string()];
        let app = TestApp::builder()
            .config(move |config| {
                config.fetch.allow = allow;
                config.signals.receive = vec![transmitter];
            })
            .start()
            .await;
        app.secret("idp-push", SECRET).await;
        Self { app, issuer, key }
    }

    /// The claims of an event, made now.
    pub fn claims(&self, kind: &str, subject: Value, event: Value) -> Value {
        let now = self.app.time().now().seconds();
        json!({
            "iss": self.issuer.url(), "aud": AUDIENCE, "iat": now, "jti": format!("event-{}", unique()),
            "txn": "8675309", "sub_id": subject, "events": {kind: event},
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.key.sign(&json!({"typ": "secevent+jwt", "alg": self.key.alg(), "kid": "idp-1"}), claims)
    }

    pub async fn push(&self, token: &str) -> Answer {
        self.push_with(token, &format!("Bearer {SECRET}"), "application/secevent+jwt").await
    }

    pub async fn push_with(&self, token: &str, authorization: &str, kind: &str) -> Answer {
        let mut request = http::Request::post(self.app.at("/ssf/receive/idp")).header("content-type", kind);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let body = http_body_util::Full::new(token.to_owned().into_bytes().into());
        self.app.http().send(request.body(body).unwrap()).await
    }

    /// Pushes an event about somebody.
    pub async fn tell(&self, kind: &str, subject: Value, event: Value) {
        let answer = self.push(&self.sign(&self.claims(kind, subject, event))).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(answer.body.is_empty());
    }

    pub async fn person(&self, name: &str) -> Value {
        let people = self.app.admin("GET", "/v1/people", Value::Null).await.ok();
        people["items"].as_array().unwrap().iter().find(|person| person["name"] == name).cloned().unwrap_or_default()
    }

    pub async fn epoch(&self, name: &str) -> u64 {
        self.person(name).await["epoch"].as_u64().unwrap()
    }

    pub async fn findings(&self) -> Vec<String> {
        let found = self.app.admin("GET", "/v1/findings", Value::Null).await.ok();
        found["items"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
    }
}

/// A number that no other call gives.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One that pushes, with the usual settings.
pub fn transmitter(issuer: &Issuer) -> SignalTransmitter {
    let settings = json!({
        "name": "idp", "issuer": issuer.url(), "audience": AUDIENCE, "delivery": "push", "secret": "idp-push",
        "jwks_uri": format!("{}/openid/v1/jwks", issuer.url()),
    });
    let transmitter: SignalTransmitter = serde_json::from_value(settings).unwrap();
    assert_eq!(transmitter.delivery, Delivered::Push);
    transmitter
}

pub fn email(email: &str) -> Value {
    json!({"format": "email", "email": email})
}

#[tokio::test]
async fn an_event_of_an_identity_provider_ends_what_a_person_has_here() {
    let idp = Idp::with(|_| {}).await;
    let mut browser = Browser::of_person(&idp.app, MARA).await;
    assert!(browser.get("/sign-in").await.text().contains("You are signed in"));
    let before = idp.epoch(MARA).await;

    idp.tell(&format!("{CAEP}session-revoked"), email(MARA), json!({"reason_admin": {"en": "Landspeed"}})).await;
    assert_eq!(idp.epoch(MARA).await, before + 1, "what was opened in her name before is over");
    assert!(!browser.get("/sign-in").await.text().contains("You are signed in"), "her login is over");
    let log = idp.app.log().await;
    let entry = log.iter().rev().find(|entry| entry["change"] == "end person").unwrap();
    assert_eq!(entry["human"], "signal:idp", "{entry:#}");
    assert_eq!(entry["reason"], "Landspeed", "{entry:#}");

    let kinds = [
        (format!("{CAEP}credential-change"), json!({"credential_type": "password", "change_type": "update"}), 1),
        (format!("{CAEP}credential-change"), json!({"credential_type": "fido2-roaming", "change_type": "create"}), 0),
        (format!("{RISC}account-disabled"), json!({"reason": "hijacking"}), 1),
        (format!("{CAEP}risk-level-change"), json!({"principal": "USER", "current_level": "HIGH"}), 0),
        (format!("{CAEP}session-established"), json!({}), 0),
        ("https://example.com/event-type/new".to_owned(), json!({}), 0),
    ];
    for (kind, event, ended) in kinds {
        let before = idp.epoch(MARA).await;
        idp.tell(&kind, email(MARA), event.clone()).await;
        assert_eq!(idp.epoch(MARA).await, before + ended, "{kind} {event}");
    }
    assert_eq!(idp.findings().await, ["signals-risk"], "high risk is a finding, if nothing else is said");
}

#[tokio::test]
async fn settings_say_what_an_event_does() {
    let suspend = json!("suspend");
    let idp = Idp::with(|transmitter| {
        transmitter.account_disabled = serde_json::from_value(suspend).unwrap();
        transmitter.risk_high = serde_json::from_value(json!("end")).unwrap();
        transmitter.session_revoked = serde_json::from_value(json!("ignore")).unwrap();
        transmitter.emails = false;
    })
    .await;
    idp.app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    let id = idp.person(MARA).await["id"].clone();
    let ours = json!({"format": "iss_sub", "iss": idp.app.url(), "sub": id});
    idp.tell(&format!("{CAEP}session-revoked"), ours.clone(), json!({})).await;
    assert_eq!(idp.epoch(MARA).await, 1);
    idp.tell(&format!("{CAEP}risk-level-change"), email(MARA), json!({"current_level": "HIGH"})).await;
    assert_eq!(idp.epoch(MARA).await, 1, "it may not speak of e-mail addresses");
    idp.tell(&format!("{CAEP}risk-level-change"), ours.clone(), json!({"current_level": "MEDIUM"})).await;
    assert_eq!(idp.epoch(MARA).await, 1);
    idp.tell(&format!("{CAEP}risk-level-change"), ours.clone(), json!({"current_level": "HIGH"})).await;
    assert_eq!(idp.epoch(MARA).await, 2);
    idp.tell(&format!("{RISC}account-disabled"), ours, json!({})).await;
    assert_eq!(idp.person(MARA).await["state"], "suspended");
}

#[tokio::test]
async fn a_transmitter_speaks_of_its_own_accounts_only() {
    let idp = Idp::with(|transmitter| transmitter.critical = vec!["session".to_owned()]).await;
    idp.app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    let kind = format!("{CAEP}session-revoked");
    let nobody = [
        email("nobody@example.com"),
        json!({"format": "iss_sub", "iss": "https://other.example", "sub": "mara"}),
        json!({"format": "iss_sub", "iss": idp.issuer.url(), "sub": "mara"}),
        json!({"format": "opaque", "id": MARA}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "complex", "device": {"format": "opaque", "id": "d"}}),
        json!({"format": "complex", "user": email(MARA), "session": {"format": "opaque", "id": "s"}}),
        json!({"format": "complex", "user": {"format": "complex", "user": email(MARA)}}),
    ];
    for subject in nobody {
        idp.tell(&kind, subject.clone(), json!({})).await;
        assert_eq!(idp.epoch(MARA).await, 1, "{subject}");
    }
    idp.tell(
        &kind,
        json!({"format": "complex", "user": email(MARA), "device": {"format": "opaque", "id": "d"}}),
        json!({}),
    )
    .await;
    assert_eq!(idp.epoch(MARA).await, 2);
    idp.tell(&kind, json!({"format": "account", "uri": format!("acct:{MARA}")}), json!({})).await;
    assert_eq!(idp.epoch(MARA).await, 3);
    let entries = idp.app.log().await;
    let noted = entries.iter().filter(|entry| entry["change"] == "receive signal").count();
    assert_eq!(noted, 8, "what does nothing is an entry too");
}
