//! What is on its way when the switch is thrown: calls that wait, streams, MCP sessions and child processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::faults::UNCUT;
use chancery_server::Transport;
use chancery_testkit::{Agent, StdioUpstream, TestApp};
use futures_util::stream;
use http::header;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{code, kill, stopped, throw, unkill};
use crate::oauth::chain::{Chain, sid_of};

/// Nothing takes longer than this. What hangs would hang for ever.
const SOON: Duration = Duration::from_secs(10);

/// An upstream whose `hang` never answers, and whose `talk` never stops.
struct Upstream {
    asked: Semaphore,
    left: AtomicUsize,
    said: AtomicUsize,
}

/// Notes that whoever waited went away.
struct Leaving(Arc<Upstream>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, SeqCst);
    }
}

async fn answer(State(upstream): State<Arc<Upstream>>, Json(message): Json<Value>) -> Response {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let result = match (message["method"].as_str().unwrap_or_default(), message["params"]["name"].as_str()) {
        ("initialize", _) => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        ("tools/list", _) => json!({"tools": [tool("hang"), tool("talk"), tool("quick")]}),
        ("tools/call", Some("hang")) => {
            let _leaving = Leaving(upstream.clone());
            upstream.asked.add_permits(1);
            std::future::pending().await
        }
        ("tools/call", Some("talk")) | ("subscriptions/listen", _) => return talk(upstream),
        ("tools/call", _) => json!({"content": [], "resultType": "complete"}),
        _ => return http::StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

/// A message every two milliseconds, for as long as somebody listens.
fn talk(upstream: Arc<Upstream>) -> Response {
    let (leaving, said) = (Leaving(upstream.clone()), upstream);
    let messages = stream::unfold((leaving, said), |(leaving, upstream)| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if upstream.said.fetch_add(1, SeqCst) == 0 {
            upstream.asked.add_permits(1);
        }
        let note =
            json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}});
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("data: {note}\n\n"))), (leaving, upstream)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(messages)).into_response()
}

async fn upstream() -> (Arc<Upstream>, Transport) {
    let (left, said) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let upstream = Arc::new(Upstream { asked: Semaphore::new(0), left, said });
    let router = Router::new().fallback(answer).with_state(upstream.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (upstream, Transport::Http(url))
}

async fn soon<T>(what: &str, doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, doing).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

impl Upstream {
    async fn is_asked(&self) {
        soon("the upstream is asked", self.asked.acquire()).await.unwrap().forget();
    }

    async fn is_left_by(&self, count: usize) {
        let left = async {
            while self.left.load(SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        soon("the upstream is not waited for any more", left).await;
    }
}

async fn company(transport: Transport) -> (TestApp, Agent, Agent) {
    let app = TestApp::builder().server("slow", transport, None).start().await;
    let (worker, other) = (app.agent("worker").await, app.agent("other").await);
    app.grant("worker", "slow").await;
    app.grant("other", "slow").await;
    (app, worker, other)
}

fn hang(agent: &Agent) -> tokio::task::JoinHandle<chancery_testkit::Answer> {
    let agent = agent.clone();
    tokio::spawn(async move { agent.rpc("slow", "tools/call", json!({"name": "hang", "arguments": {}})).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_call_is_cut_before_the_switch_is_acknowledged() {
    let (upstream, transport) = upstream().await;
    let (app, worker, other) = company(transport).await;
    for (scope, subject) in
        [("agent", "worker"), ("instance", "worker"), ("tool", "slow/hang"), ("server", "slow"), ("everything", "")]
    {
        let concerned = if ["agent", "instance"].contains(&scope) { 1 } else { 2 };
        let left = upstream.left.load(SeqCst);
        let (one, two) = (hang(&worker.at(&app)), hang(&other.at(&app)));
        upstream.is_asked().await;
        upstream.is_asked().await;
        let asked = json!({"scope": scope, "subject": subject});
        let preview = app.admin("POST", "/v1/containments/preview", asked).await.ok();
        assert_eq!(preview["calls"], json!(concerned), "{scope}");
        let thrown = soon(scope, kill(&app, scope, subject)).await;
        assert_eq!(stopped(&thrown, "calls"), concerned, "{scope}: {thrown}");
        assert_eq!(code(&soon("it is answered", one).await.unwrap()), "C2030", "{scope}");
        upstream.is_left_by(left + concerned as usize).await;
        assert!(concerned == 2 || !two.is_finished(), "{scope} concerns nobody else");
        unkill(&app, &thrown).await;
        app.clock().advance(chancery_model::Span::seconds(1));
        if concerned == 1 {
            let rest = kill(&app, "agent", "other").await;
            assert_eq!(stopped(&rest, "calls"), 1);
            unkill(&app, &rest).await;
            app.clock().advance(chancery_model::Span::seconds(1));
        }
        assert_eq!(code(&soon("it is answered", two).await.unwrap()), "C2030", "{scope}");
    }
    let log = app.log().await;
    let outcomes: Vec<&Value> = log.iter().filter(|e| e["kind"] == "outcome" && e["tool"] == "hang").collect();
    assert_eq!(outcomes.len(), 10);
    assert!(outcomes.iter().all(|outcome| outcome["result"] == "indeterminate"), "{outcomes:#?}");
}

/// The negative control: a call that is not cut is no acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_survives_fails_the_switch() {
    let (upstream, transport) = upstream().await;
    let (app, worker, _) = company(transport).await;
    UNCUT.store(true, SeqCst);
    let call = hang(&worker);
    upstream.is_asked().await;
    let failed = soon("it gives up", throw(&app, "agent", "worker")).await;
    assert_eq!((failed.status.as_u16(), failed.json()["code"].as_str()), (503, Some("C2053")), "{}", failed.text());
    assert!(failed.json()["detail"].as_str().unwrap().contains("1 of 1 calls go on"), "{}", failed.text());
    let listed = app.admin("GET", "/v1/containments", Value::Null).await.ok();
    assert_eq!(listed["items"][0]["subject"], "worker", "it is in force all the same");
    UNCUT.store(false, SeqCst);
    call.abort();
    assert_eq!(throw(&app, "agent", "worker").await.ok()["already"], true, "thrown again, it is acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_switch() {
    for (method, params) in [
        ("tools/call", json!({"name": "talk", "arguments": {}})),
        ("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})),
    ] {
        let (upstream, transport) = upstream().await;
        let (app, worker, _) = company(transport).await;
        let streaming = tokio::spawn(async move { worker.rpc("slow", method, params).await });
        upstream.is_asked().await;
        let thrown = soon(method, kill(&app, "agent", "worker")).await;
        let answer = soon("the stream ends", streaming).await.unwrap();
        let last = answer.text().lines().filter_map(|line| line.strip_prefix("data:").map(str::to_owned)).next_back();
        let last: Value = serde_json::from_str(&last.unwrap()).unwrap();
        assert!(last.to_string().contains("C2030"), "{method}: {last} {thrown}");
        upstream.is_left_by(1).await;
    }
}

/// Everybody below a session that is killed is cut with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descendants_are_cut_with_the_session_that_they_hang_on() {
    let (upstream, transport) = upstream().await;
    let mut chain = Chain::with(TestApp::builder().server("slow", transport, None)).await;
    let root = chain.root_at("slow").await;
    let second = chain.hand_on((chain.helper(), &chain.worker), &root, "slow", "work").await;
    let third = chain.hand_on((&chain.worker, &chain.clerk), &second, "slow", "work").await;
    let call = chain.call(&chain.clerk, &third, ("slow", "hang"), json!({}));
    let kill = async {
        upstream.is_asked().await;
        kill(&chain.flow.app, "session", &sid_of(&root)).await
    };
    let (answer, thrown) = soon("both", async { tokio::join!(call, kill) }).await;
    assert_eq!((code(&answer).as_str(), stopped(&thrown, "calls")), ("C2030", 1), "{thrown}");
    for (agent, token) in [(chain.helper(), &root), (&chain.worker, &second), (&chain.clerk, &third)] {
        let refused = chain.call(agent, token, ("slow", "quick"), json!({})).await;
        assert_eq!((refused.status.as_u16(), code(&refused)), (403, "C2050".to_owned()), "{}", refused.text());
        let said = chain.flow.post_as(agent, "/oauth/introspect", &[("token", token)]).await.ok();
        assert_eq!(said["active"], false, "introspection says the same");
    }
    // The session of somebody else in the same agent's name is another one.
    let other = chain.clerk.call("slow", "quick", json!({})).await;
    assert!(other["result"]["content"].is_array(), "{other}");
}

fn alive(pid: u64) -> bool {
    // A process that has ended and was waited for is not there any more.
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_processes_are_gone_when_the_switch_is_acknowledged() {
    let upstream = StdioUpstream::new();
    let app = TestApp::builder().stdio("crm", &upstream).start().await;
    let (worker, other) = (app.agent("worker").await, app.agent("other").await);
    app.grant("worker", "crm").await;
    app.grant("other", "crm").await;
    let session = worker.session("crm").await;
    session.call("echo", json!({"text": "in a session"})).await;
    for agent in [&worker, &other] {
        agent.call("crm", "echo", json!({"text": "without"})).await;
    }
    let calls = || upstream.seen().into_iter().filter(|seen| seen["message"]["method"] == "tools/call");
    let pids: Vec<u64> = calls().map(|seen| seen["pid"].as_u64().unwrap()).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| alive(*pid)));
    let thrown = kill(&app, "agent", "worker").await;
    assert_eq!((stopped(&thrown, "connections"), stopped(&thrown, "processes")), (1, 2), "{thrown}");
    assert_eq!(pids.iter().map(|pid| alive(*pid)).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(code(&session.send("tools/list", Value::Null).await), "C2050");
    let thrown = kill(&app, "server", "crm").await;
    assert_eq!(stopped(&thrown, "processes"), 1, "{thrown}");
    assert!(!alive(pids[2]));
    let refused = other.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
    assert_eq!(code(&refused), "C2050");
}

/// A tool that is contained is refused to everybody, in a way that a model can read, and is not listed.
#[tokio::test]
async fn a_contained_tool_is_refused_to_everybody_and_not_listed() {
    let (_upstream, transport) = upstream().await;
    let (app, worker, other) = company(transport).await;
    assert_eq!(worker.tools("slow").await.len(), 3);
    let thrown = kill(&app, "tool", "slow/quick").await;
    for agent in [&worker, &other] {
        let refused = agent.rpc("slow", "tools/call", json!({"name": "quick", "arguments": {}})).await;
        let said = refused.json();
        assert_eq!((refused.status.as_u16(), code(&refused)), (200, "C2050".to_owned()), "{said}");
        let text = said["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        assert!(text.contains(thrown["id"].as_str().unwrap()) && !text.contains("a test"), "no internals: {text}");
    }
    assert_eq!(worker.tools("slow").await, ["hang", "talk"]);
    unkill(&app, &thrown).await;
    assert!(worker.call("slow", "quick", json!({})).await["result"]["content"].is_array(), "its sessions go on");
}
