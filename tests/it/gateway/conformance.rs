//! The MCP conformance suite against a fixture, directly and through the gateway: no check may be lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chancery_server::Transport;
use chancery_testkit::TestApp;
use http::{HeaderValue, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::peers::{Running, command, directory, node, output};

/// The suite cannot authenticate: this adds a bearer token on the way to the gateway, and nothing else.
struct Adding {
    client: Client<HttpConnector, Body>,
    to: String,
    authority: String,
    token: String,
}

async fn add(State(adding): State<Arc<Adding>>, mut request: Request) -> Response {
    let own = |value: &HeaderValue| value.to_str().is_ok_and(|v| v.contains("127.0.0.1:") || v.contains("localhost:"));
    let headers = request.headers_mut();
    if headers.get(header::HOST).is_some_and(own) {
        headers.insert(header::HOST, HeaderValue::from_str(&adding.authority).unwrap());
    }
    if headers.get(header::ORIGIN).is_some_and(own) {
        headers.insert(header::ORIGIN, HeaderValue::from_str(&format!("http://{}", adding.authority)).unwrap());
    }
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", adding.token)).unwrap());
    *request.uri_mut() = adding.to.parse().unwrap();
    match adding.client.request(request).await {
        Ok(response) => response.map(Body::new).into_response(),
        Err(e) => (StatusCode::BAD_GATEWAY, e.to_string()).into_response(),
    }
}

async fn proxy(to: String, token: String) -> String {
    let authority = to.split('/').nth(2).unwrap().to_owned();
    // A connection of its own for each request: none can be closed under it.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let router = Router::new().fallback(add).with_state(Arc::new(Adding { client, to, authority, token }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Every check by scenario and id, and how it ended.
type Checks = BTreeMap<String, Vec<String>>;

async fn run(peers: &Path, url: &str, revision: &str, to: &Path) -> Checks {
    let suite = peers.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let to_text = to.display().to_string();
    let arguments =
        [&suite.display().to_string(), "server", "--url", url, "--requirements", revision, "--output-dir", &to_text];
    let said = output(command(&node(peers), peers, &arguments)).await;
    let mut checks = Checks::new();
    for entry in std::fs::read_dir(to).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stdout))).flatten()
    {
        let Ok(text) = std::fs::read_to_string(entry.path().join("checks.json")) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let scenario = scenario_of(&name);
        for check in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
            let id =
                format!("{scenario} {} {}", check["id"].as_str().unwrap_or(""), check["name"].as_str().unwrap_or(""));
            let (status, why) = (check["status"].as_str().unwrap_or(""), check["errorMessage"].as_str().unwrap_or(""));
            checks.entry(id).or_default().push(format!("{status} {why}").trim_end().to_owned());
        }
    }
    checks
}

/// Results are kept in folders `server-SCENARIO-TIME`, with a time like `2026-11-23T04-15-31-820Z`.
fn scenario_of(folder: &str) -> String {
    const TIME: usize = "-2026-11-23T04-15-31-820Z".len();
    folder[..folder.len().saturating_sub(TIME)].to_owned()
}

fn good(status: &str) -> bool {
    ["SUCCESS", "INFO", "SKIPPED"].iter().any(|good| status.starts_with(good))
}

async fn compare(revision: &str) {
    let Some(peers) = directory("MCP conformance through the gateway") else { return };
    let fixture = Running::start(command(&node(&peers), &peers, &["conformance-server.mjs"]));
    let app = TestApp::builder().server("fixture", Transport::Http(fixture.url.clone()), None).start().await;
    let agent = app.agent("suite").await;
    app.grant("suite", "fixture").await;
    app.admin("POST", "/v1/agents/suite/bearer", json!({"allow": true, "reason": "the suite cannot sign"})).await.ok();
    let agent = agent.bearer();
    let url = agent.mcp("fixture");
    let through = proxy(url.clone(), agent.token(&url).await).await;

    let results = tempfile::tempdir().unwrap();
    let direct = run(&peers, &fixture.url, revision, &results.path().join("direct")).await;
    let gateway = run(&peers, &through, revision, &results.path().join("gateway")).await;
    let passed = |checks: &Checks| checks.values().flatten().filter(|status| status.starts_with("SUCCESS")).count();
    let mut lost = Vec::new();
    for (id, direct) in &direct {
        let ours = gateway.get(id).cloned().unwrap_or_default();
        let well = |statuses: &[String]| statuses.iter().filter(|status| good(status)).count();
        if well(&ours) < well(direct) {
            lost.push(format!("{id}: {direct:?} directly, {ours:?} through the gateway"));
        }
    }
    for entry in
        app.log().await.iter().filter(|entry| entry["kind"] == "decision" || entry["result"] == "indeterminate")
    {
        println!("{} {} {} {}", entry["kind"], entry["action"], entry["detail"], entry["reasons"]);
    }
    println!(
        "conformance {revision}: {} checks pass directly, {} through the gateway, {} lost",
        passed(&direct),
        passed(&gateway),
        lost.len()
    );
    assert!(passed(&direct) > 50, "the fixture passes by itself: {direct:#?}");
    assert_eq!(lost, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_of_2026_07_28_is_lost() {
    compare("2026-07-28").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_of_2025_11_25_is_lost() {
    compare("2025-11-25").await;
}
