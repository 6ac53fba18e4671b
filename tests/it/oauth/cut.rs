//! Calls that wait for an upstream are cut when whatever they were made under ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use chancery_server::{Command, Transport};
use chancery_testkit::{Answer, TestApp};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::chain::{Chain, sid_of};
use super::client::MARA;

/// A call that is cut is answered long before this. Nothing else ends it: the upstream never answers.
const SOON: Duration = Duration::from_secs(5);

/// An upstream whose `hang` waits for a leave.
struct Upstream {
    asked: Semaphore,
    may: Semaphore,
    left: AtomicUsize,
}

/// Notes that whoever waited for an answer went away.
struct Leaving(Arc<Upstream>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, SeqCst);
    }
}

async fn answer(State(upstream): State<Arc<Upstream>>, Json(message): Json<Value>) -> Response {
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "slow", "version": "1"}})
        }
        "tools/list" => json!({"tools": [{"name": "hang", "inputSchema": {"type": "object"}}]}),
        "tools/call" => {
            let leaving = Leaving(upstream.clone());
            upstream.asked.add_permits(1);
            upstream.may.acquire().await.unwrap().forget();
            std::mem::forget(leaving);
            json!({"content": []})
        }
        _ => return http::StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

async fn upstream() -> (Arc<Upstream>, Transport) {
    let upstream = Arc::new(Upstream { asked: Semaphore::new(0), may: Semaphore::new(0), left: AtomicUsize::new(0) });
    let router = Router::new().fallback(answer).with_state(upstream.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (upstream, Transport::Http(url))
}

/// It is said that it was cut, in a way that no client answers by sending it again.
fn is_cut(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = answer.json();
    assert_eq!(said["result"]["_meta"]["chancery/decision"]["code"], "C2030", "{said}");
    assert_eq!(said["result"]["isError"], true);
    assert!(said["result"]["content"][0]["text"].as_str().unwrap().contains("may have happened"), "{said}");
}

/// The only outcome of this session's calls says that it is not known what became of it.
async fn unknown(app: &TestApp, session: &str) {
    for _ in 0..500 {
        let log = app.log().await;
        let of = |kind: &str| log.iter().find(|e| e["kind"] == kind && e["tool"] == "hang" && e["session"] == session);
        if let (Some(intent), Some(outcome)) = (of("intent"), of("outcome")) {
            assert_eq!((&outcome["result"], &outcome["closes"]), (&json!("indeterminate"), &intent["id"]), "{outcome}");
            assert!(outcome["detail"].as_str().unwrap().contains("it was cut"), "{outcome}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no outcome was recorded");
}

/// What ends a call that waits.
#[derive(Clone, Copy, Debug)]
enum End {
    Session,
    Root,
    Agent,
    Ancestor,
    Person,
    Revoked,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_call_is_cut_by_the_end_of_anything_that_it_hangs_on() {
    for end in [End::Session, End::Root, End::Agent, End::Ancestor, End::Person, End::Revoked] {
        let (upstream, transport) = upstream().await;
        let mut chain = Chain::with(TestApp::builder().server("slow", transport, None)).await;
        let root = chain.root_at("slow").await;
        let below = chain.hand_on((chain.helper(), &chain.worker), &root, "slow", "work").await;
        let app = &chain.flow.app;
        let of = |token: &str| format!("/v1/sessions/{}/end", sid_of(token));
        let reason = json!({"reason": "a test"});
        let stop = async || {
            match end {
                End::Session => app.admin("POST", &of(&below), json!({})).await.ok(),
                End::Root => app.admin("POST", &of(&root), json!({})).await.ok(),
                End::Agent => app.admin("POST", "/v1/agents/worker/suspend", reason).await.ok(),
                End::Ancestor => app.admin("POST", "/v1/agents/helper/suspend", reason).await.ok(),
                End::Person => app.admin("POST", &format!("/v1/people/{MARA}/suspend"), reason).await.ok(),
                End::Revoked => chain.flow.post("/oauth/revoke", &[("token", &root)]).await.ok(),
            };
        };
        // Somebody whom it does not concern waits at the same upstream.
        let other = tokio::spawn({
            let clerk = chain.clerk.clone();
            async move { clerk.call("slow", "hang", json!({})).await }
        });
        upstream.asked.acquire().await.unwrap().forget();
        let stopped = async {
            upstream.asked.acquire().await.unwrap().forget();
            stop().await;
        };
        let call = chain.call(&chain.worker, &below, ("slow", "hang"), json!({}));
        let (answer, ()) = tokio::join!(async { tokio::time::timeout(SOON, call).await }, stopped);
        is_cut(&answer.unwrap_or_else(|_| panic!("{end:?} cut nothing")));
        unknown(app, &sid_of(&below)).await;
        let gone = async {
            while upstream.left.load(SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, gone).await.expect("the upstream is not waited for any more");
        upstream.may.add_permits(1);
        let other = other.await.unwrap();
        assert!(other["result"]["content"].is_array() && other["result"]["isError"] != true, "{end:?}: {other}");
        assert_eq!(upstream.left.load(SeqCst), 1, "{end:?} cut what it does not concern");
        assert_eq!(upstream.asked.available_permits(), 0, "{end:?}: it was sent again");
    }
}

/// A child process that never answers `hang`, and writes down what it was sent.
const SILENT: &str = r#"
import json, sys
seen = open(sys.argv[1], "a", buffering=1)
tools = [{"name": "hang", "inputSchema": {"type": "object"}}]
for line in sys.stdin:
    message = json.loads(line)
    seen.write(line)
    result = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}},
        "tools/list": {"tools": tools},
    }.get(message.get("method"))
    if result is not None:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

fn methods(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let method = |line: &str| serde_json::from_str::<Value>(line).ok()?["method"].as_str().map(str::to_owned);
    text.lines().filter_map(method).collect()
}

async fn sent(file: &Path, method: &str) {
    for _ in 0..1_000 {
        if methods(file).iter().any(|seen| seen == method) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the child was not sent `{method}`: {:?}", methods(file));
}

#[tokio::test]
async fn a_call_that_waits_for_a_child_process_is_cut_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seen.jsonl");
    let args = vec!["-c".to_owned(), SILENT.to_owned(), file.display().to_string()];
    let command = Command { program: "python3".into(), args, cwd: None, env: Default::default() };
    let app = TestApp::builder().server("slow", Transport::Stdio(command), None).start().await;
    let agent = app.agent("worker").await;
    app.grant("worker", "slow").await;
    let call = tokio::spawn({
        let agent = agent.clone();
        async move { agent.rpc("slow", "tools/call", json!({"name": "hang", "arguments": {}})).await }
    });
    sent(&file, "tools/call").await;
    app.admin("POST", "/v1/agents/worker/suspend", json!({"reason": "a test"})).await.ok();
    is_cut(&tokio::time::timeout(SOON, call).await.expect("it is cut").unwrap());
    sent(&file, "notifications/cancelled").await;
    let log = app.log().await;
    let session =
        log.iter().find(|entry| entry["kind"] == "intent" && entry["tool"] == "hang").unwrap()["session"].clone();
    unknown(&app, session.as_str().unwrap()).await;
}
