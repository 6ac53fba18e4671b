//! MCP sessions of the wire of 2025-11-25 belong to one agent.

use chancery_testkit::{HttpUpstream, StdioUpstream, TestApp};
use serde_json::{Value, json};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#;

#[tokio::test]
async fn a_session_is_the_agents_own_and_the_upstreams_id_stays_inside() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    app.grant("first", "crm").await;
    app.grant("second", "crm").await;

    let session = first.session("crm").await;
    assert_eq!(session.hello()["result"]["protocolVersion"], "2025-11-25");
    assert_ne!(session.id(), "upstream-session-1");
    assert_eq!(session.call("echo", json!({"text": "mine"})).await["result"]["content"][0]["text"], "mine");
    let call = upstream.calls().remove(0);
    assert_eq!(call.header("mcp-session-id"), Some("upstream-session-1"));
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-11-25"));

    for id in [session.id(), "upstream-session-1", "0"] {
        let headers = [("mcp-session-id", id), ("mcp-protocol-version", "2025-11-25")];
        for (method, body) in [("POST", CALL), ("GET", ""), ("DELETE", "")] {
            let answer = second.send(&second.mcp("crm"), "", method, &headers, body.as_bytes()).await;
            assert_eq!(answer.status, 404, "{method} {id}: {}", answer.text());
            assert_eq!(answer.json()["error"]["data"]["chancery/decision"]["code"], "C4007");
        }
    }
    assert_eq!(upstream.calls().len(), 1);
    let denials = app.log().await.iter().filter(|e| e["kind"] == "decision" && e["agent"] == "second").count();
    assert_eq!(denials, 9);

    let other = [("mcp-session-id", session.id()), ("mcp-protocol-version", "2025-06-18")];
    let answer = first.send(&first.mcp("crm"), "", "POST", &other, CALL.as_bytes()).await;
    assert_eq!(answer.status, 400, "another version than was agreed");
    assert!(session.end().await.status.is_success());
    assert_eq!(session.send("ping", Value::Null).await.status, 404);
}

#[tokio::test]
async fn an_answer_outside_a_session_is_refused() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("first").await;
    app.grant("first", "crm").await;
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#;
    for headers in [&[][..], &[("mcp-protocol-version", "2025-11-25")]] {
        let answer = agent.send(&agent.mcp("crm"), "", "POST", headers, body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert!(upstream.seen().iter().all(|seen| seen.message.get("result").is_none()), "it reached the upstream");
}

#[tokio::test]
async fn an_answer_nobody_asked_for_is_refused() {
    let upstream = StdioUpstream::new();
    let app = TestApp::builder().stdio("crm", &upstream).start().await;
    let agent = app.agent("first").await;
    app.grant("first", "crm").await;
    let session = agent.session("crm").await;
    let headers = [("mcp-session-id", session.id()), ("mcp-protocol-version", "2025-11-25")];
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#;
    let answer = agent.send(&agent.mcp("crm"), "", "POST", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let heard = upstream.seen().iter().any(|seen| seen["message"].get("result").is_some());
    assert!(!heard, "it reached the child");
}
