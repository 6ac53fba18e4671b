//! A governed call, from registration to the record of its outcome.

use chancery_model::Span;
use chancery_testkit::{HttpUpstream, TestApp};
use serde_json::{Value, json};

#[tokio::test]
async fn from_registration_to_a_recorded_call() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant_tool("assistant", "crm", "echo").await;

    assert_eq!(agent.tools("crm").await, ["echo"]);
    let answer = agent.call("crm", "echo", json!({"text": "hello"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "hello");

    let call = upstream.calls().pop().expect("a call");
    let intent = call.header("chancery-intent").expect("the intent's id").to_owned();
    assert_eq!(call.header("authorization"), None, "the agent's token reached the upstream");
    let why = app.admin("GET", &format!("/v1/decisions/{intent}"), Value::Null).await.ok();
    assert_eq!(why["outcome"], "allowed");
    assert_eq!(why["agent"], "assistant");
    assert_eq!(why["determining"][0]["policy"], "use-tool");
    assert!(why["determining"][0]["text"].as_str().unwrap().contains("?resource"));
    assert!(why["record"].as_str().unwrap().contains("signed tree"), "{}", why["record"]);
}

#[tokio::test]
async fn a_denied_call_says_why_and_what_would_make_it_pass() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).policy("small.cedar", REFUNDS).start().await;
    let agent = app.agent("assistant").await;
    app.link("refund-small", "assistant", "Tool::\"crm/refund\"").await;

    let paid = agent.call("crm", "refund", json!({"order": "o-1", "amount": 200})).await;
    assert_eq!(paid["result"]["content"][0]["text"], "refunded 200 on \"o-1\"");
    let before = upstream.calls().len();
    let denied = agent.call("crm", "refund", json!({"order": "o-1", "amount": 201})).await;
    assert_eq!(denied["result"]["isError"], true, "{denied}");
    assert_eq!(upstream.calls().len(), before, "a denied call reached the upstream");
    let id = denied["result"]["_meta"]["chancery/decision"]["id"].as_str().expect("an id");

    let why = app.admin("GET", &format!("/v1/decisions/{id}"), Value::Null).await.ok();
    assert_eq!(why["outcome"], "denied");
    let needs = why["would_pass"].to_string();
    assert!(needs.contains("refund-small") && needs.contains("200"), "{needs}");
}

const REFUNDS: &str = "@id(\"refund-small\")\npermit (principal == ?principal, action == Action::\"crm/refund\", \
                       resource == ?resource)\nwhen { context.args.amount <= 200 };\n";

#[tokio::test]
async fn suspending_refuses_the_next_call_although_the_token_lives() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    agent.call("crm", "echo", json!({"text": "before"})).await;
    let calls = upstream.calls().len();

    app.admin("POST", "/v1/agents/assistant/suspend", json!({"reason": "a test"})).await.ok();
    let answer = agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "after"}})).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(upstream.calls().len(), calls);

    app.admin("POST", "/v1/agents/assistant/resume", json!({"reason": "a test"})).await.ok();
    let again = agent.call("crm", "echo", json!({"text": "again"})).await;
    assert_eq!(again["result"]["content"][0]["text"], "again");
}

#[tokio::test]
async fn revoking_a_grant_is_felt_by_the_next_call() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    let grant = app.grant("assistant", "crm").await;
    assert!(agent.call("crm", "echo", json!({"text": "x"})).await["result"]["isError"].is_null());
    app.admin("DELETE", &format!("/v1/grants/{grant}?reason=over"), Value::Null).await.ok();
    assert_eq!(agent.call("crm", "echo", json!({"text": "x"})).await["result"]["isError"], true);
}

#[tokio::test]
async fn a_session_ends_by_hand_and_by_time() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    let token = agent.token(&agent.mcp("crm")).await;
    assert!(!token.is_empty());
    let open = app.admin("GET", "/v1/sessions?agent=assistant", Value::Null).await.ok();
    let id = open["items"][0]["id"].as_str().expect("a session").to_owned();
    assert_eq!(open["items"][0]["in_force"], true);
    let why = json!({"reason": "end of the shift"});
    let ended = app.admin("POST", &format!("/v1/sessions/{id}/end"), why).await.ok();
    assert_eq!((&ended["state"], &ended["in_force"]), (&json!("ended"), &json!(false)));
    let log = app.log().await;
    let entry = log.iter().find(|entry| entry["change"] == "end session").expect("it is recorded");
    assert_eq!(entry["reason"], "end of the shift", "{entry}");
    let (resource, header) = (agent.mcp("crm"), format!("DPoP {token}"));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(app.http().post(&resource, &[("authorization", &header)], &ping).await.status, 401);

    // The agent itself opens a new one, which is idle for too long.
    agent.call("crm", "echo", json!({"text": "x"})).await;
    assert_eq!(app.admin("GET", "/v1/sessions", Value::Null).await.ok()["items"].as_array().unwrap().len(), 1);
    app.clock().advance(Span::minutes(16));
    assert_eq!(app.admin("GET", "/v1/sessions", Value::Null).await.ok()["items"].as_array().unwrap().len(), 0);
    let all = app.admin("GET", "/v1/sessions?agent=assistant&all=true", Value::Null).await.ok();
    let idle =
        all["items"].as_array().unwrap().iter().find(|session| session["state"] == "open").expect("the idle one");
    assert_eq!(idle["in_force"], false, "open, and too long unused");
}

#[tokio::test]
async fn what_was_granted_and_recorded_is_there_after_a_restart() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    agent.call("crm", "echo", json!({"text": "before"})).await;
    let before = app.log().await.len();

    let app = app.restart().await;
    let agent = agent.at(&app);
    let answer = agent.call("crm", "echo", json!({"text": "after"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "after", "{answer}");
    assert!(app.log().await.len() > before);
}

#[tokio::test]
async fn without_a_valid_policy_set_everything_is_denied() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).policy("broken.cedar", "permit (principal").start().await;
    let agent = app.agent("assistant").await;
    let answer = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert!(answer["result"]["isError"] == true || answer["error"].is_object(), "{answer}");
    assert_eq!(upstream.calls().len(), 0);

    app.write_policy("broken.cedar", "");
    let status = app.admin("POST", "/v1/policies/reload", Value::Null).await.ok();
    assert_eq!(status["failed"], false);
    app.grant("assistant", "crm").await;
    let answer = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "x", "{answer}");
}

#[tokio::test]
async fn a_reload_that_fails_keeps_the_set_before() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    let before = app.admin("GET", "/v1/policies", Value::Null).await.ok();
    app.write_policy("broken.cedar", "permit (principal");
    let refused = app.admin("POST", "/v1/policies/reload", Value::Null).await;
    assert_eq!(refused.problem(422), "C3001");
    assert!(refused.json()["detail"].as_str().unwrap().contains("stays in force"));
    let after = app.admin("GET", "/v1/policies", Value::Null).await.ok();
    assert_eq!((&after["version"], &after["failed"]), (&before["version"], &json!(true)));
    assert_eq!(agent.call("crm", "echo", json!({"text": "x"})).await["result"]["content"][0]["text"], "x");
}

#[tokio::test]
async fn a_stored_secret_reaches_the_upstream_and_nobody_else() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http_with_secret("crm", &upstream, "crm-key").start().await;
    app.secret("crm-key", "canary-7f3a91").await;
    let agent = app.agent("assistant").await;
    app.grant("assistant", "crm").await;
    let answer = agent.call("crm", "headers", json!({})).await;
    let call = upstream.calls().pop().expect("a call");
    assert_eq!(call.header("authorization"), Some("Bearer canary-7f3a91"));
    assert!(!answer.to_string().contains("canary-7f3a91"), "the answer shows the credential: {answer}");
    for path in ["/v1/secrets", "/v1/log?limit=1000", "/v1/servers", "/v1/status"] {
        assert!(!app.admin("GET", path, Value::Null).await.text().contains("canary-7f3a91"), "{path}");
    }
}

#[tokio::test]
async fn a_denied_connection_or_list_is_explained_by_the_policies_that_were_asked() {
    let upstream = HttpUpstream::start().await;
    let template = "@id(\"use\") permit (principal == ?principal, action, resource in ?resource);";
    let app = TestApp::builder().without_policies().policy("use.cedar", template).http("crm", &upstream).start().await;
    let agent = app.agent("assistant").await;
    let hello = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    });
    let resource = agent.mcp("crm");
    for (what, answer) in [
        ("initialize", agent.send(&resource, "", "POST", &[], hello.to_string().as_bytes()).await),
        ("server/discover", agent.rpc("crm", "server/discover", Value::Null).await),
        ("resources/list", agent.rpc("crm", "resources/list", Value::Null).await),
        ("resources/templates/list", agent.rpc("crm", "resources/templates/list", Value::Null).await),
        ("prompts/get", agent.rpc("crm", "prompts/get", json!({"name": "x"})).await),
    ] {
        let about = answer.json()["error"]["data"]["chancery/decision"].clone();
        assert_eq!(about["code"], "C2001", "{what}: {}", answer.text());
        let id = about["id"].as_str().expect("an id");
        let why = app.admin("GET", &format!("/v1/decisions/{id}"), Value::Null).await.ok();
        assert_eq!(why["action"], what, "the record names the method");
        let needs = why["would_pass"].to_string();
        assert!(needs.contains("\"use\"") && !needs.contains("(request)"), "{what}: {needs}");
    }
}

#[tokio::test]
async fn without_policies_in_force_that_is_the_reason() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).policy("broken.cedar", "permit (principal").start().await;
    let agent = app.agent("assistant").await;
    let enforcer = app.service_account("todo-app").await;
    let question = json!({
        "subject": {"type": "Agent", "id": "assistant"}, "action": {"name": "mcp/connect"},
        "resource": {"type": "Server", "id": "crm"},
    });
    let call = agent.call("crm", "echo", json!({"text": "x"})).await;
    assert_eq!(call["result"]["_meta"]["chancery/decision"]["code"], "C2005", "{call}");
    let list = agent.rpc("crm", "tools/list", Value::Null).await.json();
    assert_eq!(list["error"]["data"]["chancery/decision"]["code"], "C2005", "{list}");
    let asked = enforcer.ask("evaluation", &question).await.ok();
    assert_eq!((&asked["decision"], &asked["context"]["code"]), (&json!(false), &json!("C2005")));

    app.write_policy("broken.cedar", "");
    app.admin("POST", "/v1/policies/reload", Value::Null).await.ok();
    assert_ne!(enforcer.ask("evaluation", &question).await.ok()["context"]["code"], "C2005");
    let list = agent.rpc("crm", "tools/list", Value::Null).await.json();
    assert_eq!(list["result"]["tools"], json!([]), "{list}");
}
