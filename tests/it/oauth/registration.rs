//! Clients that register themselves (RFC 7591): off unless configured, never without a code (attack class A8).

use std::sync::Arc;

use bytes::Bytes;
use chancery_authenticate::client::AgentKey;
use chancery_it::WallClock;
use chancery_model::Span;
use chancery_server::Registration;
use chancery_testkit::{Answer, Builder, TestApp};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::client::{CALLBACK, Flow, onward, with};
use super::document::{redeeming, refreshing};
use crate::gateway::peers::{command, directory, node, output};

fn open(builder: Builder) -> Builder {
    builder.config(|config| config.oauth.registration = Registration::InitialAccessToken)
}

async fn code(flow: &Flow) -> String {
    let made = flow.app.admin("POST", "/v1/agents/helper/registration-codes", json!({})).await.ok();
    assert_eq!(made["registration_endpoint"], flow.app.at("/oauth/register"));
    made["code"].as_str().unwrap().to_owned()
}

async fn register(app: &TestApp, authorization: &str, metadata: &Value) -> Answer {
    let mut request = Request::post(app.at("/oauth/register")).header("content-type", "application/json");
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    app.http().send(request.body(Full::new(Bytes::from(metadata.to_string()))).unwrap()).await
}

fn metadata() -> Value {
    json!({"redirect_uris": [CALLBACK], "client_name": "<b>Bank</b>", "token_endpoint_auth_method": "none"})
}

#[tokio::test]
async fn nobody_registers_unless_it_is_configured() {
    let flow = Flow::start().await;
    let answer = register(&flow.app, "Bearer chy-register-x", &metadata()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (403, &json!("access_denied")));
    let made = flow.app.admin("POST", "/v1/agents/helper/registration-codes", json!({})).await;
    assert_eq!(made.problem(403), "C1070");
    let said = flow.app.http().get(&flow.app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(said.get("registration_endpoint"), None);
}

#[tokio::test]
async fn a_registered_client_is_a_public_client_of_the_agent_its_code_names() {
    let mut flow = Flow::with(open(TestApp::builder())).await;
    let said = flow.app.http().get(&flow.app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(said["registration_endpoint"], flow.app.at("/oauth/register"));
    let answer = register(&flow.app, &format!("Bearer {}", code(&flow).await), &metadata()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let client = answer.json();
    assert_eq!((&client["token_endpoint_auth_method"], client.get("client_secret")), (&json!("none"), None));
    assert_eq!(client.get("client_name"), None, "what is not kept is not said to be registered");
    let id = client["client_id"].as_str().unwrap();

    let request = with(&flow.request(), &[("client_id", id)]);
    let page = flow.ask(&request).await.text();
    assert!(page.contains("helper") && page.contains("registered itself") && !page.contains("Bank"), "{page}");
    let odd = flow.ask(&with(&request, &[("redirect_uri", "https://app.example/other")])).await;
    assert!(odd.status == 400 && onward(&odd).is_empty(), "{}", odd.text());
    let code = flow.code(&request).await;
    let key = AgentKey::generate().unwrap();
    let post = async |flow: &Flow, key: Option<&AgentKey>, path: &str, form: &[(&str, &str)]| {
        flow.send(key, path, &with(&[], &[&[("client_id", id)], form].concat())).await
    };
    let without = post(&flow, None, "/oauth/token", &redeeming(&code)).await;
    assert_eq!(without.json()["error"], "invalid_dpop_proof");
    let tokens = post(&flow, Some(&key), "/oauth/token", &redeeming(&code)).await.ok();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let fresh = post(&flow, Some(&key), "/oauth/token", &refreshing(refresh)).await.ok();
    let token = fresh["access_token"].as_str().unwrap();
    assert!(flow.is_in_force_by(&key, token).await);
    let own = [("grant_type", "client_credentials"), ("resource", "https://x.example")];
    assert!(post(&flow, Some(&key), "/oauth/token", &own).await.status.is_client_error());
    assert_eq!(post(&flow, None, "/oauth/revoke", &[("token", token)]).await.status, 200);
    assert!(!flow.is_in_force_by(&key, token).await);

    let listed = flow.app.admin("GET", "/v1/agents/helper/clients", Value::Null).await.ok();
    let kinds: Vec<&str> = listed["items"].as_array().unwrap().iter().filter_map(|c| c["kind"].as_str()).collect();
    assert!(kinds.contains(&"dynamic"), "{listed}");
    let log = flow.app.log().await;
    assert!(log.iter().any(|entry| entry["change"] == "register client"), "{log:#?}");
    flow.app.admin("DELETE", &format!("/v1/clients?client_id={id}"), json!({"reason": "not ours"})).await.ok();
    assert!(flow.ask(&request).await.status.is_client_error());
}

#[tokio::test]
async fn a_registration_code_is_good_once_for_a_while_and_for_nothing_else() {
    let flow = Flow::with(open(TestApp::builder())).await;
    let enrolment = flow.app.admin("POST", "/v1/enrolments", json!({"agent": "helper"})).await.ok();
    let (first, second) = (code(&flow).await, code(&flow).await);
    for wrong in [
        String::new(),
        "Bearer ".to_owned(),
        "Bearer chy-register-x".to_owned(),
        format!("Basic {second}"),
        format!("Bearer {first}"),
        format!("Bearer {}", enrolment["code"].as_str().unwrap()),
    ] {
        let answer = register(&flow.app, &wrong, &metadata()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (401, &json!("invalid_token")), "{wrong}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let right = format!("Bearer {second}");
    for (change, error) in [
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://*.app.example/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://app.example/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://localhost/cb"], "application_type": "web"}), "invalid_redirect_uri"),
        (json!({"redirect_uris": [CALLBACK], "logo_uri": "javascript:alert(1)"}), "invalid_client_metadata"),
        (
            json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_basic"}),
            "invalid_client_metadata",
        ),
        (json!({"redirect_uris": [CALLBACK], "grant_types": ["client_credentials"]}), "invalid_client_metadata"),
        (json!("x"), "invalid_client_metadata"),
    ] {
        let answer = register(&flow.app, &right, &change).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!(error)), "{change}");
    }
    assert_eq!(register(&flow.app, &right, &metadata()).await.status, 201, "wrong metadata used the code up");
    assert_eq!(register(&flow.app, &right, &metadata()).await.status, 401, "it was used twice");

    let late = code(&flow).await;
    flow.app.clock().advance(Span::minutes(15));
    assert_eq!(register(&flow.app, &format!("Bearer {late}"), &metadata()).await.status, 401);

    let raced = format!("Bearer {}", code(&flow).await);
    let said = metadata();
    let (one, two) = tokio::join!(register(&flow.app, &raced, &said), register(&flow.app, &raced, &said));
    assert_eq!([one.status.as_u16(), two.status.as_u16()].iter().filter(|status| **status == 201).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth4webapi_registers_itself_once() {
    let Some(peers) = directory("oauth4webapi and registration") else { return };
    let flow = Flow::with(open(TestApp::builder().clock(Arc::new(WallClock)))).await;
    let given = json!({"issuer": flow.app.url(), "code": code(&flow).await, "metadata": metadata()});
    let mut command = command(&node(&peers), &peers, &["registration.mjs"]);
    command.env("GIVEN", given.to_string());
    let output = output(command).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(said["client"]["redirect_uris"], json!([CALLBACK]), "{said:#}");
    assert_eq!(said["again"], 401, "{said:#}");
}
