//! Chains through the front door: a person lets an agent act, which hands on by token exchange (RFC 8693), and what is
//! called at the end of it is decided, narrowed and recorded for everybody in it.

use std::collections::BTreeSet;

use chancery_authenticate::client::ProofFor;
use chancery_model::Span;
use chancery_testkit::{Agent, Answer, Browser, Builder, TestApp};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::client::{Flow, MARA, claims, with};
use crate::cli::Desk;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

const RULES: &str = r#"
@id("hand-on") permit (principal is Agent, action == Action::"delegate", resource is Agent);
@id("people-call") permit (principal is Human, action in Action::"tools/call", resource);
@id("agents-call") permit (principal is Agent, action in Action::"tools/call", resource);
"#;

/// Mara's `helper`, to which she says yes, and two agents that it can hand on to.
pub struct Chain {
    pub flow: Flow,
    pub worker: Agent,
    pub clerk: Agent,
}

impl Chain {
    pub async fn start() -> Self {
        Self::with(TestApp::builder()).await
    }

    pub async fn with(builder: Builder) -> Self {
        let flow = Flow::with(builder.policy("chain.cedar", RULES)).await;
        let (worker, clerk) = (flow.app.agent("worker").await, flow.app.agent("clerk").await);
        Self { flow, worker, clerk }
    }

    pub fn helper(&self) -> &Agent {
        &self.flow.agent
    }

    /// Mara lets `helper` act: its token.
    pub async fn root(&mut self) -> String {
        self.root_at("crm").await
    }

    /// The same at this server.
    pub async fn root_at(&mut self, server: &str) -> String {
        let resource = self.flow.app.at(&format!("/mcp/{server}"));
        let request = with(&self.flow.request(), &[("resource", resource.as_str())]);
        let code = self.flow.code(&request).await;
        token_of(&self.flow.redeem(&code).await.ok())
    }

    pub async fn exchange(&self, by: &Agent, subject: &str, more: &[(&str, &str)]) -> Answer {
        let base = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS)];
        self.flow.post_as(by, "/oauth/token", &[&base[..], more].concat()).await
    }

    /// `from` hands its session over, `to` takes it for this resource: the token of a session below it.
    pub async fn hand_on(&self, (from, to): (&Agent, &Agent), token: &str, server: &str, purpose: &str) -> String {
        let handed = token_of(&self.exchange(from, token, &[("may_act", to.name())]).await.ok());
        let resource = self.flow.app.at(&format!("/mcp/{server}"));
        let taken = self.exchange(to, &handed, &[("resource", &resource), ("purpose", purpose)]).await;
        token_of(&taken.ok())
    }

    /// Calls a tool over the stateless wire with a token as it is.
    pub async fn call(&self, by: &Agent, token: &str, (server, tool): (&str, &str), arguments: Value) -> Answer {
        let url = self.flow.app.at(&format!("/mcp/{server}"));
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let mut nonce = String::new();
        loop {
            let known = (!nonce.is_empty()).then_some(nonce.as_str());
            let asked = ProofFor { method: "POST", url: &url, token: Some(token), nonce: known };
            let proof = by.key().proof(asked, self.flow.app.time().now(), &*self.flow.app.random()).unwrap();
            let authorization = format!("DPoP {token}");
            let headers = [
                ("authorization", authorization.as_str()),
                ("dpop", &proof),
                ("accept", "application/json, text/event-stream"),
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "tools/call"),
                ("mcp-name", tool),
            ];
            let answer = self.flow.app.http().post(&url, &headers, &message).await;
            let again = nonce.is_empty() && answer.header("www-authenticate").contains("use_dpop_nonce");
            nonce = answer.header("dpop-nonce");
            if !again {
                return answer;
            }
        }
    }
}

pub fn token_of(body: &Value) -> String {
    body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {body}")).to_owned()
}

pub fn sid_of(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

fn done(answer: &Answer) -> bool {
    answer.status == 200 && answer.json()["result"]["isError"] != true
}

fn ids(entries: &[Value]) -> BTreeSet<String> {
    entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

/// The entries of the log of which this holds, once each intent among them has its outcome.
async fn settled(app: &TestApp, holds: impl Fn(&Value) -> bool) -> Vec<Value> {
    for _ in 0..500 {
        let log = app.log().await;
        let found: Vec<Value> = log.into_iter().filter(&holds).collect();
        let count = |kind: &str| found.iter().filter(|entry| entry["kind"] == kind).count();
        if count("intent") == count("outcome") {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("an intent has no outcome");
}

#[tokio::test]
async fn a_call_at_the_end_of_a_chain_is_recorded_with_everybody_in_it_and_found_by_them() {
    let mut chain = Chain::start().await;
    let root = chain.root().await;
    let second = chain.hand_on((chain.helper(), &chain.worker), &root, "crm", "quarterly report").await;
    let third = chain.hand_on((&chain.worker, &chain.clerk), &second, "crm", "look up one order").await;
    let said = chain.call(&chain.clerk, &third, ("crm", "echo"), json!({"text": "hello"})).await;
    assert_eq!(said.ok()["result"]["content"][0]["text"], "hello", "{}", said.text());
    // What is not of it: the agent before, the last agent for itself, and for another person.
    assert!(done(&chain.call(&chain.worker, &second, ("crm", "echo"), json!({"text": "x"})).await));
    assert!(done(&chain.call(chain.helper(), &root, ("crm", "echo"), json!({"text": "x"})).await));
    assert_eq!(chain.clerk.call("crm", "echo", json!({"text": "x"})).await["result"]["content"][0]["text"], "x");
    chain.flow.browser = Browser::of_person(&chain.flow.app, "lee@example.com").await;
    let of_lee = chain.root().await;
    let of_lee = chain.hand_on((chain.helper(), &chain.clerk), &of_lee, "crm", "another").await;
    assert!(done(&chain.call(&chain.clerk, &of_lee, ("crm", "echo"), json!({"text": "x"})).await));

    let sid = sid_of(&third);
    let of_it = settled(&chain.flow.app, |entry| entry["session"] == sid.as_str() && entry["tool"] == "echo").await;
    let [intent, outcome] = &of_it[..] else { panic!("one call: {of_it:#?}") };
    let call = &chain.flow._upstream.calls()[0];
    assert_eq!(call.header("chancery-intent"), intent["id"].as_str());
    assert!(!format!("{call:?}").contains(&third) && !format!("{call:?}").contains(&sid), "the upstream sees no token");
    let everybody = json!([MARA, "helper", "worker", "clerk"]);
    for entry in [intent, outcome] {
        assert_eq!((&entry["human"], &entry["chain"], &entry["agent"]), (&json!(MARA), &everybody, &json!("clerk")));
    }
    assert_eq!(outcome["closes"], intent["id"]);
    assert_eq!((&intent["task"], &intent["decision"]), (&json!("look up one order"), &json!("allow")));
    assert_eq!(intent["flow"], sid_of(&root), "the session at the root");
    let policies: BTreeSet<&str> =
        intent["policies"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(policies, ["agents-call", "people-call"].into(), "{intent:#}");

    // What is found by person and chain is all of it, and nothing else.
    settled(&chain.flow.app, |entry| entry["tool"] == "echo").await;
    let all = chain.flow.app.log().await;
    let Chain { flow, .. } = chain;
    let desk = Desk { app: flow.app, upstream: flow._upstream };
    for (human, link) in
        [(MARA, "clerk"), (MARA, "worker"), ("lee@example.com", "clerk"), ("lee@example.com", "worker")]
    {
        let is = |entry: &&Value| {
            entry["human"] == human && entry["chain"].as_array().is_some_and(|chain| chain.contains(&json!(link)))
        };
        let expected: Vec<Value> = all.iter().filter(is).cloned().collect();
        let query = format!("/v1/log?limit=1000&human={human}&chain={link}");
        let found = desk.app.admin("GET", &query, Value::Null).await.ok();
        assert_eq!(ids(found["items"].as_array().unwrap()), ids(&expected), "{human} {link}");
        let printed = desk.ok(&format!("log tail -n 1000 --human {human} --chain {link} -o jsonl")).await;
        let printed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ids(&printed), ids(&expected), "{human} {link}");
        assert_eq!(expected.is_empty(), human != MARA && link == "worker");
        assert_eq!(ids(&expected).is_superset(&ids(&of_it)), human == MARA);
    }
    let calls = desk.ok(&format!("log tail --human {MARA} --chain clerk --tool echo -o jsonl")).await;
    assert_eq!(calls.lines().count(), 2, "its intent and its outcome: {calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_calls_as_were_granted_pass_whoever_of_the_chain_makes_them() {
    const CALLS: usize = 5;
    let mut chain = Chain::start().await;
    let root = chain.root().await;
    let details = json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"], "calls": CALLS}]).to_string();
    let resource = chain.flow.resource();
    let asked = [("authorization_details", details.as_str()), ("resource", resource.as_str())];
    let task = chain.exchange(chain.helper(), &root, &asked).await.ok();
    assert_eq!(task["authorization_details"].to_string(), details, "{task}");
    let task = token_of(&task);
    let below = chain.hand_on((chain.helper(), &chain.worker), &task, "crm", "a part of it").await;
    let arguments = || json!({"text": "x"});
    let calls = (0..4 * CALLS).map(|n| match n % 2 {
        0 => chain.call(chain.helper(), &task, ("crm", "echo"), arguments()),
        _ => chain.call(&chain.worker, &below, ("crm", "echo"), arguments()),
    });
    let (passed, refused): (Vec<Answer>, Vec<Answer>) = join_all(calls).await.into_iter().partition(done);
    assert_eq!((passed.len(), chain.flow._upstream.calls().len()), (CALLS, CALLS));
    for answer in refused {
        assert_eq!(answer.json()["result"]["_meta"]["chancery/decision"]["code"], "C2021", "{}", answer.text());
    }
    // Another tool, and what is above it and was not narrowed.
    let other = chain.call(&chain.worker, &below, ("crm", "add"), json!({"a": 1, "b": 1})).await;
    assert_eq!(other.json()["result"]["_meta"]["chancery/decision"]["code"], "C2021", "{}", other.text());
    assert!(done(&chain.call(chain.helper(), &root, ("crm", "echo"), arguments()).await), "the root has all calls");
    // More than was left is not to be had by asking again.
    let wider = json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"], "calls": CALLS + 1}]).to_string();
    let wider = [("authorization_details", wider.as_str()), asked[1]];
    let wider = chain.exchange(&chain.worker, &below, &wider).await;
    assert_eq!(wider.json()["error"], "invalid_authorization_details", "{}", wider.text());
    let same = token_of(&chain.exchange(&chain.worker, &below, &asked).await.ok());
    assert!(
        !done(&chain.call(&chain.worker, &same, ("crm", "echo"), arguments()).await),
        "a new task has no new calls"
    );
}

/// Step-up (RFC 9470) from the challenge to the page and back: the same session goes on, with the token that it had.
#[tokio::test]
async fn a_person_confirms_presence_and_the_same_session_goes_on() {
    let big = r#"@id("big") @outcome("step_up") @max_age("120")
        permit (principal, action == Action::"crm/refund", resource);"#;
    let mut chain = Chain::with(TestApp::builder().policy("big.cedar", big)).await;
    let root = chain.root().await;
    let below = chain.hand_on((chain.helper(), &chain.worker), &root, "crm", "a refund").await;
    let worker = chain.worker.clone();
    chain.flow.app.clock().advance(Span::seconds(121));
    let refund = json!({"order": "o-1", "amount": 20});
    let challenged = chain.call(&worker, &below, ("crm", "refund"), refund.clone()).await;
    let challenge = challenged.header("www-authenticate");
    assert_eq!(challenged.status, 401, "{}", challenged.text());
    assert!(
        challenge.contains("insufficient_user_authentication") && challenge.contains("max_age=\"120\""),
        "{challenge}"
    );
    assert!(
        done(&chain.call(&worker, &below, ("crm", "echo"), json!({"text": "x"})).await),
        "only what wants a person"
    );
    let address = challenged.json()["error"]["data"]["presence"].as_str().unwrap().to_owned();
    assert!(address.ends_with(&format!("/presence/{}", sid_of(&below))), "{address}");
    let path = address.strip_prefix(chain.flow.app.url()).unwrap().to_owned();

    let sessions = async |app: &TestApp| {
        app.admin("GET", "/v1/sessions", Value::Null).await.ok()["items"].as_array().unwrap().len()
    };
    let before = sessions(&chain.flow.app).await;
    let mut stranger = Browser::of_person(&chain.flow.app, "stranger@example.com").await;
    let form = stranger.form_key().await;
    assert_eq!(stranger.post(&path, &[("form", &form)]).await.status, 403);
    assert_eq!(
        chain.call(&worker, &below, ("crm", "refund"), refund.clone()).await.status,
        401,
        "a stranger confirms nothing"
    );
    let page = chain.flow.browser.get(&path).await;
    assert!(page.text().contains(&format!("{MARA} → helper → worker")), "{}", page.text());
    let form = chain.flow.browser.form_key().await;
    assert_eq!(chain.flow.browser.post(&path, &[("form", &form)]).await.status, 200);
    let answer = chain.call(&worker, &below, ("crm", "refund"), refund.clone()).await;
    assert_eq!(answer.ok()["result"]["content"][0]["text"], "refunded 20 on \"o-1\"", "{}", answer.text());
    assert_eq!(sessions(&chain.flow.app).await, before, "no new login, no new session");
    // Whoever answers for the whole chain is present in all of it, and not for long.
    assert!(done(&chain.call(chain.helper(), &root, ("crm", "refund"), refund.clone()).await));
    chain.flow.app.clock().advance(Span::seconds(121));
    assert_eq!(chain.call(&worker, &below, ("crm", "refund"), refund).await.status, 401);
    let calls = chain.flow._upstream.calls();
    assert_eq!(calls.iter().filter(|call| call.message["params"]["name"] == "refund").count(), 2);
}

/// One link of the chain may do less than the others: so little is what it may do together.
#[tokio::test]
async fn what_one_of_the_chain_may_not_do_the_chain_may_not() {
    let forbidden = r#"
        @id("not-mara") forbid (principal == Human::"mara@example.com", action == Action::"crm/refund", resource);
        @id("not-helper") forbid (principal == Agent::"helper", action == Action::"crm/add", resource);"#;
    let mut chain = Chain::with(TestApp::builder().policy("less.cedar", forbidden)).await;
    let root = chain.root().await;
    let below = chain.hand_on((chain.helper(), &chain.worker), &root, "crm", "work").await;
    let refund = json!({"order": "o-1", "amount": 20});
    for (tool, arguments) in [("refund", refund), ("add", json!({"a": 1, "b": 2}))] {
        let denied = chain.call(&chain.worker, &below, ("crm", tool), arguments.clone()).await;
        assert_eq!(denied.json()["result"]["_meta"]["chancery/decision"]["code"], "C2001", "{}", denied.text());
        let alone = chain.worker.call("crm", tool, arguments).await;
        assert!(alone["result"]["isError"] != true, "for itself it may: {alone}");
    }
    assert!(done(&chain.call(&chain.worker, &below, ("crm", "echo"), json!({"text": "x"})).await));
    let narrower = with(
        &chain.flow.request(),
        &[("authorization_details", r#"[{"type":"mcp_tool","server":"crm","tools":["add"]}]"#)],
    );
    let code = chain.flow.code(&narrower).await;
    let narrow = token_of(&chain.flow.redeem(&code).await.ok());
    let below = chain.hand_on((chain.helper(), &chain.worker), &narrow, "crm", "work").await;
    let outside = chain.call(&chain.worker, &below, ("crm", "echo"), json!({"text": "x"})).await;
    assert_eq!(outside.json()["result"]["_meta"]["chancery/decision"]["code"], "C2021", "{}", outside.text());
}
