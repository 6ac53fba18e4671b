//! Pushed authorization requests (RFC 9126).

use chancery_authenticate::client::AgentKey;
use chancery_model::Span;
use chancery_testkit::TestApp;

use super::client::{CHALLENGE, CODE, Flow, Pairs, VERIFIER, onward, parameters, with};

async fn push(flow: &Flow, request: &Pairs) -> chancery_testkit::Answer {
    let form: Vec<(&str, &str)> = request.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    flow.post("/oauth/par", &form).await
}

fn by_reference(uri: &str) -> Pairs {
    with(&[], &[("client_id", "helper"), ("request_uri", uri)])
}

#[tokio::test]
async fn a_pushed_request_is_answered_once() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let pushed = push(&flow, &request).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    assert_eq!(pushed.json()["expires_in"], 60);
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"), "{uri}");
    let asked = by_reference(&uri);
    let page = flow.ask(&asked).await;
    assert_eq!(page.status, 200);
    assert_eq!(flow.ask(&asked).await.status, 200, "looking does not use it up");
    let said = parameters(&onward(&flow.press(&page, "allow").await));
    assert_eq!(said["state"], "a b&c=d");
    let second = flow.press(&page, "allow").await;
    assert!(second.status == 400 && onward(&second).is_empty(), "it was answered twice: {}", second.text());

    // What came over the client's own connection is bound to the key of its proof.
    let code = said["code"].as_str().unwrap();
    let form = [("grant_type", CODE), ("code", code), ("code_verifier", VERIFIER)];
    let other = flow.post_by(&AgentKey::generate().unwrap(), "/oauth/token", &form).await;
    assert_eq!(other.json()["error"], "invalid_grant");
    flow.redeem(code).await.ok();
}

#[tokio::test]
async fn what_is_pushed_is_judged_at_once() {
    let flow = Flow::start().await;
    let request = flow.request();
    for (changes, error) in [
        (&[("redirect_uri", "https://evil.example/cb")][..], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("resource", "https://evil.example")], "invalid_target"),
        (&[("request_uri", "urn:x")], "invalid_request"),
        (&[("dpop_jkt", CHALLENGE)], "invalid_request"),
    ] {
        let answer = push(&flow, &with(&request, changes)).await;
        assert_eq!(answer.json()["error"], error, "{changes:?}: {}", answer.text());
    }
    let anonymous = flow.send(None, "/oauth/par", &request).await;
    assert_eq!(anonymous.json()["error"], "invalid_client");
    flow.app.agent("thief").await;
    let answer = push(&flow, &with(&request, &[("client_id", "thief")])).await;
    assert!(answer.status.is_client_error(), "{}", answer.text());
}

#[tokio::test]
async fn a_request_uri_is_its_clients_and_lives_a_minute() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let uri = push(&flow, &request).await.ok()["request_uri"].as_str().unwrap().to_owned();
    for asked in [
        with(&by_reference(&uri), &[("client_id", "ghost")]),
        with(&by_reference(&uri), &[("request_uri", "urn:ietf:params:oauth:request_uri:x")]),
        with(&by_reference(&uri), &[("request_uri", "https://evil.example/request.jwt")]),
        with(&by_reference(&uri), &[("client_id", "")]),
    ] {
        let page = flow.ask(&asked).await;
        assert!(page.status.is_client_error() && onward(&page).is_empty(), "{asked:?}: {}", page.text());
    }
    // Parameters beside it count for nothing.
    let beside = [by_reference(&uri), with(&[], &[("redirect_uri", "https://evil.example"), ("state", "x")])].concat();
    let page = flow.ask(&beside).await;
    let said = parameters(&onward(&flow.press(&page, "deny").await));
    assert_eq!(said["state"], "a b&c=d");

    let uri = push(&flow, &request).await.ok()["request_uri"].as_str().unwrap().to_owned();
    flow.app.clock().advance(Span::seconds(59));
    let page = flow.ask(&by_reference(&uri)).await;
    flow.app.clock().advance(Span::minutes(4));
    assert_eq!(flow.ask(&by_reference(&uri)).await.status, 400);
    let said = parameters(&onward(&flow.press(&page, "allow").await));
    assert!(said["code"].is_string(), "it ended while its person read: {said}");
}

#[tokio::test]
async fn a_server_can_take_pushed_requests_only() {
    let only = |config: &mut chancery_server::Config| config.oauth.require_pushed_authorization_requests = true;
    let mut flow = Flow::with(TestApp::builder().config(only)).await;
    let request = flow.request();
    let page = flow.ask(&request).await;
    assert!(page.status == 400 && onward(&page).is_empty(), "{}", page.text());
    let uri = push(&flow, &request).await.ok()["request_uri"].as_str().unwrap().to_owned();
    assert_eq!(flow.ask(&by_reference(&uri)).await.status, 200);
    let metadata = flow.app.http().get(&flow.app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(metadata["require_pushed_authorization_requests"], true);
}
