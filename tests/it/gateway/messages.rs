//! Messages that two readers could read differently are refused, and the refusal is recorded.

use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_model::DecisionId;
use chancery_store::{Config, Store, bodies};
use chancery_testkit::{Agent, Answer, HttpUpstream, TestApp};
use serde_json::{Value, json};

async fn rig() -> (HttpUpstream, TestApp, Agent) {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "crm").await;
    (upstream, app, agent)
}

async fn post(agent: &Agent, headers: &[(&str, &str)], body: &str) -> Answer {
    agent.send(&agent.mcp("crm"), "", "POST", headers, body.as_bytes()).await
}

const VERSION: &str = "2026-07-28";

fn call(name: &str, version: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": name, "arguments": {"text": "x"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}},
    }})
    .to_string()
}

#[tokio::test]
async fn headers_that_do_not_say_what_the_body_says_are_refused() {
    let (upstream, app, agent) = rig().await;
    let good = [("mcp-protocol-version", VERSION), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let answer = post(&agent, &good, &call("echo", VERSION)).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "x", "{}", answer.text());

    let mut cases: Vec<(Vec<(&str, &str)>, String)> = Vec::new();
    for at in 0..3 {
        let mut less = good.to_vec();
        less.remove(at);
        cases.push((less, call("echo", VERSION)));
        let mut twice = good.to_vec();
        twice.push(good[at]);
        cases.push((twice, call("echo", VERSION)));
    }
    for (at, value) in [
        (0, "2025-11-25"),
        (1, "tools/list"),
        (1, "TOOLS/CALL"),
        (2, "refund"),
        (2, "ECHO"),
        (2, "=?base64?cmVmdW5k?="),
        (2, "=?base64?ZWNobw?="),
        (2, "=?base64?!!!?="),
    ] {
        let mut changed = good.to_vec();
        changed[at].1 = value;
        cases.push((changed, call("echo", VERSION)));
    }
    cases.push((good.to_vec(), call("refund", VERSION)));
    cases.push((good.to_vec(), call("echo", "2025-11-25")));
    let count = cases.len();
    for (headers, body) in cases {
        let answer = post(&agent, &headers, &body).await;
        assert_eq!(answer.status, 400, "{headers:?} {body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], -32020, "{headers:?} {body}");
    }
    assert_eq!(upstream.calls().len(), 1, "none of the {count} reached the upstream");
    let refused = app.log().await.iter().filter(|entry| entry["kind"] == "decision").count();
    assert_eq!(refused, count, "each is recorded");
    // Wrapped once, the name is the same name.
    let wrapped = [good[0], good[1], ("mcp-name", "=?base64?ZWNobw==?=")];
    assert_eq!(post(&agent, &wrapped, &call("echo", VERSION)).await.status, 200);
}

#[tokio::test]
async fn ambiguous_and_foreign_messages_are_refused() {
    let (upstream, app, agent) = rig().await;
    let plain = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#;
    assert_eq!(post(&agent, &[], plain).await.status, 200);
    let bodies = [
        format!("[{plain}]"),
        format!("{plain}{plain}"),
        format!("\u{feff}{plain}"),
        plain.replace(r#""name":"echo""#, r#""name":"echo","name":"refund""#),
        plain.replace(r#""name":"echo""#, r#""name":"echo","\u006eame":"refund""#),
        plain.replace(r#""method":"tools/call""#, r#""method":"tools/call","method":"tools/list""#),
        plain.replace(r#""text":"x""#, r#""text":"x","text":"y""#),
        plain.replace(r#""text":"x""#, r#""text":"\ud800""#),
        plain.replace(r#""text":"x""#, r#""n":1e400"#),
        plain.replace(r#""text":"x""#, r#""n":9007199254740993"#),
        plain.replace(r#""text":"x""#, r#""n":NaN"#),
        plain.replace(r#""id":1"#, r#""id":null"#),
        plain.replace(r#""id":1"#, r#""id":1.5"#),
        plain.replace(r#""id":1,"#, ""),
        plain.replace(r#""params":{"#, r#""Params":{},"params":{"#),
        plain.replace(r#""2.0""#, r#""1.0""#),
        plain.replace(r#""arguments":{"text":"x"}"#, r#""arguments":["x"]"#),
        plain.replace(
            r#""arguments":{"text":"x"}"#,
            &format!(r#""arguments":{{"text":{}1{}}}"#, "[".repeat(70), "]".repeat(70)),
        ),
        // What one reader takes for another member, the next takes for the same.
        plain.replace(r#"{"text":"x"}"#, r#"{"text":"x"},"argument\u017f":{"text":"y"}"#),
        plain.replace(r#"{"text":"x"}"#, r#"{"text":"x"},"Arguments":{"text":"y"}"#),
        plain.replace(r#"{"text":"x"}"#, r#"{"text":"x"},"args":{"text":"y"}"#),
        plain.replace(r#""name":"echo""#, r#""Name":"echo""#),
        plain.replace(r#""text":"x""#, r#""text":"x","TEXT":"y""#),
        plain.replace(r#""text":"x""#, r#""deep":[{"ok":1,"o\u212a":2}],"text":"x""#),
        plain.replace("tools/call", "tools/execute"),
        plain.replace("tools/call", "tasks/get"),
        String::new(),
    ];
    let count = bodies.len();
    for body in &bodies {
        let answer = post(&agent, &[], body).await;
        let error = answer.json()["error"]["code"].as_i64();
        assert!(error.is_some(), "{body}: {} {}", answer.status, answer.text());
    }
    let huge = plain.replace(r#""x""#, &format!("\"{}\"", "x".repeat(1 << 20)));
    assert_eq!(post(&agent, &[], &huge).await.status, 413);
    assert_eq!(upstream.calls().len(), 1);
    let refused = app.log().await.iter().filter(|entry| entry["kind"] == "decision").count();
    assert_eq!(refused, count + 1, "each is recorded");
}

#[tokio::test]
async fn what_is_too_long_for_an_entry_is_refused_and_recorded() {
    let (upstream, app, agent) = rig().await;
    let before = upstream.seen().len();
    let long = format!("file:///{}", "é".repeat(35_000));
    let params = [
        ("resources/read", json!({"uri": long})),
        ("resources/subscribe", json!({"uri": long})),
        ("prompts/get", json!({"name": long})),
        ("completion/complete", json!({"ref": {"type": "ref/resource", "uri": long}, "argument": {}})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": long}, "argument": {}})),
        ("tools/call", json!({"name": long})),
        ("tools/list", json!({long.clone(): 1})),
        (&long, json!({})),
    ];
    for (method, params) in &params {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer = post(&agent, &[], &body).await;
        let said = answer.json();
        let about = if said["error"].is_null() { &said["result"]["_meta"] } else { &said["error"]["data"] };
        let code = &about["chancery/decision"]["code"];
        assert!(["C4004", "C4005", "C4006"].iter().any(|known| code == known), "{method}: {code}");
        assert!(about["chancery/decision"]["id"].is_string(), "{method}: not recorded");
    }
    let headers = [("mcp-protocol-version", VERSION), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    assert_eq!(post(&agent, &headers, &call(&long, VERSION)).await.status, 400);
    assert_eq!(post(&agent, &headers, &call("echo", &long)).await.status, 400);
    assert_eq!(upstream.seen().len(), before, "none reached the upstream");
    let log = app.log().await;
    let refused: Vec<_> = log.iter().filter(|entry| entry["kind"] == "decision").collect();
    assert_eq!(refused.len(), params.len() + 2, "each is recorded");
    let resources: Vec<&str> = refused.iter().filter_map(|entry| entry["resource"].as_str()).collect();
    assert_eq!(resources.len(), 5, "{resources:?}");
    for resource in resources {
        assert!(resource.starts_with("file:///éé") && resource.contains("(70008 bytes, sha256 "), "{resource}");
    }
}

/// Everything that is sent with a call is kept beside its intent, and a denial can be explained without arguments.
#[tokio::test]
async fn what_goes_along_with_a_call_is_kept() {
    let (upstream, app, agent) = rig().await;
    let answers = json!({"who": {"action": "accept"}});
    let params = json!({"name": "echo", "arguments": {"text": "x"}, "requestState": "s-1", "inputResponses": answers});
    let answer = agent.rpc("crm", "tools/call", params).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "x", "{}", answer.text());
    let call = upstream.calls().remove(0);
    assert_eq!(call.message["params"]["requestState"], "s-1");
    let intent = call.header("chancery-intent").unwrap().to_owned();

    let other = app.agent("other").await;
    let denied = other.rpc("crm", "tools/call", json!({"name": "fail"})).await.json();
    let id = denied["result"]["_meta"]["chancery/decision"]["id"].as_str().unwrap_or_else(|| panic!("{denied}"));
    let why = app.admin("GET", &format!("/v1/decisions/{id}"), Value::Null).await.ok();
    assert_eq!(why["caveat"], Value::Null, "{why}");
    assert!(!why["would_pass"].as_array().unwrap().is_empty(), "{why}");

    let data = app.data();
    let _directory = app.stop().await;
    let store = Store::open(&Config::at(data), Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
    let DecisionId(position) = intent.parse().unwrap();
    let kept = bodies::get(&store, position).await.unwrap();
    let content = |name: &str| {
        let body = kept.iter().find(|body| body.name == name).unwrap();
        serde_json::from_slice::<Value>(&body.kept.as_ref().unwrap().content).unwrap()
    };
    assert_eq!(content("arguments"), json!({"text": "x"}));
    assert_eq!(content("input"), json!({"inputResponses": answers, "requestState": "s-1"}));
    store.close().await;
}

#[tokio::test]
async fn what_is_sent_is_canonical_and_nothing_else() {
    let (upstream, _app, agent) = rig().await;
    let body = r#" { "params" : {"arguments":{"b":2.0,"a":1e0},"name":"add" }, "method":"tools\/call", "id":"\u0061" , "jsonrpc":"2.0"} "#;
    let headers = [("x-forwarded-for", "10.0.0.1"), ("cookie", "a=b"), ("x-user", "root"), ("mcp-param-x", "y")];
    let answer = post(&agent, &headers, body).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "3", "{}", answer.text());
    let seen = upstream.calls().remove(0);
    let canonical =
        r#"{"id":"a","jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"a":1,"b":2},"name":"add"}}"#;
    assert_eq!(seen.body, canonical);
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in &names {
        let known = ["accept", "chancery-intent", "content-length", "content-type", "host", "user-agent"];
        assert!(known.contains(name), "{name} reached the upstream");
    }
}

#[tokio::test]
async fn methods_belong_to_their_wire() {
    let (_upstream, _app, agent) = rig().await;
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/get", "unknown/method"] {
        let answer = agent.rpc("crm", method, json!({})).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (404, &json!(-32601)), "{method}");
    }
    let meta =
        json!({"io.modelcontextprotocol/protocolVersion": "v999", "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 9, "method": "server/discover", "params": {"_meta": meta}}).to_string();
    let answer = post(&agent, &[("mcp-protocol-version", "v999"), ("mcp-method", "server/discover")], &body).await;
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status.as_u16(), &error["code"], &error["data"]["requested"]),
        (400, &json!(-32022), &json!("v999"))
    );
    let get = agent.send(&agent.mcp("crm"), "", "GET", &[("mcp-protocol-version", VERSION)], b"").await;
    assert_eq!(get.status, 405);
}

/// On the wire without sessions resources are watched by the list in `subscriptions/listen`: each of them is decided.
#[tokio::test]
async fn each_resource_that_is_watched_is_decided_and_recorded() {
    const WATCH: &str = r#"@id("watch") permit (principal, action == Action::"resources/subscribe", resource) when { resource.uri like "file:///open/*" };"#;
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).policy("watch.cedar", WATCH).start().await;
    let agent = app.agent("reader").await;
    let listen = async |uris: &[&str]| {
        let notifications = json!({"toolsListChanged": true, "resourceSubscriptions": uris});
        agent.rpc("crm", "subscriptions/listen", json!({"notifications": notifications})).await.json()
    };
    let count = || upstream.seen().iter().filter(|seen| seen.method() == "subscriptions/listen").count();

    let refused = listen(&["file:///open/a", "file:///secret/b"]).await;
    let decision = &refused["error"]["data"]["chancery/decision"];
    assert_eq!((&decision["code"], count()), (&json!("C2001"), 0), "{refused}");
    let log = app.log().await;
    let entry = log.iter().rfind(|entry| entry["decision"] == "deny").unwrap();
    assert_eq!(entry["resource"], "file:///secret/b", "{entry}");
    let why = app.admin("GET", &format!("/v1/decisions/{}", entry["id"].as_str().unwrap()), Value::Null).await.ok();
    assert!(why["would_pass"].to_string().contains("watch"), "{why:#}");

    // The upstream knows no such method, and says so itself.
    let passed = listen(&["file:///open/a", "file:///open/b"]).await;
    assert_eq!((&passed["error"]["code"], count()), (&json!(-32601), 1), "{passed}");
    let sent = upstream.seen().into_iter().rfind(|seen| seen.method() == "subscriptions/listen").unwrap();
    let DecisionId(position) = sent.header("chancery-intent").unwrap().parse().unwrap();
    let data = app.data();
    let _directory = app.stop().await;
    let store = Store::open(&Config::at(data), Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
    let kept = bodies::get(&store, position).await.unwrap();
    let input = kept.iter().find(|body| body.name == "input").unwrap();
    let input: Value = serde_json::from_slice(&input.kept.as_ref().unwrap().content).unwrap();
    assert_eq!(input["notifications"]["resourceSubscriptions"], json!(["file:///open/a", "file:///open/b"]));
    store.close().await;
}
