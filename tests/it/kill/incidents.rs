//! What happened to others, played again: incidents I5, I8 and I9 of the promises.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use chancery_testkit::{Agent, HttpUpstream, TestApp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;

use super::{code, kill};
use crate::oauth::chain::{Chain, token_of};
use crate::oauth::client::with;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// I5 (tj-actions, Trivy): one credential of 77 was missed, and that was the one that counted. Everything that an owner's
/// agents were ever given is tried again once the call that revokes it has returned: nothing is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_revoke_all_returns_every_child_credential_is_rejected() {
    let mut chain = Chain::start().await;
    let all = Everything::of(&mut chain).await;
    let alive = all.accepted(&mut chain).await;
    assert_eq!(alive.len(), all.access.len(), "each access token is good before: {alive:?}");
    let thrown = kill(&chain.flow.app, "owner", "lee@example.com").await;
    let alive = [all.accepted(&mut chain).await, all.redeemed(&mut chain).await].concat();
    assert!(alive.is_empty(), "survivors: {alive:?} {thrown}");
    println!(
        "I5: {} access tokens of one owner's agents and {} other credentials, 0 of them taken after the call returned",
        all.access.len(),
        PENDING
    );
}

/// The control: with one agent left out of what is revoked, the same look finds its survivors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_was_missed_is_seen() {
    let mut chain = Chain::start().await;
    let all = Everything::of(&mut chain).await;
    for agent in ["helper", "worker"] {
        kill(&chain.flow.app, "agent", agent).await;
    }
    let alive = all.accepted(&mut chain).await;
    assert_eq!(alive, ["clerk for itself", "clerk at billing"], "one agent was forgotten");
}

/// How many credentials are tried beside access tokens.
const PENDING: usize = 7;

/// Whatever the agents of one owner hold.
struct Everything {
    access: Vec<(&'static str, Agent, &'static str, String)>,
    refresh: String,
    handed: String,
    code: String,
    device: Value,
    pushed: String,
    enrolment: String,
}

impl Everything {
    async fn of(chain: &mut Chain) -> Self {
        let request = chain.flow.request();
        let code = chain.flow.code(&request).await;
        let tokens = chain.flow.redeem(&code).await.ok();
        let root = token_of(&tokens);
        let (helper, worker, clerk) = (chain.helper().clone(), chain.worker.clone(), chain.clerk.clone());
        let (crm, billing) = (chain.flow.resource(), chain.flow.app.at("/mcp/billing"));
        let details = json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"]}]).to_string();
        let asked = [("authorization_details", details.as_str()), ("resource", crm.as_str())];
        let task = token_of(&chain.exchange(&helper, &root, &asked).await.ok());
        let second = chain.hand_on((&helper, &worker), &root, "crm", "work").await;
        let third = chain.hand_on((&worker, &clerk), &second, "crm", "work").await;
        let handed = token_of(&chain.exchange(&helper, &root, &[("may_act", "clerk")]).await.ok());
        let access = vec![
            ("helper for a person", helper.clone(), "crm", root),
            ("its task", helper, "crm", task),
            ("worker for helper", worker.clone(), "crm", second),
            ("clerk for worker", clerk.clone(), "crm", third),
            ("worker for itself", worker.clone(), "crm", worker.token(&crm).await),
            ("clerk for itself", clerk.clone(), "crm", clerk.token(&crm).await),
            ("clerk at billing", clerk.clone(), "billing", clerk.token(&billing).await),
        ];
        let code = chain.flow.code(&request).await;
        let device = chain.flow.post("/oauth/device_authorization", &[("resource", &crm)]).await.ok();
        let form: Vec<(&str, &str)> = request.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let pushed = chain.flow.post("/oauth/par", &form).await.json();
        let enrolment = chain.flow.app.register("newcomer", "agent").await;
        let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        let pushed = pushed["request_uri"].as_str().unwrap().to_owned();
        Self { access, refresh, handed, code, device, pushed, enrolment }
    }

    /// The access tokens that somebody takes: the gateway, or introspection.
    async fn accepted(&self, chain: &mut Chain) -> Vec<&'static str> {
        let mut accepted = Vec::new();
        for (name, agent, server, token) in &self.access {
            let answer = chain.call(agent, token, (server, "echo"), json!({"text": "x"})).await;
            if answer.status == 200 && answer.json()["result"]["isError"] != true {
                accepted.push(*name);
            }
        }
        accepted
    }

    /// Whatever else can be turned into something.
    async fn redeemed(&self, chain: &mut Chain) -> Vec<&'static str> {
        let mut redeemed = Vec::new();
        let mut note = |name, taken: bool| redeemed.extend(taken.then_some(name));
        let flow = &mut chain.flow;
        note("refresh token", flow.refresh(&self.refresh).await.status == 200);
        note("code", flow.redeem(&self.code).await.status == 200);
        let device = self.device["device_code"].as_str().unwrap();
        let polled = flow.post("/oauth/token", &[("grant_type", DEVICE), ("device_code", device)]).await;
        note("device code", polled.status == 200 || polled.text().contains("authorization_pending"));
        let asked = with(&[], &[("client_id", "helper"), ("request_uri", self.pushed.as_str())]);
        note("pushed request", flow.ask(&asked).await.text().contains("value=\"allow\""));
        let key = chancery_authenticate::client::AgentKey::generate().unwrap();
        note("enrolment code", Agent::try_enrol(&flow.app, &key, &self.enrolment).await.status == 200);
        let clerk = chain.clerk.clone();
        note("handed over", chain.exchange(&clerk, &self.handed, &[]).await.status == 200);
        note("key", clerk.at(&chain.flow.app).try_token(&chain.flow.resource()).await.is_none());
        redeemed
    }
}

/// I9 (Kiro, OpenClaw): an agent that is told to stop and does not. It tries everything it knows, again and again; what it
/// does after the acknowledgement is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_ignores_the_stop_does_nothing_after_it() {
    const TRIES: usize = 300;
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let agent = app.agent("runaway").await;
    app.grant("runaway", "crm").await;
    let (tries, stop, mut loops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), JoinSet::new());
    for number in 0..4 {
        // New sessions, new copies, the session that it had, and MCP sessions.
        let (agent, tries, stop) = (agent.copy(&format!("copy-{number}")), tries.clone(), stop.clone());
        loops.spawn(async move {
            while !stop.load(SeqCst) {
                agent.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
                tries.fetch_add(1, SeqCst);
            }
        });
    }
    let until = async |what: &dyn Fn() -> bool| {
        let waiting = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("in time");
    };
    until(&|| upstream.calls().len() >= 20).await;
    let thrown = kill(&app, "agent", "runaway").await;
    let (done, before) = (upstream.calls().len(), tries.load(SeqCst));
    until(&|| tries.load(SeqCst) >= before + TRIES).await;
    stop.store(true, SeqCst);
    while loops.join_next().await.is_some() {}
    let after = upstream.calls().len() - done;
    // What was on its way was cut, and stands in the record as what nobody knows.
    assert!(after as u64 <= super::stopped(&thrown, "calls"), "{after} actions after the acknowledgement: {thrown}");
    let entry = thrown["entry"].as_str().unwrap();
    let log = app.log().await;
    let since = log.iter().position(|e| e["id"] == entry).unwrap_or(0);
    assert!(!log[since..].iter().any(|e| e["kind"] == "intent" && e["agent"] == "runaway" && acted(&log, e)));
    println!("I9: {TRIES} tries after the acknowledgement, {after} arrived that were on their way");
}

/// Did anything come of this intent?
fn acted(log: &[Value], intent: &Value) -> bool {
    log.iter().any(|e| e["kind"] == "outcome" && e["closes"] == intent["id"] && e["result"] != "not_sent")
}

/// An agent that found a credential: it is in a network of its own, in which there is nothing, and speaks to the gateway
/// through its standard input and output. It tries the credential where it found it, and then asks the gateway.
const FINDER: &str = r#"
import json, socket, sys
host, port, found = sys.argv[1], int(sys.argv[2]), sys.argv[3]
try:
    with socket.create_connection((host, port), timeout=2) as direct:
        direct.sendall(("DELETE /volumes/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % found).encode())
        reached = direct.recv(100).decode()
except OSError as error:
    reached = "unreachable: %s" % error
print(json.dumps({"direct": reached}), flush=True)
for line in sys.stdin:
    print(json.dumps({"answered": json.loads(line)}), flush=True)
"#;

/// I8 (PocketOS): an agent found a token that could do everything, and deleted a volume with it in nine seconds. Here the
/// agent has no way to the system but the gateway, the token that it finds is bound to another's key, and what nobody
/// allowed is not done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_found_token_is_worth_nothing_in_the_hands_of_another() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http_with_secret("crm", &upstream, "crm-token").start().await;
    app.secret("crm-token", "the-unscoped-token").await;
    let (finder, admin) = (app.agent("finder").await, app.agent("janitor").await);
    app.grant_tool("finder", "crm", "echo").await;
    app.grant("janitor", "crm").await;
    let address = upstream.url().strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let (host, port) = address.split_once(':').unwrap();

    // Directly, even with the very credential of the upstream: there is no network to send it over.
    #[expect(clippy::disallowed_methods, reason = "an agent is a process of its own, without a network")]
    let mut command = tokio::process::Command::new("unshare");
    command.args(["--net", "--map-root-user", "python3", "-c", FINDER, host, port, "the-unscoped-token"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("a namespace");
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(stdout).lines();
    let mut next = async || -> Value {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.expect("in time");
        serde_json::from_str(&line.unwrap().expect("a line")).unwrap()
    };
    let direct = next().await;
    assert!(direct["direct"].as_str().unwrap().starts_with("unreachable"), "{direct}");
    assert!(upstream.calls().is_empty());

    // Through the gateway, with the token of another agent that lay about: it is nothing without its key.
    let lying_about = admin.token(&admin.mcp("crm")).await;
    let url = app.at("/mcp/crm");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "refund", "arguments": {"order": "o", "amount": 1}}});
    for scheme in ["DPoP", "Bearer"] {
        let authorization = format!("{scheme} {lying_about}");
        let headers = [("authorization", authorization.as_str()), ("accept", "application/json, text/event-stream")];
        assert_eq!(app.http().post(&url, &headers, &call).await.status, 401, "{scheme}");
    }
    // And as itself: what nobody allowed it is denied, whatever it has found.
    let params = json!({"name": "refund", "arguments": {"order": "the-unscoped-token", "amount": 1}});
    let refused = finder.rpc("crm", "tools/call", params).await;
    assert_eq!(code(&refused), "C2001", "{}", refused.text());
    stdin.write_all(format!("{}\n", refused.json()).as_bytes()).await.unwrap();
    assert!(next().await["answered"]["result"]["isError"] == true, "the agent is told");
    assert!(upstream.calls().iter().all(|call| call.message["params"]["name"] != "refund"), "nothing was deleted");

    // Somebody sees it, and stops it; what it may do is nothing from then on.
    let thrown = kill(&app, "agent", "finder").await;
    let refused = finder.rpc("crm", "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
    assert!(refused.status.is_client_error() && refused.text().contains(thrown["id"].as_str().unwrap()));
    drop(stdin);
    child.wait().await.unwrap();
}
