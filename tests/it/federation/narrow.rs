//! What is not exactly what a trust source states is refused.

use chancery_authenticate::jose::encode;
use chancery_testkit::{HttpUpstream, TestApp};
use serde_json::{Value, json};

use super::issuer::{Issuer, Key, Workload, cluster, github, kubernetes, server, workflow};

#[tokio::test]
async fn a_wildcard_is_refused_with_what_to_write_instead() {
    let app = TestApp::start().await;
    app.register("robot", "agent").await;
    let refused = |source: Value| {
        let app = &app;
        async move {
            let answer = app.admin("POST", "/v1/trust-sources", source).await;
            assert_eq!(answer.problem(422), "C1043");
            answer.json()["detail"].as_str().unwrap().to_owned()
        }
    };
    let mut source = cluster("https://issuer.example");
    source["subject"] = "system:serviceaccount:pay:*".into();
    let why = refused(source).await;
    assert!(why.contains('*') && why.contains("write `system:serviceaccount:NAMESPACE:NAME`"), "{why}");
    let mut source = workflow("https://issuer.example");
    source["subject"] = "repo:acme/*".into();
    let why = refused(source).await;
    assert!(why.contains("write `repo:OWNER/REPOSITORY:ref:refs/heads/BRANCH`"), "{why}");
    let mut source = workflow("https://issuer.example");
    source["claims"] = json!({"repository": "acme/app"});
    assert!(refused(source).await.contains("environment=NAME"));
    let mut source = cluster("https://issuer.example");
    source["jwks"] = json!({"keys": [{"kty": "oct", "k": "AAAA"}]});
    assert!(refused(source).await.contains("no key in it can be used"));
    assert_eq!(app.admin("GET", "/v1/trust-sources", Value::Null).await.ok()["items"], json!([]));
}

/// A change to what is signed, and a word of the refusal that it must bring.
type Change = (&'static str, fn(&mut Value, &mut Value), &'static str);

const NARROW: &[Change] = &[
    ("another audience", |_, c| c["aud"] = json!("https://other.example"), "`aud`"),
    ("the audience with a slash", |_, c| c["aud"] = json!(format!("{}/", c["aud"][0].as_str().unwrap())), "`aud`"),
    ("us and others", |_, c| c["aud"] = json!([c["aud"][0], "https://other.example"]), "`aud`"),
    ("no audience", |_, c| drop(c.as_object_mut().unwrap().remove("aud")), "`aud`"),
    ("another subject", |_, c| c["sub"] = json!("system:serviceaccount:pay:other"), "subject"),
    ("a longer subject", |_, c| c["sub"] = json!("system:serviceaccount:pay:robot2"), "subject"),
    ("the subject in capitals", |_, c| c["sub"] = json!("system:serviceaccount:PAY:robot"), "subject"),
    ("a list of subjects", |_, c| c["sub"] = json!(["system:serviceaccount:pay:robot"]), "`sub`"),
    ("another namespace", |_, c| c["kubernetes.io"]["namespace"] = json!("other"), "claim"),
    ("no service account", |_, c| c["kubernetes.io"]["serviceaccount"] = json!({}), "claim"),
    ("a claim that is two", |_, c| c["kubernetes.io/namespace"] = json!("pay"), "claim"),
    ("another issuer", |_, c| c["iss"] = json!("https://other.example"), "issuer"),
    ("the issuer with a slash", |_, c| c["iss"] = json!(format!("{}/", c["iss"].as_str().unwrap())), "issuer"),
    ("expired", |_, c| c["exp"] = json!(c["iat"].as_i64().unwrap() - 40), "expired"),
    ("no end", |_, c| drop(c.as_object_mut().unwrap().remove("exp")), "`exp`"),
    ("an end as text", |_, c| c["exp"] = json!(c["exp"].to_string()), "`exp`"),
    ("not yet", |_, c| c["nbf"] = json!(c["iat"].as_i64().unwrap() + 60), "`nbf`"),
    ("made tomorrow", |_, c| c["iat"] = json!(c["iat"].as_i64().unwrap() + 60), "future"),
    ("good for a year", |_, c| c["exp"] = json!(c["iat"].as_i64().unwrap() + 31_536_000), "24 hours"),
    ("an access token", |h, _| h["typ"] = json!("at+jwt"), "`typ`"),
    ("a logout token", |h, _| h["typ"] = json!("logout+jwt"), "`typ`"),
    ("a key of its own", |h, _| h["jwk"] = Key::ec().jwk("k1"), "jwk"),
    ("keys from elsewhere", |h, _| h["jku"] = json!("https://evil.example/keys"), "jku"),
    ("a certificate from elsewhere", |h, _| h["x5u"] = json!("https://evil.example/cert"), "x5u"),
    ("an unknown key", |h, _| h["kid"] = json!("k2"), "keys"),
    ("no key of several", |h, _| drop(h.as_object_mut().unwrap().remove("kid")), "keys"),
    ("another algorithm", |h, _| h["alg"] = json!("ES256"), "keys"),
    ("no algorithm", |h, _| h["alg"] = json!("none"), "keys"),
    ("a shared secret", |h, _| h["alg"] = json!("HS256"), "keys"),
];

#[tokio::test]
async fn every_other_token_is_refused() {
    let (upstream, key, second) = (HttpUpstream::start().await, Key::rsa(), Key::rsa());
    let issuer = Issuer::start(&[key.jwk("k1"), second.jwk("k9")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let pod = Workload::new(&app);
    for (name, change, word) in NARROW {
        let (mut header, mut claims) = (json!({"alg": "RS256", "kid": "k1"}), kubernetes(&app, issuer.url()));
        change(&mut header, &mut claims);
        let answer = pod.log_in(&key.sign(&header, &claims)).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (400, Some("invalid_grant")), "{name}");
        let why = answer.json()["error_description"].as_str().unwrap().to_owned();
        assert!(why.contains(word), "{name}: {why}");
    }
    let claims = kubernetes(&app, issuer.url());
    let good = key.sign(&json!({"alg": "RS256", "kid": "k1"}), &claims);
    let (signed, _) = good.rsplit_once('.').unwrap();
    let other = second.sign(&json!({"alg": "RS256", "kid": "k1"}), &claims);
    for forged in [format!("{signed}.{}", encode(b"x")), format!("{signed}."), other, format!("{good}x")] {
        assert_eq!(pod.log_in(&forged).await.status, 400, "{forged}");
    }
    let as_client = pod.authenticate(&key.sign(&json!({"alg": "RS256", "kid": "k2"}), &claims)).await;
    assert_eq!((as_client.status.as_u16(), as_client.json()["error"].as_str()), (401, Some("invalid_client")));
    assert!(pod.log_in(&good).await.status.is_success(), "nothing was wrong with the rest of it");
}

/// A word of the refusal, and the change to a workflow's claims that must bring it.
type Workflow = (&'static str, fn(&mut Value));

#[tokio::test]
async fn a_pull_request_is_not_its_target_branch() {
    let (upstream, key) = (HttpUpstream::start().await, Key::rsa());
    let issuer = Issuer::start(&[key.jwk("g1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", workflow(issuer.url())).await.ok();
    let run = Workload::new(&app);
    let cases: [Workflow; 6] = [
        ("pull_request", |c| c["event_name"] = json!("pull_request_target")),
        ("event_name", |c| drop(c.as_object_mut().unwrap().remove("event_name"))),
        ("claim", |c| c["repository"] = json!("acme/app2")),
        ("claim", |c| c["ref"] = json!("refs/heads/main2")),
        ("20 minutes", |c| c["exp"] = json!(c["iat"].as_i64().unwrap() + 7_200)),
        ("jti", |c| c["jti"] = json!("")),
    ];
    for (word, change) in cases {
        let mut claims = github(&app, issuer.url());
        change(&mut claims);
        let answer = run.log_in(&key.sign(&json!({"typ": "JWT", "alg": "RS256", "kid": "g1"}), &claims)).await;
        let why = answer.json()["error_description"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains(word), "{word}: {}", answer.text());
    }
    let good = key.sign(&json!({"typ": "JWT", "alg": "RS256", "kid": "g1"}), &github(&app, issuer.url()));
    assert!(run.log_in(&good).await.status.is_success());
}

#[tokio::test]
async fn a_login_needs_a_proof_and_no_other_authentication() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.register("other", "agent").await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let projected = key.sign(&json!({"alg": "ES256", "kid": "k1"}), &kubernetes(&app, issuer.url()));
    let resource = app.at("/mcp/crm");
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", projected.as_str()),
        ("resource", resource.as_str()),
    ];
    let pod = Workload::new(&app);
    let with = |pair: (&'static str, &'static str)| [&form[..], &[pair]].concat();
    assert_eq!(pod.ask(&with(("client_secret", "x"))).await.json()["error"], "invalid_request");
    assert_eq!(pod.ask(&with(("client_id", "other"))).await.json()["error"], "invalid_grant");
    assert!(pod.ask(&with(("client_id", "robot"))).await.status.is_success());
    let bare = http::Request::post(app.at("/oauth/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(http_body_util::Full::new(
            format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={projected}&resource={resource}")
                .into(),
        ))
        .unwrap();
    assert_eq!(app.http().send(bare).await.json()["error"], "invalid_dpop_proof");
}
