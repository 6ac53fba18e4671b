//! Calls that wait while something changes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use chancery_model::Span;
use chancery_server::Transport;
use chancery_testkit::TestApp;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// An upstream that is down at first, and then slow to say hello.
struct Upstream {
    up: std::sync::atomic::AtomicBool,
    asked: Semaphore,
    may: Semaphore,
    calls: std::sync::atomic::AtomicUsize,
}

async fn answer(State(upstream): State<Arc<Upstream>>, Json(message): Json<Value>) -> Response {
    use std::sync::atomic::Ordering::SeqCst;
    if !upstream.up.load(SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            upstream.asked.add_permits(1);
            upstream.may.acquire().await.unwrap().forget();
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        "tools/list" => json!({"tools": [{"name": "pay", "inputSchema": {"type": "object"}}]}),
        "tools/call" => {
            upstream.calls.fetch_add(1, SeqCst);
            json!({"content": []})
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

#[tokio::test]
async fn a_call_that_waited_while_its_agent_was_stopped_is_not_sent() {
    use std::sync::atomic::Ordering::SeqCst;
    let upstream =
        Arc::new(Upstream { up: false.into(), asked: Semaphore::new(0), may: Semaphore::new(0), calls: 0.into() });
    let router = Router::new().fallback(answer).with_state(upstream.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let app = TestApp::builder().server("s", Transport::Http(url), None).start().await;
    let agent = app.agent("payer").await;
    app.grant("payer", "s").await;
    upstream.up.store(true, SeqCst);
    app.clock().advance(Span::seconds(6));

    let call = tokio::spawn({
        let agent = agent.clone();
        async move { agent.rpc("s", "tools/call", json!({"name": "pay", "arguments": {}})).await }
    });
    upstream.asked.acquire().await.unwrap().forget();
    app.admin("POST", "/v1/agents/payer/suspend", json!({"reason": "a test"})).await.ok();
    // Policies see an active agent again, but the session in which it called is over.
    app.admin("POST", "/v1/agents/payer/resume", json!({"reason": "a test"})).await.ok();
    upstream.may.add_permits(1);
    // The client is told that its session is over, opens another one and calls again.
    let answer = call.await.unwrap();
    assert!(answer.json()["result"]["content"].is_array(), "{}", answer.text());
    for _ in 0..500 {
        let log = app.log().await;
        let of =
            |kind: &str| log.iter().filter(|e| e["kind"] == kind && e["tool"] == "pay").cloned().collect::<Vec<_>>();
        let (intents, outcomes) = (of("intent"), of("outcome"));
        if outcomes.len() == 2 {
            let result = |at: usize| &outcomes.iter().find(|o| o["closes"] == intents[at]["id"]).unwrap()["result"];
            assert_eq!((result(0), result(1)), (&json!("not_sent"), &json!("succeeded")));
            assert_eq!(upstream.calls.load(SeqCst), 1, "only the second was sent");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("two calls with their outcomes: {:#?}", app.log().await);
}
