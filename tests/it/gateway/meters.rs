//! Meters: reserved with the decision, settled with the outcome, and still there after a crash.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chancery_authenticate::meters::faults::LATE;
use chancery_authenticate::wallet::Wallet;
use chancery_model::Span;
use chancery_server::Transport;
use chancery_testkit::{Agent, Builder, Http, HttpUpstream, TestApp, encoded};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::promises::{Size, size};

/// Calls at once, and how many of them the budget is for.
const AT_ONCE: usize = 200;
const BUDGET: usize = 50;

/// A call of a tool without proofs of possession, so that many can be sent at once in one session.
#[derive(Clone)]
pub struct Client {
    http: Http,
    url: String,
    token: String,
}

impl Client {
    pub async fn of(app: &TestApp, agent: &Agent, server: &str) -> Self {
        app.admin("POST", &format!("/v1/agents/{}/bearer", agent.name()), json!({"allow": true})).await.ok();
        Self { http: Http::new(), url: agent.mcp(server), token: agent.bearer().token(&agent.mcp(server)).await }
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", authorization.as_str()),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", tool),
        ];
        self.http.post(&self.url, &headers, &message).await.json()
    }
}

/// Was it done? If not: was it a denial by the policy of this name?
pub fn done(answer: &Value) -> bool {
    assert!(answer["result"].is_object(), "{answer}");
    answer["result"]["isError"] != true
}

fn meters(list: Value) -> Builder {
    TestApp::builder().policy("meters.json", &list.to_string())
}

fn limit(name: &str, meter: &str, most: usize) -> String {
    format!(
        "@id(\"{name}\") forbid (principal, action in Action::\"tools/call\", resource) when {{ context.meters.{meter} >= {most} }};"
    )
}

/// Runs of so many calls at once, a minute apart; how many got through in each.
async fn runs(count: usize) -> Vec<usize> {
    let upstream = HttpUpstream::start().await;
    let budget = json!([{"name": "calls_minute", "counts": "calls", "per": "sponsor", "window": "60s"}]);
    let app = meters(budget).policy("limit.cedar", &limit("budget", "calls_minute", BUDGET)).http("s", &upstream);
    let app = app.start().await;
    // One agent may have 128 requests in progress.
    let agents = [app.agent("busy").await, app.agent("busier").await];
    for agent in &agents {
        app.grant(agent.name(), "s").await;
    }
    let mut through = Vec::new();
    for _ in 0..count {
        let clients = [Client::of(&app, &agents[0], "s").await, Client::of(&app, &agents[1], "s").await];
        let mut calls = JoinSet::new();
        for number in 0..AT_ONCE {
            let client = clients[number % 2].clone();
            calls.spawn(async move { done(&client.call("echo", json!({"text": "x"})).await) });
        }
        through.push(calls.join_all().await.into_iter().filter(|done| *done).count());
        app.clock().advance(Span::seconds(62));
    }
    let sent = upstream.calls().len();
    assert_eq!(sent, through.iter().sum::<usize>(), "what was denied was not sent");
    app.stop().await;
    through
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_calls_at_once_exactly_the_budget_of_50_gets_through_on_every_run() {
    let count = if size() == Size::Full { 100 } else { 20 };
    let through = runs(count).await;
    assert!(through.iter().all(|count| *count == BUDGET), "{through:?}");
    println!("meters: {count} runs of {AT_ONCE} calls at once against a budget of {BUDGET}: {BUDGET} through in each");
}

/// The negative control: reserving after the decision is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserving_after_the_decision_lets_more_through() {
    LATE.store(true, Ordering::SeqCst);
    let through = runs(2).await;
    assert!(through.iter().any(|count| *count > BUDGET), "a meter that reserves too late passed: {through:?}");
}

#[tokio::test]
async fn money_is_added_up_exactly_and_a_denial_or_a_failure_costs_nothing() {
    let upstream = HttpUpstream::start().await;
    let declared = json!([
        {"name": "refunded", "counts": {"argument": "amount"}, "per": "sponsor", "window": "24h",
         "of": {"server": "s", "tools": ["refund"]}},
        {"name": "refunds", "counts": "calls", "per": "sponsor", "window": "24h", "of": {"server": "s", "tools": ["refund"]}},
        {"name": "all", "counts": "calls", "per": "session", "window": "session"},
    ]);
    let app = meters(declared)
        .policy(
            "limit.cedar",
            r#"@id("ceiling") forbid (principal, action == Action::"s/refund", resource)
               when { context.meters.refunded + context.args.amount > 100 || context.meters.refunds >= 3 };"#,
        )
        .http("s", &upstream)
        .start()
        .await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    app.grant("first", "s").await;
    app.grant("second", "s").await;
    let refund = async |agent: &Agent, amount: i64| {
        done(&agent.call("s", "refund", json!({"order": "o", "amount": amount})).await)
    };
    assert!(refund(&first, 60).await);
    // Both have one sponsor.
    assert!(!refund(&second, 41).await && !refund(&second, 100).await, "60 and 41 are too much");
    let negative = first.call("s", "refund", json!({"order": "o", "amount": -50})).await;
    let code = &negative["result"]["_meta"]["chancery/decision"]["code"];
    assert_eq!(code, "C2020", "what would give back what was counted cannot be counted: {negative}");
    assert!(refund(&second, 40).await, "what was denied consumed nothing");
    assert!(!refund(&first, 1).await);
    assert!(done(&first.call("s", "echo", json!({"text": "x"})).await), "others are not counted");
    // What a decision was made on is kept with it.
    let log = app.log().await;
    let denied = log.iter().rfind(|entry| entry["decision"] == "deny" && entry["reasons"][0] == "C2001").unwrap();
    let why = app.admin("GET", &format!("/v1/decisions/{}", denied["id"].as_str().unwrap()), Value::Null).await.ok();
    assert!(why["would_pass"].to_string().contains("`context.meters.refunded` was 100"), "{why:#}");
    app.clock().advance(Span::hours(25));
    let first = first.at(&app);
    assert!(refund(&first, 100).await, "a day later");
}

/// An upstream whose `pay` waits for a leave, whose `list` returns so many rows as it is asked for, and whose `fail`
/// fails.
struct Upstream {
    asked: Semaphore,
    may: Semaphore,
}

async fn answer(State(upstream): State<Arc<Upstream>>, Json(message): Json<Value>) -> Response {
    let tool = |name: &str, required: &[&str]| {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": required});
        json!({"name": name, "inputSchema": schema})
    };
    let arguments = &message["params"]["arguments"];
    let result = match (message["method"].as_str().unwrap_or_default(), message["params"]["name"].as_str()) {
        ("initialize", _) => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        ("tools/list", _) => json!({"tools": [tool("pay", &["n"]), tool("list", &["n"]), tool("fail", &[])]}),
        ("tools/call", Some("list")) => {
            let rows: Vec<Value> = (0..arguments["n"].as_u64().unwrap()).map(|row| json!({"id": row})).collect();
            json!({"content": [], "structuredContent": {"rows": rows}})
        }
        ("tools/call", Some("fail")) => json!({"content": [], "isError": true}),
        ("tools/call", _) => {
            upstream.asked.add_permits(1);
            upstream.may.acquire().await.unwrap().forget();
            json!({"content": []})
        }
        _ => return http::StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

async fn upstream() -> (Arc<Upstream>, Transport) {
    let upstream = Arc::new(Upstream { asked: Semaphore::new(0), may: Semaphore::new(0) });
    let router = Router::new().fallback(answer).with_state(upstream.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (upstream, Transport::Http(url))
}

#[tokio::test]
async fn rows_count_as_many_as_came_back_and_a_bound_until_then() {
    let (_upstream, transport) = upstream().await;
    let rows = json!([{"name": "rows", "counts": {"result": "/structuredContent/rows", "reserve": 40}, "per": "session",
        "window": "session", "of": {"server": "s"}}]);
    let app =
        meters(rows).policy("limit.cedar", &limit("rows", "rows", 100)).server("s", transport, None).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "s").await;
    let list = async |n: i64| done(&agent.call("s", "list", json!({"n": n})).await);
    assert!(list(90).await && list(9).await, "99 rows");
    for _ in 0..3 {
        assert!(!done(&agent.call("s", "fail", json!({})).await));
    }
    assert!(list(5).await, "what failed returned nothing");
    assert!(!list(1).await, "104 rows");
    assert!(agent.at(&app).call("s", "list", json!({"n": 1})).await["result"]["isError"] != true, "another session");
}

/// The id of a new session of an agent, with these limits.
async fn narrowed(app: &TestApp, agent: &Agent, server: &str, limits: &Value) -> String {
    let mut wallet = Wallet::new(Arc::clone(agent.key()), agent.name(), app.url(), &agent.mcp(server));
    while wallet.is_empty(app.time().now()) {
        let call = wallet.ask(app.time().now(), &*app.random()).unwrap();
        let form = format!("{}&authorization_details={}", call.form, encoded(&limits.to_string()));
        let request = Request::post(&call.url).header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("dpop", call.dpop.unwrap_or_default());
        let answer = app.http().send(request.body(Full::new(Bytes::from(form))).unwrap()).await;
        let nonce = answer.header("dpop-nonce");
        let nonce = (!nonce.is_empty()).then_some(nonce.as_str());
        wallet.take(answer.status.as_u16(), nonce, &answer.body, app.time().now()).unwrap();
    }
    wallet.session().expect("a session").to_owned()
}

#[tokio::test]
async fn calls_of_a_limit_are_read_back_once_whatever_is_metered_later() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("s", &upstream).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", "s").await;
    let sid = narrowed(&app, &agent, "s", &json!([{"type": "mcp_tool", "server": "s", "calls": 3}])).await;
    let echo = async |agent: &Agent| done(&agent.call("s", "echo", json!({"text": "x"})).await);
    assert!(echo(&agent.again(&app, "s", &sid).await).await);
    let app = app.restart().await;
    let agent = agent.again(&app, "s", &sid).await;
    let declared = json!([{"name": "calls", "counts": "calls", "per": "agent", "window": "24h"}]);
    app.write_policy("meters.json", &declared.to_string());
    app.write_policy("limit.cedar", &limit("many", "calls", 100));
    app.admin("POST", "/v1/policies/reload", Value::Null).await.ok();
    assert!(echo(&agent).await && echo(&agent).await, "one of three was used before");
    assert!(!echo(&agent).await, "the fourth");
}

/// A copy of the directory at this moment is what a `kill -9` leaves.
fn copied(from: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (kind, path) = (entry.file_type().unwrap(), to.join(entry.file_name()));
            if kind.is_dir() {
                copy(&entry.path(), &path);
            } else if kind.is_file() {
                std::fs::copy(entry.path(), &path).unwrap();
            }
        }
    }
    let to = tempfile::Builder::new().prefix("chancery-copy-").tempdir().unwrap();
    copy(from, to.path());
    to
}

#[tokio::test]
async fn meters_stand_where_they_stood_after_a_restart_and_after_a_crash() {
    let (upstream, transport) = upstream().await;
    let declared = json!([
        {"name": "calls", "counts": "calls", "per": "agent", "window": "24h"},
        {"name": "euros", "counts": {"argument": "n"}, "per": "agent", "window": "24h", "of": {"server": "s", "tools": ["pay"]}},
    ]);
    let text = "@id(\"n\") forbid (principal, action == Action::\"s/pay\", resource)\n\
                when { context.meters.euros + context.args.n > 100 };\n";
    let start = |builder: Builder| {
        let declared = declared.to_string();
        builder.policy("meters.json", &declared).policy("limit.cedar", &(text.to_owned() + &limit("c", "calls", 6)))
    };
    let app = start(TestApp::builder()).server("s", transport.clone(), None).start().await;
    let agent = app.agent("payer").await;
    app.grant("payer", "s").await;
    upstream.may.add_permits(1);
    assert!(done(&agent.call("s", "pay", json!({"n": 30})).await));
    assert!(!done(&agent.call("s", "fail", json!({})).await));
    let app = app.restart().await;
    let agent = agent.at(&app);
    // Under way when the power is cut: 60 may have been paid.
    let hanging = tokio::spawn({
        let agent = agent.clone();
        async move { agent.call("s", "pay", json!({"n": 60})).await }
    });
    upstream.asked.acquire_many(2).await.unwrap().forget();
    let copy = copied(app.directory());
    let (data, kek) = (copy.path().join("data"), copy.path().join("kek"));
    let crashed = start(TestApp::builder()).server("s", transport, None).clock(app.time()).config(move |config| {
        (config.data, config.kek) = (data, kek);
    });
    let crashed = crashed.start().await;
    upstream.may.add_permits(100);
    // What was signed before the crash is too old for the next start.
    app.clock().advance(Span::seconds(10));
    let again = Agent::with_key(&crashed, "payer", agent.key().clone());
    let pay = async |n: i64| done(&again.call("s", "pay", json!({"n": n})).await);
    assert!(!pay(11).await, "30 and 60 are 90");
    assert!(pay(10).await, "100 to the last one");
    assert!(!pay(1).await);
    // Two calls before the first restart, one under way, one now: six may be begun.
    for _ in 0..2 {
        assert!(done(&again.call("s", "list", json!({"n": 1})).await));
    }
    assert!(!done(&again.call("s", "list", json!({"n": 1})).await), "the seventh");
    assert!(done(&tokio::time::timeout(Duration::from_secs(20), hanging).await.unwrap().unwrap()));
}
