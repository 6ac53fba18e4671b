//! What a session did before: one call only after another, also when both are sent at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use chancery_server::Transport;
use chancery_testkit::{Agent, Builder, TestApp};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use super::meters::{Client, done};

const PAIRS: usize = 50;

/// An upstream with tools `a0`, `b0`, `a1` … An `a` with a gate waits for its leave; one that is told to fail fails.
#[derive(Default)]
struct Upstream {
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    calls: Mutex<Vec<String>>,
}

async fn answer(State(upstream): State<Arc<Upstream>>, Json(message): Json<Value>) -> Response {
    let object = json!({"type": "object", "properties": {"fail": {"type": "boolean"}}});
    let tool = |name: String| json!({"name": name, "inputSchema": object});
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        "tools/list" => {
            let tools = (0..PAIRS).flat_map(|n| [tool(format!("a{n}")), tool(format!("b{n}"))]);
            json!({"tools": tools.collect::<Vec<_>>()})
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default().to_owned();
            upstream.calls.lock().await.push(name.clone());
            let gate = upstream.gates.lock().await.get(&name).cloned();
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            json!({"content": [], "isError": message["params"]["arguments"]["fail"] == true})
        }
        _ => return http::StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

/// `bN` only after `aN`.
fn policies() -> String {
    let pair = |n: usize| {
        format!(
            "@id(\"b{n}-after-a{n}\") forbid (principal, action == Action::\"s/b{n}\", resource)\n\
             unless {{ context.session.done.contains(\"s/a{n}\") }};\n"
        )
    };
    (0..PAIRS).map(pair).collect()
}

async fn rig() -> (Arc<Upstream>, TestApp, Agent) {
    let upstream = Arc::new(Upstream::default());
    let router = Router::new().fallback(answer).with_state(upstream.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let builder: Builder = TestApp::builder().policy("order.cedar", &policies());
    let app = builder.server("s", Transport::Http(url), None).start().await;
    let agent = app.agent("worker").await;
    app.grant("worker", "s").await;
    (upstream, app, agent)
}

#[tokio::test]
async fn one_call_only_after_another_succeeded_and_still_so_after_a_restart() {
    let (_upstream, app, agent) = rig().await;
    let call = async |tool: &str, arguments: Value| done(&agent.call("s", tool, arguments).await);
    assert!(!call("b0", json!({})).await, "without the first");
    assert!(!call("a0", json!({"fail": true})).await);
    assert!(!call("b0", json!({})).await, "the first failed");
    assert!(call("a0", json!({})).await && call("b0", json!({})).await && call("b0", json!({})).await);
    assert!(!done(&agent.at(&app).call("s", "b0", json!({})).await), "another session did nothing");
    let sid = agent.sid("s").await;
    let app = app.restart().await;
    let agent = agent.again(&app, "s", &sid).await;
    assert!(done(&agent.call("s", "b0", json!({})).await), "the session goes on");
    assert_eq!(agent.sid("s").await, sid);
    assert!(!done(&agent.call("s", "b1", json!({})).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_50_dependent_pairs_sent_at_once_none_is_denied() {
    let (upstream, app, agent) = rig().await;
    for round in 0..2 {
        // A session of its own for each round: nothing is done there yet.
        let client = Client::of(&app, &agent, "s").await;
        let mut calls = JoinSet::new();
        for pair in 0..PAIRS {
            let mut tools = [format!("a{pair}"), format!("b{pair}")];
            // Whichever is sent first.
            tools.rotate_left((pair + round) % 2);
            for tool in tools {
                let client = client.clone();
                calls.spawn(async move { (done(&client.call(&tool, json!({})).await), tool) });
            }
        }
        let denied: Vec<String> =
            calls.join_all().await.into_iter().filter(|(done, _)| !done).map(|(_, t)| t).collect();
        assert_eq!(denied, [""; 0]);
    }
    let order = upstream.calls.lock().await.clone();
    assert_eq!(order.len(), 4 * PAIRS);
    for half in order.chunks(2 * PAIRS) {
        let place = |tool: String| half.iter().position(|name| *name == tool).unwrap();
        assert!((0..PAIRS).all(|n| place(format!("a{n}")) < place(format!("b{n}"))), "{half:?}");
    }
}

#[tokio::test]
async fn a_call_waits_for_the_one_it_depends_on_and_is_denied_if_that_fails() {
    let (upstream, app, agent) = rig().await;
    let client = Client::of(&app, &agent, "s").await;
    for (pair, fails) in [(0, false), (1, true)] {
        let gate = Arc::new(Semaphore::new(0));
        upstream.gates.lock().await.insert(format!("a{pair}"), gate.clone());
        let call = |tool: String, arguments: Value| {
            let client = client.clone();
            tokio::spawn(async move { done(&client.call(&tool, arguments).await) })
        };
        let first = call(format!("a{pair}"), json!({"fail": fails}));
        while !upstream.calls.lock().await.contains(&format!("a{pair}")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut second = call(format!("b{pair}"), json!({}));
        // Longer than a call waits for one that was not seen yet.
        assert!(tokio::time::timeout(Duration::from_millis(600), &mut second).await.is_err(), "it waits");
        gate.add_permits(1);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (!fails, !fails));
    }
    assert!(!upstream.calls.lock().await.contains(&"b1".to_owned()));
}

/// A call that nothing could help is not kept waiting, and one whose caller left takes no place.
#[tokio::test]
async fn nobody_waits_in_vain() {
    let (upstream, app, agent) = rig().await;
    let stranger = app.agent("stranger").await;
    let client = Client::of(&app, &stranger, "s").await;
    let asked = client.call("b0", json!({}));
    let answer = tokio::time::timeout(Duration::from_millis(10_000), asked).await.unwrap();
    assert!(!done(&answer), "no grant, whatever it did before");
    let gate = Arc::new(Semaphore::new(0));
    upstream.gates.lock().await.insert("a0".to_owned(), gate.clone());
    let client = Client::of(&app, &agent, "s").await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { done(&client.call("a0", json!({})).await) }
    });
    while !upstream.calls.lock().await.contains(&"a0".to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left = tokio::time::timeout(Duration::from_millis(400), client.call("b0", json!({}))).await;
    assert!(left.is_err(), "it left while it waited");
    gate.add_permits(1);
    assert!(first.await.unwrap());
    assert!(done(&client.call("b0", json!({})).await));
    assert_eq!(upstream.calls.lock().await.iter().filter(|name| *name == "b0").count(), 1, "the first was never sent");
}

/// Policies are replaced while two calls wait: what the new ones count is counted before either is let through.
#[tokio::test]
async fn a_call_that_waits_is_decided_on_what_the_policies_of_its_end_look_at() {
    let (upstream, app, agent) = rig().await;
    let client = Client::of(&app, &agent, "s").await;
    let gate = Arc::new(Semaphore::new(0));
    upstream.gates.lock().await.insert("a0".to_owned(), gate.clone());
    let call = |tool: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { done(&client.call(tool, json!({})).await) })
    };
    let first = call("a0");
    while !upstream.calls.lock().await.contains(&"a0".to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut second, mut third) = (call("b0"), call("b0"));
    let both = async { tokio::join!(&mut second, &mut third) };
    assert!(tokio::time::timeout(Duration::from_millis(600), both).await.is_err(), "they wait");
    let once = json!([{"name": "once", "counts": "calls", "per": "session", "window": "session",
        "of": {"server": "s", "tools": ["b0"]}}]);
    app.write_policy("meters.json", &once.to_string());
    let text =
        "@id(\"once\") forbid (principal, action == Action::\"s/b0\", resource) when { context.meters.once >= 1 };";
    app.write_policy("once.cedar", text);
    app.admin("POST", "/v1/policies/reload", Value::Null).await.ok();
    gate.add_permits(1);
    assert!(first.await.unwrap());
    let through = [second.await.unwrap(), third.await.unwrap()];
    assert_eq!(through.iter().filter(|through| **through).count(), 1, "{through:?}");
}
