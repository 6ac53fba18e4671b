//! Logging in with JWT-SVIDs: of our own trust domain, of another server's, and every one that is none.

use chancery_model::Span;
use chancery_server::{SocketMode, Spiffe, Workload as Mapped};
use chancery_testkit::{Answer, Builder, HttpUpstream, TestApp};
use serde_json::{Value, json};

use super::{DOMAIN, own_uid};
use crate::federation::issuer::{Key, Workload, token};

const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const ROBOT: &str = "spiffe://acme.example/agent/robot";

/// A server with a trust domain whose socket takes us for agent `robot`, which has no key of its own.
pub struct House {
    pub app: TestApp,
    socket: std::path::PathBuf,
    _place: tempfile::TempDir,
}

impl House {
    /// `domain` is its trust domain, `copy` what the configuration calls the running copy.
    pub async fn open(builder: Builder, domain: &str, copy: Option<&str>) -> Self {
        let (place, spiffe) = mapped(domain, copy);
        let socket = spiffe.workload_socket.clone().unwrap();
        let app = builder.config(|config| config.spiffe = Some(spiffe)).start().await;
        app.register("robot", "agent").await;
        Self { app, socket, _place: place }
    }

    /// A JWT-SVID of `robot`, as its Workload API gives it to anybody who runs under our user id.
    pub async fn svid(&self, audience: &[&str]) -> String {
        let svid = client(&self.socket).await.fetch_jwt_svid(audience, None).await.unwrap();
        svid.token().to_owned()
    }
}

/// A trust domain that maps our user id to `robot`, and the directory its socket is in.
pub fn mapped(domain: &str, copy: Option<&str>) -> (tempfile::TempDir, Spiffe) {
    let place = tempfile::Builder::new().prefix("spiffe-").tempdir().expect("a directory");
    let workload = Mapped { uid: own_uid(place.path()), agent: "robot".to_owned(), instance: copy.map(str::to_owned) };
    let spiffe = Spiffe {
        trust_domain: domain.to_owned(),
        workload_socket: Some(place.path().join("workload.sock")),
        workload_socket_mode: SocketMode::Owner,
        workloads: vec![workload],
    };
    (place, spiffe)
}

pub async fn client(socket: &std::path::Path) -> spiffe::WorkloadApiClient {
    spiffe::WorkloadApiClient::connect_to(format!("unix:{}", socket.display())).await.expect("the socket")
}

async fn as_client(workload: &Workload<'_>, app: &TestApp, svid: &str, client_id: Option<&str>) -> Answer {
    let resource = app.at("/mcp/crm");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_SPIFFE),
        ("client_assertion", svid),
        ("resource", &resource),
    ];
    let id: Vec<_> = client_id.map(|id| ("client_id", id)).into_iter().collect();
    workload.ask(&[&form[..], &id[..]].concat()).await
}

fn why(answer: &Answer) -> String {
    answer.json()["error_description"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_local_workload_logs_in_with_the_svid_of_its_socket_and_calls_a_tool() {
    let upstream = HttpUpstream::start().await;
    let house = House::open(TestApp::builder().http("crm", &upstream), DOMAIN, Some("blue")).await;
    let app = &house.app;
    app.grant("robot", "crm").await;
    let process = Workload::new(app);
    let early = house.svid(&[app.url()]).await;
    let refused = as_client(&process, app, &early, None).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (401, Some("invalid_client")));
    assert!(why(&refused).contains("no trust source"), "an SVID alone is nobody here: {}", refused.text());

    let subject = format!("{ROBOT}/blue");
    let source = json!({"name": "local", "kind": "spiffe_jwt", "agent": "robot", "subject": subject});
    let added = app.admin("POST", "/v1/trust-sources", source).await.ok();
    assert_eq!((&added["keys"], &added["issuer"]), (&json!("own"), &json!("spiffe://acme.example")));
    assert_eq!(added["audience"], app.url());

    let answer = as_client(&process, app, &house.svid(&[app.url()]).await, Some(&subject)).await;
    assert_eq!(answer.ok()["token_type"], "DPoP");
    let called = process.call(&token(&answer)).await.ok();
    assert!(called.to_string().contains("hello"), "{called}");
    assert!(process.log_in(&house.svid(&[app.url()]).await).await.status.is_success(), "as a grant too");
    let sessions = app.admin("GET", "/v1/sessions", Value::Null).await.ok();
    assert_eq!(sessions["items"][0]["instance"], "blue", "{sessions:#}");
    let log = app.log().await;
    let opened = log.iter().find(|entry| entry.to_string().contains("trust source `local`")).expect("an entry");
    assert!(opened.to_string().contains(&subject), "{opened:#}");

    // What was stopped stays out with every SVID that it still has.
    let held = house.svid(&[app.url()]).await;
    app.admin("POST", "/v1/agents/robot/suspend", json!({"reason": "odd"})).await.ok();
    assert_eq!(process.call(&token(&answer)).await.status, 401);
    assert_eq!(as_client(&process, app, &held, None).await.status, 401);
    app.admin("POST", "/v1/agents/robot/resume", json!({"reason": "fine"})).await.ok();
    let again = as_client(&process, app, &house.svid(&[app.url()]).await, None).await;
    assert!(process.call(&token(&again)).await.status.is_success());
    app.admin("DELETE", "/v1/trust-sources/local?reason=moved", Value::Null).await.ok();
    assert_eq!(process.call(&token(&again)).await.status, 401, "its session ended with the source");
    assert_eq!(as_client(&process, app, &house.svid(&[app.url()]).await, None).await.status, 401);
}

#[tokio::test]
async fn a_workload_of_another_trust_domain_logs_in_by_the_bundle_of_its_endpoint() {
    let upstream = HttpUpstream::start().await;
    let other = House::open(TestApp::builder(), "mesh.example", None).await;
    let allow = vec![other.app.app().address().to_string()];
    let builder = TestApp::builder().http("crm", &upstream).config(|config| config.fetch.allow = allow);
    let house = House::open(builder, DOMAIN, None).await;
    let app = &house.app;
    app.grant("robot", "crm").await;
    let process = Workload::new(app);
    let source = |name: &str, subject: &str, endpoint: &str| json!({"name": name, "kind": "spiffe_jwt", "agent": "robot", "subject": subject, "jwks_uri": endpoint});
    let endpoint = other.app.at("/spiffe/bundle.json");
    let mesh = source("mesh", "spiffe://mesh.example/agent/robot", &endpoint);
    app.admin("POST", "/v1/trust-sources", mesh).await.ok();
    let answer = as_client(&process, app, &other.svid(&[app.url()]).await, Some("robot")).await;
    assert!(process.call(&token(&answer)).await.ok().to_string().contains("hello"));
    let own = as_client(&process, app, &house.svid(&[app.url()]).await, None).await;
    assert_eq!(own.status, 401, "the name is the same, the trust domain another one: {}", own.text());

    // Keys turn over weekly. The new ones are found when they are needed.
    for clock in [app.clock(), other.app.clock()] {
        clock.advance(Span::days(8));
    }
    let answer = as_client(&process, app, &other.svid(&[app.url()]).await, None).await;
    assert!(answer.status.is_success(), "{}", answer.text());

    // The bundle of one trust domain says nothing of another, wherever it is.
    app.admin("POST", "/v1/trust-sources", source("swapped", "spiffe://evil.example/agent/robot", &endpoint))
        .await
        .ok();
    let evil = House::open(TestApp::builder(), "evil.example", None).await;
    evil.app.clock().advance(Span::days(8));
    let refused = as_client(&process, app, &evil.svid(&[app.url()]).await, None).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    // Nobody answers at its endpoint: nothing is let in, and nothing is blamed on the workload.
    other.app.stop().await;
    app.clock().advance(Span::minutes(16));
    let unsigned = forged(app, &Key::ec(), &json!({"sub": "spiffe://mesh.example/agent/robot"}));
    let late = as_client(&process, app, &unsigned, None).await;
    assert_eq!((late.status.as_u16(), late.json()["error"].as_str()), (503, Some("temporarily_unavailable")));
}

/// A JWT-SVID of `robot` with these changes, signed with this key as `k1`.
fn forged(app: &TestApp, key: &Key, changes: &Value) -> String {
    let now = app.time().now().seconds();
    let mut claims = json!({"sub": ROBOT, "aud": [app.url()], "iat": now, "exp": now + 300, "jti": format!("j{now}")});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key.sign(&json!({"alg": key.alg(), "kid": "k1", "typ": "JWT"}), &claims)
}

/// A server that knows `robot` by stated keys of another trust domain, and the key of these.
async fn stated(upstream: &HttpUpstream) -> (TestApp, Key) {
    let key = Key::ec();
    let mut jwk = key.jwk("k1");
    jwk["use"] = "jwt-svid".into();
    let app = TestApp::builder().http("crm", upstream).start().await;
    app.register("robot", "agent").await;
    let source = json!({
        "name": "stated", "kind": "spiffe_jwt", "agent": "robot", "subject": ROBOT, "claims": {"team": "pay"},
        "jwks": {"keys": [jwk], "spiffe_sequence": 1},
    });
    app.admin("POST", "/v1/trust-sources", source).await.ok();
    (app, key)
}

#[tokio::test]
async fn every_other_svid_is_refused() {
    let upstream = HttpUpstream::start().await;
    let (app, key) = stated(&upstream).await;
    let now = app.time().now().seconds();
    let url = app.url().to_owned();
    let process = Workload::new(&app);
    let team = |mut changes: Value| {
        changes["team"] = changes.get("team").cloned().unwrap_or(json!("pay"));
        changes
    };
    for (what, changes, word) in [
        ("another audience", json!({"aud": ["https://other.example"]}), "`aud`"),
        ("our address with a slash", json!({"aud": [format!("{url}/")]}), "`aud`"),
        ("the token endpoint", json!({"aud": [format!("{url}/oauth/token")]}), "`aud`"),
        ("us and others", json!({"aud": [url, "https://other.example"]}), "`aud`"),
        ("no audience", json!({"aud": null}), "aud"),
        ("expired", json!({"exp": now}), "expired"),
        ("no end", json!({"exp": null}), "exp"),
        ("good for a day", json!({"exp": now + 86_400}), "an hour"),
        ("not yet", json!({"nbf": now + 60}), "future"),
        ("made tomorrow", json!({"iat": now + 86_400, "exp": now + 86_500}), "future"),
        ("another workload", json!({"sub": "spiffe://acme.example/agent/other"}), "no trust source"),
        ("a longer id", json!({"sub": format!("{ROBOT}/a")}), "no trust source"),
        ("a shorter id", json!({"sub": "spiffe://acme.example/agent"}), "no trust source"),
        ("another trust domain", json!({"sub": "spiffe://acme.example.evil/agent/robot"}), "no trust source"),
        ("the trust domain itself", json!({"sub": "spiffe://acme.example"}), "no workload"),
        ("no SPIFFE ID", json!({"sub": "robot"}), "SPIFFE ID"),
        ("another spelling", json!({"sub": "spiffe://acme.example/agent/../agent/robot"}), "SPIFFE ID"),
        ("another claim", json!({"team": "ops"}), "claim"),
        ("no moment", json!({"iat": null}), "`iat`"),
    ] {
        let answer = as_client(&process, &app, &forged(&app, &key, &team(changes)), None).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (401, Some("invalid_client")), "{what}");
        assert!(why(&answer).contains(word), "{what}: {}", answer.text());
    }
    let claims = json!({"sub": ROBOT, "aud": [url], "iat": now, "exp": now + 300, "team": "pay"});
    for (what, header) in [
        ("an access token", json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"})),
        ("no name of a key", json!({"alg": "ES256"})),
        ("an unknown key", json!({"alg": "ES256", "kid": "k2"})),
        ("no algorithm", json!({"alg": "none", "kid": "k1"})),
        ("a key of its own", json!({"alg": "ES256", "kid": "k1", "jwk": key.jwk("k1")})),
    ] {
        let answer = as_client(&process, &app, &key.sign(&header, &claims), None).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    }
    let other = as_client(&process, &app, &forged(&app, &Key::ec(), &team(json!({}))), None).await;
    assert_eq!(other.status, 401, "another key of that name");
    app.register("other", "agent").await;
    for id in ["other", "spiffe://acme.example/agent/other"] {
        let answer = as_client(&process, &app, &forged(&app, &key, &team(json!({}))), Some(id)).await;
        assert_eq!(answer.status, 401, "{id}: {}", answer.text());
    }
    let good = as_client(&process, &app, &forged(&app, &key, &team(json!({}))), Some(ROBOT)).await;
    assert!(good.status.is_success(), "nothing was wrong with the rest of it: {}", good.text());
}

#[tokio::test]
async fn an_svid_with_a_name_logs_in_once_and_one_without_until_it_expires() {
    let upstream = HttpUpstream::start().await;
    let (app, key) = stated(&upstream).await;
    let process = Workload::new(&app);
    let named = forged(&app, &key, &json!({"team": "pay"}));
    assert!(as_client(&process, &app, &named, None).await.status.is_success());
    for again in [as_client(&process, &app, &named, None).await, Workload::new(&app).log_in(&named).await] {
        assert!(why(&again).contains("used before"), "{}", again.text());
    }
    let nameless = forged(&app, &key, &json!({"team": "pay", "jti": null}));
    assert!(as_client(&process, &app, &nameless, None).await.status.is_success());
    assert!(as_client(&process, &app, &nameless, None).await.status.is_success());
    app.clock().advance(Span::seconds(301));
    assert!(why(&as_client(&process, &app, &nameless, None).await).contains("expired"));
}

#[tokio::test]
async fn an_svid_needs_a_proof_and_is_not_taken_for_another_assertion() {
    let upstream = HttpUpstream::start().await;
    let (app, key) = stated(&upstream).await;
    let (process, resource) = (Workload::new(&app), app.at("/mcp/crm"));
    let svid = || forged(&app, &key, &json!({"team": "pay", "jti": null}));
    let bearer = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &svid()),
        ("resource", &resource),
    ];
    assert_eq!(process.ask(&bearer).await.status, 401, "an SVID has an assertion type of its own");
    let form = format!(
        "grant_type=client_credentials&client_assertion_type={JWT_SPIFFE}&client_assertion={}&resource={resource}",
        svid()
    );
    let bare = http::Request::post(app.at("/oauth/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(http_body_util::Full::new(form.into()))
        .unwrap();
    assert_eq!(app.http().send(bare).await.json()["error"], "invalid_dpop_proof");
    let metadata = app.http().get(&app.at("/.well-known/oauth-authorization-server")).await.ok();
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(methods.contains(&json!("spiffe_jwt")) && !methods.contains(&json!("spiffe_x509")), "{methods:?}");
}
