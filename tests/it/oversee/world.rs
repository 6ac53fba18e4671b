//! A company in which refunds above 200 need somebody of the finance department.

use chancery_testkit::{Agent, Answer, Browser, Builder, Http, HttpUpstream, TestApp, hidden};
use serde_json::{Value, json};

/// Above 200 a refund needs somebody of `ap-finance`, above 5,000 nobody may.
pub const POLICY: &str = r#"
@id("big-refund") @approvers("ap-finance") @approve_within("120")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 200 }
unless { context.approval.granted };

@id("huge-refund")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 5000 };
"#;

/// `fin` and `ann` are in the finance department, `bob` is not.
pub fn people() -> String {
    let group = json!({"uid": {"type": "Group", "id": "ap-finance"}, "attrs": {}, "parents": []});
    let person =
        |name: &str, parents: Value| json!({"uid": {"type": "Human", "id": name}, "attrs": {}, "parents": parents});
    let finance = json!([{"type": "Group", "id": "ap-finance"}]);
    json!([group, person("fin", finance.clone()), person("ann", finance), person("bob", json!([]))]).to_string()
}

/// The company's server, its upstream, and an agent that may use it.
pub struct World {
    pub app: TestApp,
    pub upstream: HttpUpstream,
    pub agent: Agent,
}

impl World {
    pub async fn start() -> Self {
        Self::of(TestApp::builder().policy("approvals.cedar", POLICY)).await
    }

    pub async fn of(builder: Builder) -> Self {
        let upstream = HttpUpstream::start().await;
        let app = builder.policy("entities.json", &people()).http("s", &upstream).start().await;
        let agent = app.agent("helper").await;
        app.grant("helper", "s").await;
        app.admin("POST", "/v1/agents/helper/bearer", json!({"allow": true})).await.ok();
        let status = app.admin("POST", "/v1/policies/reload", json!({})).await;
        assert_eq!(status.status, 200, "{}", status.text());
        Self { app, upstream, agent }
    }

    /// A client of the agent in a session of its own.
    pub async fn client(&self) -> Client {
        Client::of(&self.agent).await
    }

    /// What waits for people.
    pub async fn pending(&self) -> Vec<Value> {
        list(&self.app, "/v1/approvals").await
    }

    /// The browser of somebody who is signed in.
    pub async fn browser(&self, person: &str) -> Browser {
        // They may be there already.
        self.app.admin("POST", "/v1/people", json!({"name": person})).await;
        let mut browser = Browser::new(&self.app);
        browser.sign_in(&self.app, person).await;
        browser
    }

    /// A person says something on the page of a request.
    pub async fn say(&self, person: &str, id: &str, say: &str) -> Answer {
        let mut browser = self.browser(person).await;
        let path = format!("/approvals/{id}");
        let page = browser.get(&path).await;
        let (form, seen) = (hidden(&page.text(), "form"), hidden(&page.text(), "seen"));
        let form = if form.is_empty() { browser.form_key().await } else { form };
        browser.post(&path, &[("form", &form), ("seen", &seen), ("say", say), ("comment", "")]).await
    }
}

pub async fn list(app: &TestApp, path: &str) -> Vec<Value> {
    let found = app.admin("GET", path, Value::Null).await.ok();
    found["items"].as_array().expect("items").clone()
}

/// A client on the wire of 2026-07-28, without proofs of possession, so that many calls can be made at once.
#[derive(Clone)]
pub struct Client {
    http: Http,
    url: String,
    token: String,
    /// What it can do for its server.
    pub capabilities: Value,
}

impl Client {
    pub async fn of(agent: &Agent) -> Self {
        let url = agent.mcp("s");
        let token = agent.bearer().token(&url).await;
        Self { http: Http::new(), url, token, capabilities: json!({}) }
    }

    /// The same, able to let its person open addresses.
    pub fn that_elicits(self) -> Self {
        Self { capabilities: json!({"elicitation": {"form": {}, "url": {}}}), ..self }
    }

    pub async fn refund(&self, amount: i64) -> Value {
        self.call("refund", json!({"order": "o-1", "amount": amount}), json!({})).await
    }

    /// Calls a tool; `more` stands beside its name and arguments.
    pub async fn call(&self, tool: &str, arguments: Value, more: Value) -> Value {
        let mut params = json!({"name": tool, "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            "chancery/reason": "the customer <b>insists</b>",
        }});
        for (name, value) in more.as_object().expect("an object") {
            params[name] = value.clone();
        }
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

/// Did it run?
pub fn ran(answer: &Value) -> bool {
    answer["result"].is_object() && answer["result"]["isError"] != true && answer["result"]["resultType"] == "complete"
}

/// The code of the refusal, and what a model reads.
pub fn refused(answer: &Value) -> (String, String) {
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    let code = result["_meta"]["chancery/decision"]["code"].as_str().expect("a code").to_owned();
    (code, result["content"][0]["text"].as_str().expect("a text").to_owned())
}

/// A call waits for people: the id of its request.
pub async fn ask(world: &World, client: &Client, amount: i64) -> String {
    let (code, text) = refused(&client.refund(amount).await);
    assert_eq!(code, "C2002", "{text}");
    let pending = world.pending().await;
    let arguments = format!("{{\"amount\":{amount},\"order\":\"o-1\"}}");
    let asked = pending.iter().find(|asked| asked["arguments"] == arguments).expect("a request");
    assert!(text.contains(asked["url"].as_str().unwrap()), "{text}");
    asked["id"].as_str().unwrap().to_owned()
}
