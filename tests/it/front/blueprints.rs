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

    let refused = early.try_token(&app.at("/mcp/crm")).await.expect("a token was issued");
    assert!(refused.text().contains("its blueprint `crm` is suspended"), "{}", refused.text());
    let listed = app.admin("GET", "/v1/agents?state=suspended&blueprint=crm&limit=7", Value::Null).await.ok();
    assert_eq!((&listed["total"], listed["items"].as_array().unwrap().len()), (&json!(10_002), 7));
    assert_eq!(listed["items"][0]["state"], "registered");
    assert!(listed["items"][0]["stopped"].as_str().unwrap().contains("its blueprint `crm` is suspended"));

    let app = app.restart().await;
    let early = early.at(&app);
    assert!(early.try_token(&early.mcp("crm")).await.is_some(), "it goes on after a restart");
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

#[tokio::test]
async fn the_list_is_read_in_parts_and_shows_what_was_just_written() {
    let app = with_blueprint(&HttpUpstream::start().await).await;
    make(&app, json!({"count": 250})).await;
    app.register("loner", "bot").await;
    let get = async |query: &str| app.admin("GET", &format!("/v1/agents?{query}"), Value::Null).await.ok();
    let first = get("blueprint=crm").await;
    assert_eq!((&first["total"], first["items"].as_array().unwrap().len()), (&json!(250), 100));
    let second = get(&format!("blueprint=crm&limit=1000&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!(second["items"].as_array().unwrap().len(), 150);
    assert_eq!((&second["items"][0]["name"], second.get("next")), (&json!("crm-00101"), None));
    for (query, total) in [
        ("", 251),
        ("kind=bot", 1),
        ("prefix=crm-0001", 10),
        ("text=LONER", 1),
        ("sponsor=mara@example.com", 251),
        ("state=active", 0),
    ] {
        assert_eq!(get(query).await["total"], total, "{query}");
    }
    app.admin("POST", "/v1/agents/crm-00001/suspend", json!({"reason": "a test"})).await.ok();
    assert_eq!(get("state=suspended").await["items"][0]["name"], "crm-00001", "what was written is read");
    for bad in ["cursor=*", "state=sleeping", "nothing=1"] {
        let answer = app.admin("GET", &format!("/v1/agents?{bad}"), Value::Null).await;
        assert_eq!(answer.problem(400), "C7007", "{bad}");
    }
}

#[tokio::test]
async fn a_changed_manifest_waits_for_a_person() {
    let upstream = HttpUpstream::start().await;
    let app = with_blueprint(&upstream).await;
    let agent = instance(&app, "crm-a").await;
    let made_of = |model: &str| {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        json!({"model": model, "prompt_digest": digest("a"), "tools_digest": digest("b"), "version": "7"})
    };
    let approved = app.admin("POST", "/v1/blueprints/crm/manifest", json!({"manifest": made_of("one")})).await.ok();
    let old = agent.made_of(&made_of("one").to_string());
    assert!(echoed(&echo(&old).await));

    let new = agent.made_of(&made_of("two").to_string());
    let refused = new.try_token(&new.mcp("crm")).await.expect("a token was issued");
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (400, &json!("unauthorized_client")));
    let findings = app.admin("GET", "/v1/findings", Value::Null).await.ok();
    assert_eq!(findings["items"][0]["rule"], "manifest-changed", "{findings}");
    let seen = app.admin("GET", "/v1/blueprints/crm/manifest", Value::Null).await.ok();
    assert_eq!((&seen["digest"], &seen["changed"]), (&approved["digest"], &json!(["model"])));
    assert_eq!(seen["seen_by"], "crm-a");
    let unseen = json!({"digest": format!("sha256:{}", "0".repeat(64))});
    assert_eq!(app.admin("POST", "/v1/blueprints/crm/manifest", unseen).await.problem(409), "C6026");
    for bad in [json!({}), json!({"digest": "x", "manifest": made_of("one")})] {
        assert_eq!(app.admin("POST", "/v1/blueprints/crm/manifest", bad).await.problem(400), "C7007");
    }
    assert_eq!(app.admin("POST", "/v1/agents/crm-a/manifest", json!({"digest": "x"})).await.problem(400), "C6025");

    app.admin("POST", "/v1/blueprints/crm/manifest", json!({"digest": seen["seen_digest"]})).await.ok();
    assert!(echoed(&echo(&new).await), "what was approved may act");
    assert!(old.at(&app).try_token(&old.mcp("crm")).await.is_some(), "and what it replaced may not");
    let log = app.log().await;
    assert!(log.iter().any(|e| e["change"] == "approve_manifest blueprint" && e["changed"] == "crm"));
    let open = log.iter().rfind(|e| e["change"] == "open session").expect("a session");
    assert!(open["after"].as_str().unwrap().contains(seen["seen_digest"].as_str().unwrap()), "{open}");
}

#[tokio::test]
async fn the_log_says_which_running_copy_did_it() {
    let upstream = HttpUpstream::start().await;
    let app = with_blueprint(&upstream).await;
    let agent = instance(&app, "crm-a").await;
    let (one, two) = (agent.copy("pod-1"), agent.copy("pod-2"));
    assert!(echoed(&echo(&one).await) && echoed(&echo(&two).await));
    let found = app.admin("GET", "/v1/log?instance=pod-2&kind=intent", Value::Null).await.ok();
    let items = found["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|entry| entry["instance"] == "pod-2"), "{found}");
    let sessions = app.admin("GET", "/v1/sessions?agent=crm-a", Value::Null).await.ok();
    let copies: Vec<&Value> = sessions["items"].as_array().unwrap().iter().map(|s| &s["instance"]).collect();
    assert!(copies.contains(&&json!("pod-1")) && copies.contains(&&json!("pod-2")), "{sessions}");
}
