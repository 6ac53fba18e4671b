//! A call that is allowed, one that is denied, one that is hidden; and what is recorded of each.

use chancery_server::Transport;
use chancery_testkit::{HttpUpstream, TestApp};
use serde_json::{Value, json};

use super::peers::{Running, command};

/// Entries of one kind about one action.
fn of(log: &[Value], kind: &str, action: &str) -> Vec<Value> {
    log.iter()
        .filter(|entry| entry["kind"] == kind && entry["action"] == action && !entry["agent_id"].is_null())
        .cloned()
        .collect()
}

#[tokio::test]
async fn an_allowed_call_is_recorded_before_and_after_and_carries_its_intent() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;

    let answer = agent.call("crm", "echo", json!({"text": "hello"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");

    let log = app.log().await;
    let intents = of(&log, "intent", "tools/call");
    assert_eq!(intents.len(), 1, "{log:#?}");
    assert_eq!((&intents[0]["tool"], &intents[0]["decision"]), (&json!("echo"), &json!("allow")));
    let seen = upstream.calls();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("chancery-intent"), intents[0]["id"].as_str());
    // The outcome is handed over, not waited for.
    for _ in 0..200 {
        let outcomes = of(&app.log().await, "outcome", "tools/call");
        if let Some(outcome) = outcomes.first() {
            assert_eq!((&outcome["closes"], &outcome["result"]), (&intents[0]["id"], &json!("succeeded")));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the outcome was not recorded");
}

#[tokio::test]
async fn a_denied_call_is_a_result_a_model_can_act_on_and_never_reaches_the_upstream() {
    let upstream = HttpUpstream::start().await;
    let small = r#"@id("small") permit (principal, action == Action::"crm/refund", resource) when { context.args.amount <= 200 };"#;
    let app = TestApp::builder().http("crm", &upstream).policy("small.cedar", small).start().await;
    let agent = app.agent("helper").await;

    let allowed = agent.call("crm", "refund", json!({"order": "o1", "amount": 200})).await;
    assert_eq!(allowed["result"]["isError"], Value::Null, "{allowed}");
    let denied = agent.call("crm", "refund", json!({"order": "o1", "amount": 201})).await;
    let result = &denied["result"];
    assert_eq!(result["isError"], true, "{denied}");
    let text = result["content"][0]["text"].as_str().unwrap();
    let decision = &result["_meta"]["chancery/decision"];
    let id = decision["id"].as_str().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("denied: helper may not call refund on crm"), "{text}");
    assert!(lines[1].starts_with("  why: ") && lines[1].ends_with("[C2001]"), "{text}");
    assert!(lines[2].starts_with("  do:  ") && lines[3].contains(id), "{text}");
    assert_eq!(decision["code"], "C2001");
    assert_eq!(upstream.calls().len(), 1, "only the allowed call reached it");

    // What is hidden is denied when it is called all the same.
    assert_eq!(agent.tools("crm").await, ["refund"]);
    let hidden = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert_eq!(hidden["result"]["isError"], true, "{hidden}");
    let unknown = agent.call("crm", "nothing", json!({})).await;
    assert_eq!(unknown["result"]["_meta"]["chancery/decision"]["code"], "C4006", "{unknown}");
    assert_eq!(upstream.calls().len(), 1);

    let denials = of(&app.log().await, "decision", "tools/call");
    assert_eq!(denials.len(), 3, "{denials:#?}");
    assert_eq!(denials[0]["id"], id);
    let why = app.admin("GET", &format!("/v1/decisions/{id}"), Value::Null).await.ok();
    assert_eq!(why["outcome"], "denied");
}

#[tokio::test]
async fn arguments_that_do_not_fit_the_pinned_schema_are_refused() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    for (tool, arguments) in [
        ("add", json!({"a": 1})),
        ("add", json!({"a": 1, "b": "2"})),
        ("add", json!({"a": 1, "b": 2.5})),
        ("echo", json!({"text": "x", "bcc": "y"})),
    ] {
        let answer = agent.call("crm", tool, arguments.clone()).await;
        assert_eq!(answer["result"]["_meta"]["chancery/decision"]["code"], "C2008", "{arguments}: {answer}");
    }
    assert!(upstream.calls().is_empty());
}

#[tokio::test]
async fn whoever_may_not_connect_is_told_so_as_mcp_has_it() {
    let upstream = HttpUpstream::start().await;
    let other = r#"@id("other") permit (principal, action == Action::"crm/echo", resource);"#;
    let app = TestApp::builder().http("crm", &upstream).without_policies().policy("other.cedar", other).start().await;
    let agent = app.agent("stranger").await;
    let before = upstream.seen().len();
    let answer = agent.rpc("crm", "server/discover", Value::Null).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains(r#"error="insufficient_scope""#) && challenge.contains("resource_metadata="),
        "{challenge}"
    );
    assert_eq!(answer.json()["error"]["code"], -32001);
    let bare =
        app.http().post(&app.at("/mcp/crm"), &[("accept", "application/json, text/event-stream")], &json!({})).await;
    assert_eq!(bare.status, 401);
    assert!(bare.header("www-authenticate").contains("resource_metadata="), "{}", bare.header("www-authenticate"));
    assert_eq!(upstream.seen().len(), before);
}

#[tokio::test]
async fn a_stopped_agent_is_refused_although_its_token_lives() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    assert_eq!(agent.call("crm", "echo", json!({"text": "x"})).await["result"]["content"][0]["text"], "x");
    app.admin("POST", "/v1/agents/reader/suspend", json!({"reason": "a test"})).await.ok();
    let refused = agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert_eq!(upstream.calls().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_reported_and_recorded_as_not_sent() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let upstream = Running::start(command("python3".as_ref(), &fixtures, &["upstream.py"]));
    let app = TestApp::builder().server("see", Transport::Http(upstream.url.clone()), None).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "see").await;
    assert_eq!(agent.call("see", "see", json!({})).await["result"]["content"][0]["text"], "{}");
    drop(upstream);
    let answer = agent.call("see", "see", json!({})).await;
    let decision = &answer["result"]["_meta"]["chancery/decision"];
    assert_eq!((&decision["code"], &answer["result"]["isError"]), (&json!("C4002"), &json!(true)), "{answer}");
    for _ in 0..200 {
        let outcomes = of(&app.log().await, "outcome", "tools/call");
        if let Some(outcome) = outcomes.iter().find(|outcome| outcome["closes"] == decision["id"]) {
            assert_eq!(outcome["result"], "not_sent");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the outcome was not recorded");
}
