//! Two of our servers: what one transmits the other acts on, pushed and polled.

use chancery_server::{SignalReceiver, SignalTransmitter};
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::receiver::MARA;
use super::streams::{PUSH, all_kinds, ask};

const AUDIENCE: &str = "urn:acme:branch";
const SECRET: &str = "what-both-know";

async fn head_office() -> TestApp {
    TestApp::builder()
        .config(|config| {
            config.fetch.allow = vec!["127.0.0.1:*".to_owned()];
            let audience = Some(AUDIENCE.to_owned());
            config.signals.transmit = vec![SignalReceiver { receiver: "branch".to_owned(), audience }];
        })
        .start()
        .await
}

async fn branch(settings: Value) -> TestApp {
    let transmitter: SignalTransmitter = serde_json::from_value(settings).unwrap();
    let app = TestApp::builder()
        .config(move |config| {
            config.fetch.allow = vec!["127.0.0.1:*".to_owned()];
            config.signals.receive = vec![transmitter];
        })
        .start()
        .await;
    app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    app
}

/// Waits until everything of hers ended at the branch.
async fn ended(branch: &TestApp) {
    for _ in 0..400 {
        let people = branch.admin("GET", "/v1/people", Value::Null).await.ok();
        if people["items"][0]["epoch"] == 2 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("nothing ended: {:#?}", branch.log().await);
}

#[tokio::test]
async fn what_one_server_pushes_the_other_acts_on() {
    let head = head_office().await;
    let branch = branch(json!({
        "name": "head", "issuer": head.url(), "audience": AUDIENCE, "delivery": "push", "secret": "head",
    }))
    .await;
    branch.secret("head", SECRET).await;
    let account = head.service_account("branch").await;
    let stream = json!({"events_requested": all_kinds(), "delivery": {
        "method": PUSH, "endpoint_url": branch.at("/ssf/receive/head"), "authorization_header": format!("Bearer {SECRET}"),
    }});
    let stream = ask(&head, &account, "POST", "/streams", stream).await.ok();
    ask(&head, &account, "POST", "/verify", json!({"stream_id": stream["stream_id"], "state": "hello"})).await;
    head.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    head.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left the company"})).await.ok();
    ended(&branch).await;
    let log = branch.log().await;
    let entry = log.iter().rev().find(|entry| entry["human"] == "signal:head" && entry["change"] == "end person");
    assert!(entry.unwrap()["reason"].as_str().unwrap().contains("left the company"), "{entry:#?}");
}

#[tokio::test]
async fn what_one_server_has_waiting_the_other_fetches() {
    let head = head_office().await;
    head.register("branch", "service_account").await;
    let made = head.admin("POST", "/v1/agents/branch/secrets", json!({"reason": "a test"})).await.ok();
    head.admin("POST", "/v1/agents/branch/bearer", json!({"allow": true, "reason": "a test"})).await.ok();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let token = token(&head, &secret).await;
    let header = format!("Bearer {token}");
    let stream = json!({"events_requested": all_kinds()});
    let stream = head.http().post(&head.at("/ssf/streams"), &[("authorization", &header)], &stream).await.ok();
    let branch = branch(json!({
        "name": "head", "issuer": head.url(), "audience": AUDIENCE, "delivery": "poll", "secret": "head",
        "endpoint": stream["delivery"]["endpoint_url"], "token_endpoint": head.at("/oauth/token"), "client_id": "branch",
        "every_seconds": 1,
    }))
    .await;
    branch.secret("head", &secret).await;
    head.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    head.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left"})).await.ok();
    ended(&branch).await;
    // It was acknowledged: nothing waits any more.
    let path = stream["delivery"]["endpoint_url"].as_str().unwrap().to_owned();
    for _ in 0..200 {
        let asked = json!({"returnImmediately": true});
        let answer = head.http().post(&path, &[("authorization", &header)], &asked).await.ok();
        if answer["sets"] == json!({}) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("it is still there");
}

/// A bearer token of this service account, asked for by scope alone.
async fn token(head: &TestApp, secret: &str) -> String {
    let form = format!("grant_type=client_credentials&scope=ssf.manage&client_id=branch&client_secret={secret}");
    let request = http::Request::post(head.at("/oauth/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(http_body_util::Full::new(form.into()))
        .unwrap();
    let answer = head.http().send(request).await.ok();
    assert_eq!(answer["scope"], "ssf.manage");
    answer["access_token"].as_str().unwrap().to_owned()
}
