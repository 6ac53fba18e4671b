//! Blueprints: thousands of instances through the API, and what stops them all.

use chancery_testkit::{Agent, HttpUpstream, TestApp};
use serde_json::{Value, json};

/// A template for everything at one server, given to whoever is in the principal.
const IN: &str = r#"@id("use-all") permit (principal in ?principal, action, resource in ?resource);"#;

/// A server with an upstream `crm` and a blueprint `crm`, whose instances may do everything there.
async fn with_blueprint(upstream: &HttpUpstream) -> TestApp {
    let app = TestApp::builder().http("crm", upstream).policy("in.cedar", IN).start().await;
    let body = json!({"name": "crm", "sponsor": "mara@example.com", "owner": "lee@example.com", "purpose": "answers"});
    assert_eq!(app.admin("POST", "/v1/blueprints", body).await.status, 201);
    let grant = json!({
        "template": "use-all", "principal": "Blueprint::\"crm\"", "resource": "Server::\"crm\"",
        "mode": "autonomous", "justification": "a test",
    });
    app.admin("POST", "/v1/grants", grant).await.ok();
    app
}

async fn make(app: &TestApp, body: Value) -> Value {
    let made = app.admin("POST", "/v1/blueprints/crm/instances", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

/// One new instance with its key.
async fn instance(app: &TestApp, name: &str) -> Agent {
    let made = make(app, json!({"names": [name], "codes": true})).await;
    Agent::enrol(app, name, made["items"][0]["code"].as_str().expect("a code")).await
}

async fn echo(agent: &Agent) -> Value {
    agent.call("crm", "echo", json!({"text": "x"})).await
}

fn echoed(answer: &Value) -> bool {
    answer["result"]["content"][0]["text"] == "x"
}

#[tokio::test]
async fn ten_thousand_instances_are_made_and_stopped_at_once() {
    let upstream = HttpUpstream::start().await;
    let app = with_blueprint(&upstream).await;
    let early = instance(&app, "early-bird").await;
    for batch in 0..10 {
        let made = make(&app, json!({"count": 1_000})).await;
        assert_eq!(made["count"], 1_000);
        assert_eq!(made["items"][999]["name"], format!("crm-{:05}", (batch + 1) * 1_000));
        assert!(made["items"][0].get("code").is_none(), "a code that nobody asked for");
    }
    assert_eq!(app.admin("GET", "/v1/status", Value::Null).await.ok()["agents"], 10_001);
    assert_eq!(app.admin("GET", "/v1/agents/crm-07777", Value::Null).await.ok()["sponsor"], "mara@example.com");
    let late = instance(&app, "late-bird").await;
    assert!(echoed(&echo(&early).await) && echoed(&echo(&late).await), "the blueprint's grant is theirs");

    let suspend = json!({"reason": "a test"});
    let stopped = app.admin("POST", "/v1/blueprints/crm/suspend", suspend.clone()).await.ok();
    assert_eq!((&stopped["state"], &stopped["epoch"]), (&json!("suspended"), &json!(2)));
    let calls = upstream.calls().len();
    for agent in [&early, &late] {
        let answer = agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
        assert!(!echoed(&answer.json()), "{}", answer.text());
    }
    assert_eq!(upstream.calls().len(), calls, "a call of a stopped instance went out");

    let app = app.restart().await;
    let early = early.at(&app);
    assert!(
        early.try_token(&early.mcp("crm")).await.is_some() || !echoed(&echo(&early).await),
        "it goes on after a restart"
    );
    app.admin("POST", "/v1/blueprints/crm/resume", suspend).await.ok();
    assert!(echoed(&echo(&early).await));
    assert_eq!(make(&app, json!({"count": 1})).await["items"][0]["name"], "crm-10001");
}

#[tokio::test]
async fn a_batch_is_whole_or_not_there() {
    let app = with_blueprint(&HttpUpstream::start().await).await;
    make(&app, json!({"names": ["crm-berlin", "crm-oslo"]})).await;
    let refused = app.admin("POST", "/v1/blueprints/crm/instances", json!({"names": ["crm-rome", "crm-oslo"]})).await;
    assert!(refused.text().contains("1 of 2: `crm-oslo` is taken"), "{}", refused.text());
    assert_eq!(refused.problem(422), "C6023");
    assert_eq!(app.admin("GET", "/v1/agents/crm-rome", Value::Null).await.problem(404), "C6001");
    for bad in
        [json!({}), json!({"names": ["a"], "count": 1}), json!({"names": ["a"], "prefix": "b"}), json!({"prefix": "b"})]
    {
        assert_eq!(app.admin("POST", "/v1/blueprints/crm/instances", bad).await.problem(400), "C7007");
    }
    let ghost = app.admin("POST", "/v1/blueprints/ghost/instances", json!({"count": 1})).await;
    assert_eq!(ghost.problem(404), "C6020");
    let taken = json!({"name": "crm", "sponsor": "m@example.com", "owner": "l@example.com", "purpose": "x"});
    assert_eq!(app.admin("POST", "/v1/blueprints", taken).await.problem(409), "C6021");
    let of_ghost = json!({"name": "x", "blueprint": "ghost"});
    assert_eq!(app.admin("POST", "/v1/agents", of_ghost).await.problem(404), "C6020", "a reference is checked");
    let log = app.log().await;
    let entry = log.iter().find(|entry| entry["change"] == "instantiate blueprint").expect("the entry");
    assert_eq!(entry["changed"], "crm");
    assert!(entry["after"].as_str().unwrap().contains(r#""instances":["crm-berlin","crm-oslo"]"#), "{entry}");
}
