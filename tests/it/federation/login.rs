//! A workload gets a token and calls a tool, without any secret.

use chancery_testkit::HttpUpstream;
use serde_json::{Value, json};

use super::issuer::{Issuer, Key, Workload, cluster, github, kubernetes, server, token, workflow};

#[tokio::test]
async fn a_pod_logs_in_with_its_projected_token_and_calls_a_tool() {
    let (upstream, key) = (HttpUpstream::start().await, Key::rsa());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    // As a cluster writes it: no `typ`.
    let projected = key.sign(&json!({"alg": "RS256", "kid": "k1"}), &kubernetes(&app, issuer.url()));
    let pod = Workload::new(&app);
    let answer = pod.log_in(&projected).await;
    assert_eq!(answer.ok()["token_type"], "DPoP");
    let called = pod.call(&token(&answer)).await.ok();
    assert!(called.to_string().contains("hello"), "{called}");
    // The token in the pod's file is good until it expires, for every login.
    assert!(pod.authenticate(&projected).await.ok()["access_token"].is_string());
    let thief = Workload::new(&app);
    assert_eq!(thief.call(&token(&answer)).await.status, 401, "the access token is bound to the pod's key");

    let opened: Vec<Value> =
        app.log().await.into_iter().filter(|e| e.to_string().contains("trust source `cluster`")).collect();
    assert_eq!(opened.len(), 2, "{opened:#?}");
    let text = opened[0].to_string();
    assert!(text.contains(issuer.url()) && text.contains("system:serviceaccount:pay:robot"), "{text}");
    let sessions = app.admin("GET", "/v1/sessions", Value::Null).await.ok().to_string();
    assert!(sessions.contains("robot-7d4b9c8f6-x2x7q"), "{sessions}");
}

#[tokio::test]
async fn a_workflow_logs_in_once_with_its_token() {
    let (upstream, key) = (HttpUpstream::start().await, Key::rsa());
    let issuer = Issuer::start(&[key.jwk("g1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    let added = app.admin("POST", "/v1/trust-sources", workflow(issuer.url())).await.ok();
    assert_eq!(added["subject"], "repo:acme/app:ref:refs/heads/main");
    let written =
        key.sign(&json!({"typ": "JWT", "alg": "RS256", "kid": "g1", "x5t": "eA"}), &github(&app, issuer.url()));
    let run = Workload::new(&app);
    let answer = run.authenticate(&written).await;
    assert!(run.call(&token(&answer)).await.ok().to_string().contains("hello"));
    for again in [run.log_in(&written).await, Workload::new(&app).authenticate(&written).await] {
        assert!(again.json()["error_description"].as_str().unwrap().contains("used before"), "{}", again.text());
    }
}

#[tokio::test]
async fn any_issuer_with_stated_keys_is_never_asked() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let app = server(&upstream, &[]).await;
    let source = json!({
        "name": "inside", "kind": "oidc", "agent": "robot", "issuer": "https://kubernetes.default.svc.cluster.local",
        "subject": "batch-7", "audience": "chancery", "jwks": {"keys": [key.jwk("s1")]},
        "claims": {"team": "pay", "level": "2"},
    });
    app.admin("POST", "/v1/trust-sources", source).await.ok();
    let now = app.time().now().seconds();
    let claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local", "sub": "batch-7", "aud": "chancery", "iat": now, "exp": now + 60,
        "team": "pay", "level": 2,
    });
    let job = Workload::new(&app);
    let answer = job.log_in(&key.sign(&json!({"alg": "ES256", "kid": "s1"}), &claims)).await;
    assert!(job.call(&token(&answer)).await.ok().to_string().contains("hello"));
}

#[tokio::test]
async fn removing_a_source_ends_its_sessions_at_once() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let projected = key.sign(&json!({"alg": "ES256", "kid": "k1"}), &kubernetes(&app, issuer.url()));
    let pod = Workload::new(&app);
    let token = token(&pod.log_in(&projected).await);
    assert!(pod.call(&token).await.status.is_success());
    app.admin("DELETE", "/v1/trust-sources/cluster?reason=moved", Value::Null).await.ok();
    assert_eq!(pod.call(&token).await.status, 401);
    let refused = pod.log_in(&projected).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (400, Some("invalid_grant")));
    let agent = app.admin("GET", "/v1/agents/robot", Value::Null).await.ok();
    assert_eq!(agent["state"], "registered", "it has no other way to log in");
    assert_eq!(app.admin("DELETE", "/v1/trust-sources/cluster", Value::Null).await.problem(404), "C1044");
}

#[tokio::test]
async fn a_suspended_agent_is_not_logged_in() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let projected = key.sign(&json!({"alg": "ES256", "kid": "k1"}), &kubernetes(&app, issuer.url()));
    app.admin("POST", "/v1/agents/robot/suspend", json!({"reason": "odd"})).await.ok();
    assert_eq!(Workload::new(&app).log_in(&projected).await.status, 400);
    app.admin("POST", "/v1/agents/robot/resume", json!({"reason": "fine"})).await.ok();
    assert!(Workload::new(&app).log_in(&projected).await.status.is_success());
}

#[tokio::test]
async fn sources_survive_a_restart() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    let source = json!({"audience": "chancery"});
    let mut wanted = cluster(issuer.url());
    wanted["audience"] = source["audience"].clone();
    app.admin("POST", "/v1/trust-sources", wanted).await.ok();
    let app = app.restart().await;
    let mut claims = kubernetes(&app, issuer.url());
    claims["aud"] = json!(["chancery"]);
    let projected = key.sign(&json!({"alg": "ES256", "kid": "k1"}), &claims);
    assert!(Workload::new(&app).log_in(&projected).await.status.is_success());
}
