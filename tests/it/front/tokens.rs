//! Enrolment and the token endpoint over HTTP. What they refuse in detail is tested in their own room.

use chancery_authenticate::client::AgentKey;
use chancery_testkit::{Agent, HttpUpstream, TestApp};
use serde_json::{Value, json};

#[tokio::test]
async fn a_code_is_good_for_one_enrolment() {
    let app = TestApp::start().await;
    let code = app.register("assistant", "agent").await;
    let key = AgentKey::generate().unwrap();
    let enrolled = Agent::try_enrol(&app, &key, &code).await.ok();
    assert_eq!(enrolled["name"], "assistant");
    assert_eq!(enrolled["kid"], key.thumbprint());
    let again = Agent::try_enrol(&app, &AgentKey::generate().unwrap(), &code).await;
    assert_eq!(again.problem(403), "C6005");
}

#[tokio::test]
async fn a_token_is_for_one_resource() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).http("billing", &upstream).start().await;
    let agent = app.agent("assistant").await;
    let refused = agent.try_token(&app.at("/mcp/ghost")).await.expect("a refusal");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"], "invalid_target");
    let token = agent.token(&agent.mcp("crm")).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let header = format!("DPoP {token}");
    let answer = app.http().post(&agent.mcp("billing"), &[("authorization", &header)], &ping).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").contains("invalid_token"), "{}", answer.header("www-authenticate"));
}

#[tokio::test]
async fn a_form_that_is_none_is_refused_as_oauth_wants_it() {
    let app = TestApp::start().await;
    let answer = app.http().post(&app.at("/oauth/token"), &[], &json!({"grant_type": "client_credentials"})).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"], "invalid_request");
}

#[tokio::test]
async fn bearer_use_is_off_and_a_finding_where_it_is_on() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("legacy").await.bearer();
    app.grant("legacy", "crm").await;
    assert!(agent.try_token(&agent.mcp("crm")).await.is_some(), "a bearer token was issued");

    app.admin("POST", "/v1/agents/legacy/bearer", json!({"allow": true, "reason": "an old client"})).await.ok();
    let answer = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "x");
    let findings = app.admin("GET", "/v1/findings", Value::Null).await.ok();
    assert!(findings.to_string().contains("legacy"), "{findings}");

    app.admin("POST", "/v1/agents/legacy/bearer", json!({"allow": false})).await.ok();
    let refused = agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
    assert!(!refused.status.is_success(), "{}", refused.text());
}
