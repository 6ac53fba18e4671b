//! Refresh tokens: each good once, and bound (attack class A2).

use chancery_authenticate::client::AgentKey;
use chancery_model::Span;
use serde_json::Value;

use super::client::{Flow, with};

/// How often two uses of one token are raced, if nothing else is said (`CHANCERY_TEST_RACES`).
const RACES: usize = 200;

#[expect(clippy::disallowed_methods, reason = "a test's parameter has no other way in")]
fn races() -> usize {
    std::env::var("CHANCERY_TEST_RACES").ok().and_then(|races| races.parse().ok()).unwrap_or(RACES)
}

fn refresh_token(tokens: &Value) -> String {
    tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("no refresh token: {tokens}")).to_owned()
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_session() {
    let mut flow = Flow::start().await;
    let first = flow.tokens().await;
    let second = flow.refresh(&refresh_token(&first)).await.ok();
    assert_eq!(first["sid"], second["sid"], "it goes on with the session");
    let third = flow.refresh(&refresh_token(&second)).await.ok();
    let access = third["access_token"].as_str().unwrap();
    assert!(flow.is_in_force(access).await);

    let stranger = AgentKey::generate().unwrap();
    let used = refresh_token(&first);
    let form = [("grant_type", "refresh_token"), ("refresh_token", used.as_str())];
    assert_eq!(flow.post_by(&stranger, "/oauth/token", &form).await.json()["error"], "invalid_grant");
    assert!(flow.is_in_force(access).await, "who does not hold the key ends nothing");

    assert_eq!(flow.refresh(&used).await.json()["error"], "invalid_grant");
    assert!(!flow.is_in_force(access).await, "the session lives");
    assert_eq!(flow.refresh(&refresh_token(&third)).await.json()["error"], "invalid_grant");
    let log = flow.app.log().await;
    assert!(log.iter().any(|entry| entry.to_string().contains("a refresh token was used twice")), "it is recorded");
}

#[tokio::test]
async fn a_refresh_token_needs_its_key_and_its_client_and_gives_nothing_more() {
    let mut flow = Flow::start().await;
    let tokens = flow.tokens().await;
    let token = refresh_token(&tokens);
    let stranger = AgentKey::generate().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert_eq!(flow.post_by(&stranger, "/oauth/token", &form).await.json()["error"], "invalid_grant");
    let anonymous = with(&[], &[form[0], form[1], ("client_id", "helper")]);
    assert_eq!(flow.send(Some(flow.agent.key()), "/oauth/token", &anonymous).await.json()["error"], "invalid_client");
    let billing = flow.app.at("/mcp/billing");
    let details = r#"[{"type":"mcp_tool","server":"crm"}]"#;
    for (extra, error) in [
        (("resource", billing.as_str()), "invalid_target"),
        (("authorization_details", details), "invalid_authorization_details"),
        (("scope", "all"), "invalid_scope"),
    ] {
        let answer = flow.post("/oauth/token", &[form[0], form[1], extra]).await;
        assert_eq!(answer.json()["error"], error, "{extra:?}");
    }
    let fine = flow.refresh(&token).await.ok();
    assert_eq!(fine["authorization_details"], tokens["authorization_details"]);
}

#[tokio::test]
async fn a_refresh_token_ends_with_its_session() {
    let mut flow = Flow::start().await;
    let mut tokens = flow.tokens().await;
    for _ in 0..5 {
        flow.app.clock().advance(Span::minutes(10));
        tokens = flow.refresh(&refresh_token(&tokens)).await.ok();
    }
    flow.app.clock().advance(Span::minutes(10));
    assert_eq!(flow.refresh(&refresh_token(&tokens)).await.json()["error"], "invalid_grant", "an hour was allowed");

    flow.browser.sign_in(&flow.app, super::client::MARA).await;
    let tokens = flow.tokens().await;
    flow.app.clock().advance(Span::minutes(15));
    assert_eq!(flow.refresh(&refresh_token(&tokens)).await.json()["error"], "invalid_grant", "idle");

    flow.browser.sign_in(&flow.app, super::client::MARA).await;
    let tokens = flow.tokens().await;
    let token = refresh_token(&tokens);
    let answer = flow.post("/oauth/revoke", &[("token", &token), ("token_type_hint", "refresh_token")]).await;
    assert_eq!(answer.status, 200);
    assert!(!flow.is_in_force(tokens["access_token"].as_str().unwrap()).await, "revoked with its refresh token");
    assert_eq!(flow.refresh(&token).await.json()["error"], "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_uses_at_once_one_wins_and_the_session_ends() {
    let mut flow = Flow::start().await;
    let races = races();
    for race in 0..races {
        let tokens = flow.tokens().await;
        let token = refresh_token(&tokens);
        let (one, other) = tokio::join!(flow.refresh(&token), flow.refresh(&token));
        let won = [&one, &other].into_iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "race {race}: {} and {}", one.text(), other.text());
        let winner = if one.status == 200 { one } else { other };
        let next = refresh_token(&winner.json());
        assert_eq!(flow.refresh(&next).await.json()["error"], "invalid_grant", "race {race}: the family lives");
        assert!(!flow.is_in_force(tokens["access_token"].as_str().unwrap()).await, "race {race}: the session lives");
    }
    println!("A2: {races} races, one winner each, and no session that outlived its race");
}
