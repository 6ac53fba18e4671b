//! Upstreams that are child processes.

use std::collections::HashSet;

use chancery_testkit::{StdioUpstream, TestApp};
use serde_json::{Value, json};

fn calls(upstream: &StdioUpstream) -> Vec<Value> {
    upstream.seen().into_iter().filter(|seen| seen["message"]["method"] == "tools/call").collect()
}

#[tokio::test]
async fn every_session_has_a_child_of_its_own_and_stateless_calls_of_an_agent_share_one() {
    let upstream = StdioUpstream::new();
    let app = TestApp::builder().stdio("crm", &upstream).start().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    app.grant("first", "crm").await;
    app.grant("second", "crm").await;

    let one = first.session("crm").await;
    let two = first.session("crm").await;
    for session in [&one, &two] {
        assert_eq!(session.call("add", json!({"a": 1, "b": 2})).await["result"]["content"][0]["text"], "3");
    }
    for agent in [&first, &first, &second] {
        assert_eq!(agent.call("crm", "echo", json!({"text": "x"})).await["result"]["content"][0]["text"], "x");
    }
    let seen = calls(&upstream);
    assert_eq!(seen.len(), 5, "{seen:#?}");
    let pids: Vec<&Value> = seen.iter().map(|seen| &seen["pid"]).collect();
    assert_ne!(pids[0], pids[1], "two sessions, two children");
    assert_eq!(pids[2], pids[3], "one agent, one child");
    assert_ne!(pids[3], pids[4], "two agents, two children");
    assert_eq!(pids.iter().map(|pid| pid.to_string()).collect::<HashSet<_>>().len(), 4);

    // Each carries its intent, and none of our environment.
    let intents: HashSet<&str> =
        seen.iter().filter_map(|s| s["message"]["params"]["_meta"]["chancery/intent"].as_str()).collect();
    assert_eq!(intents.len(), 5);
    let recorded = app.log().await;
    for intent in intents {
        assert!(recorded.iter().any(|entry| entry["id"] == intent && entry["kind"] == "intent"), "{intent}");
    }
    for seen in &seen {
        let names: Vec<&str> = seen["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(!names.iter().any(|name| name.starts_with("CARGO") || name.starts_with("CHANCERY")), "{names:?}");
    }
}

#[tokio::test]
async fn concurrent_calls_with_one_id_get_their_own_answers() {
    let upstream = StdioUpstream::new();
    let app = TestApp::builder().stdio("crm", &upstream).start().await;
    let agent = app.agent("first").await;
    app.grant("first", "crm").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        // Clones have tokens of their own, so that they do not wait for each other; the id is 1 in each message.
        let agent = agent.at(&app);
        tasks.spawn(async move {
            let said = format!("number {n}");
            let answer = agent.call("crm", "echo", json!({"text": said})).await;
            assert_eq!((&answer["result"]["content"][0]["text"], &answer["id"]), (&json!(said), &json!(1)));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}
