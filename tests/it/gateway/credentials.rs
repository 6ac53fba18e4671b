//! The upstream's credential stays with the upstream, the agent's with us.

use chancery_server::{Inject, Transport};
use chancery_testkit::{Agent, HttpUpstream, StdioUpstream, TestApp};
use serde_json::{Value, json};

const SECRET: &str = "sk-canary-7f3a9c/+21=x";

#[tokio::test]
async fn an_upstream_that_echoes_its_credential_does_not_give_it_away() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http_with_secret("crm", &upstream, "crm-key").start().await;
    app.secret("crm-key", SECRET).await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;

    let answer = agent.rpc("crm", "tools/call", json!({"name": "headers", "arguments": {}})).await;
    assert!(!answer.text().contains(SECRET), "{}", answer.text());
    assert!(answer.text().contains("[removed by chancery]"), "{}", answer.text());
    let seen = upstream.calls().remove(0);
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {SECRET}")));
    let found = app.admin("GET", "/v1/findings", Value::Null).await.text();
    assert!(found.contains("credential-reflected") && !found.contains(SECRET), "{found}");

    // In other forms as well.
    let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    for said in [
        encoded(SECRET),
        encoded(&format!("Bearer {SECRET}")),
        SECRET.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D"),
    ] {
        let answer = agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": said}})).await;
        assert!(answer.text().contains("[removed by chancery]"), "{said}: {}", answer.text());
    }
    let directory = app.stop().await;
    assert_eq!(files_with(directory.path(), SECRET.as_bytes()), Vec::<String>::new());
}

#[tokio::test]
async fn a_credential_in_a_definition_is_not_pinned() {
    let upstream = HttpUpstream::start().await;
    let says = format!("Your key is Bearer {SECRET}.");
    upstream.set_tools(json!([{"name": "echo", "description": says, "inputSchema": {"type": "object"}}]));
    let app = TestApp::builder().http_with_secret("crm", &upstream, "crm-key").start().await;
    app.secret("crm-key", SECRET).await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    // What the gateway pins by its own listing is what the agent is shown.
    assert_eq!(agent.tools("crm").await, ["echo"]);
    let pinned = app.admin("GET", "/v1/tools", Value::Null).await.text();
    assert!(pinned.contains("[removed by chancery]") && !pinned.contains(SECRET), "{pinned}");
    assert!(app.admin("GET", "/v1/findings", Value::Null).await.text().contains("credential-reflected"));
    let directory = app.stop().await;
    assert_eq!(files_with(directory.path(), SECRET.as_bytes()), Vec::<String>::new());
}

/// A child with the credential in a variable, and an agent that may use it.
async fn with_variable() -> (StdioUpstream, TestApp, Agent) {
    let upstream = StdioUpstream::new();
    let inject = Inject { header: "API_KEY".into(), value: "{secret}".into(), secret: "crm-key".into() };
    let app = TestApp::builder().server("crm", Transport::Stdio(upstream.command()), Some(inject)).start().await;
    app.secret("crm-key", SECRET).await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    (upstream, app, agent)
}

#[tokio::test]
async fn a_childs_variable_is_scrubbed_too() {
    let (_upstream, _app, agent) = with_variable().await;
    let answer = agent.rpc("crm", "tools/call", json!({"name": "headers", "arguments": {}})).await;
    assert!(answer.text().contains("API_KEY") && answer.text().contains("[removed by chancery]"), "{}", answer.text());
    assert!(!answer.text().contains(SECRET));
}

/// After a rotation no child that has the old value is spoken with, and neither value is shown.
#[tokio::test]
async fn a_rotated_credential_leaves_with_its_children() {
    const NEXT: &str = "sk-next-0d11c5-canary";
    let (upstream, app, agent) = with_variable().await;
    let session = agent.session("crm").await;
    let pid = || upstream.seen().iter().rfind(|seen| seen["message"]["method"] == "tools/call").unwrap()["pid"].clone();
    agent.call("crm", "headers", json!({})).await;
    let (shared, own) = (pid(), session.call("headers", json!({})).await);
    assert!(own["result"]["content"].is_array(), "{own}");
    let own = pid();

    app.secret("other-key", "another secret").await;
    agent.call("crm", "headers", json!({})).await;
    assert_eq!(pid(), shared, "another secret is none of its business");
    assert!(session.call("headers", json!({})).await["result"].is_object());
    assert_eq!(pid(), own);

    app.secret("crm-key", NEXT).await;
    let calls = upstream.seen().len();
    let refused = session.send("tools/call", json!({"name": "headers", "arguments": {}})).await;
    assert_eq!(refused.json()["error"]["data"]["chancery/decision"]["code"], "C4007", "{}", refused.text());
    assert_eq!(upstream.seen().len(), calls, "the old child was told nothing");
    assert_eq!(session.send("ping", Value::Null).await.status, 404, "its session is over");
    let answer = agent.rpc("crm", "tools/call", json!({"name": "headers", "arguments": {}})).await;
    assert!(answer.text().contains("[removed by chancery]") && !answer.text().contains("canary"), "{}", answer.text());
    assert_ne!(pid(), shared, "a child with the new value");
    // Whoever was given the old one may still say it.
    let said = agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": SECRET}})).await;
    assert!(!said.text().contains(SECRET), "{}", said.text());
}

#[tokio::test]
async fn the_agents_token_never_reaches_the_upstream() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    let token = agent.token(&agent.mcp("crm")).await;
    for _ in 0..3 {
        agent.call("crm", "headers", json!({})).await;
    }
    agent.session("crm").await.call("headers", json!({})).await;
    for seen in upstream.seen() {
        let whole = format!("{:?} {}", seen.headers, String::from_utf8_lossy(&seen.body));
        assert!(!whole.contains(&token), "{whole}");
        for name in ["authorization", "dpop", "cookie"] {
            assert_eq!(seen.header(name), None);
        }
    }
}

#[tokio::test]
async fn without_its_credential_nothing_is_sent() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http_with_secret("crm", &upstream, "crm-key").start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    let answer = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert_eq!(answer["result"]["_meta"]["chancery/decision"]["code"], "C4010", "{answer}");
    assert!(upstream.seen().is_empty());
}

/// Files below a directory that hold these bytes.
pub(super) fn files_with(directory: &std::path::Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle)
        {
            found.push(path.display().to_string());
        }
    }
    found
}
