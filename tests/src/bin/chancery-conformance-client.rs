//! The client that the MCP conformance suite tests (`conformance client --command chancery-conformance-client`).
//!
//! It is the product: a whole server with the suite's MCP server behind it as an upstream with a connection, an agent
//! that calls through the gateway, and an administrator who authorizes the connection as often as the gateway says that
//! somebody has to, by opening the printed address the way a browser does. What the suite sees is what an upstream and
//! its authorization server see of Chancery.
//!
//! The suite says the server's URL as the last argument, and the scenario in `MCP_CONFORMANCE_SCENARIO`,
//! `MCP_CONFORMANCE_CONTEXT` and `MCP_CONFORMANCE_PROTOCOL_VERSION`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chancery_it::WallClock;
use chancery_server::{Config, Transport};
use chancery_testkit::{Agent, TestApp};
use serde_json::{Value, json};

/// How often the administrator authorizes at the most.
const AUTHORIZATIONS: usize = 3;
/// The server's name in the gateway.
const SUITE: &str = "suite";
/// The document about a client that the suite knows.
const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";

/// What the suite asks for.
struct Task {
    url: String,
    scenario: String,
    stateless: bool,
    context: Value,
}

#[expect(clippy::disallowed_methods, reason = "the suite speaks through the environment")]
fn task() -> Task {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    Task {
        url: std::env::args().next_back().unwrap_or_default(),
        scenario: variable("MCP_CONFORMANCE_SCENARIO"),
        stateless: variable("MCP_CONFORMANCE_PROTOCOL_VERSION") == "2026-07-28",
        context: serde_json::from_str(&variable("MCP_CONFORMANCE_CONTEXT")).unwrap_or_default(),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let task = task();
    let allow = vec!["localhost:*".to_owned(), "127.0.0.1:*".to_owned()];
    let oauth = oauth(&task);
    let configured = |config: &mut Config| {
        config.fetch.allow = allow;
        if let Some(server) = config.servers.get_mut(SUITE) {
            server.oauth = serde_json::from_value(oauth).ok();
        }
    };
    let app = TestApp::builder()
        .clock(Arc::new(WallClock))
        .server(SUITE, Transport::Http(task.url.clone()), None)
        .config(configured)
        .start()
        .await;
    for (name, member) in [
        ("client", "client_secret"),
        ("key", "private_key_pem"),
        ("assertion", "valid_jwt"),
        ("id-token", "idp_id_token"),
    ] {
        if let Some(value) = task.context[member].as_str() {
            app.secret(name, &value.replace('\n', "")).await;
        }
    }
    let done = Driver { agent: agent(&app).await, app, task }.run().await;
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the suite shows it beside a failed scenario")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// The `oauth` table of the configuration.
fn oauth(task: &Task) -> Value {
    let context = &task.context;
    let (client_id, issuer) = (&context["client_id"], &context["issuer"]);
    let secret = context["client_secret"].as_str().map(|_| "client");
    let key = context["private_key_pem"].as_str().map(|_| "key");
    if context["valid_jwt"].is_string() {
        return json!({"mode": "jwt_bearer", "client_id": client_id, "assertion": "assertion"});
    }
    if context["idp_issuer"].is_string() {
        let provider =
            json!({"issuer": context["idp_issuer"], "client_id": context["idp_client_id"], "subject": "id-token"});
        return json!({"mode": "identity_assertion", "client_id": client_id, "secret": secret, "identity_provider": provider});
    }
    if task.scenario.starts_with("auth/client-credentials") {
        return json!({"mode": "client_credentials", "client_id": client_id, "secret": secret, "key": key});
    }
    json!({
        "mode": "authorization_code", "client_id": client_id, "secret": secret, "issuer": issuer,
        "metadata_document": DOCUMENT, "legacy": task.scenario.starts_with("auth/2025-03-26"),
    })
}

/// An agent with a right to the server. What it signs must be from after the server's start, in whole seconds.
async fn agent(app: &TestApp) -> Agent {
    let agent = app.agent("caller").await;
    app.grant("caller", SUITE).await;
    while agent.try_token(&agent.mcp(SUITE)).await.is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    agent
}

struct Driver {
    app: TestApp,
    agent: Agent,
    task: Task,
}

impl Driver {
    async fn run(&self) -> Result<(), String> {
        let mut authorizations = 0;
        let connections = self.app.admin("GET", "/v1/connections", Value::Null).await.ok();
        if connections["items"][0]["mode"] == "authorization_code" {
            authorizations += 1;
            self.authorize().await?;
        }
        loop {
            let Err(refused) = self.use_it().await else { return Ok(()) };
            let needs_somebody = refused.contains("[C4020]") || refused.contains("[C4021]");
            if !needs_somebody || authorizations >= AUTHORIZATIONS {
                return Err(refused);
            }
            authorizations += 1;
            self.authorize().await?;
        }
    }

    /// Lists the tools and calls the one there is.
    async fn use_it(&self) -> Result<(), String> {
        let call = json!({"name": "test-tool", "arguments": {}});
        let (list, called) = if self.task.stateless {
            let list = self.agent.rpc(SUITE, "tools/list", Value::Null).await;
            (list.text(), self.agent.rpc(SUITE, "tools/call", call).await.text())
        } else {
            let hello = json!({
                "jsonrpc": "2.0", "id": 0, "method": "initialize",
                "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                           "clientInfo": {"name": "conformance", "version": "1"}},
            });
            let url = self.agent.mcp(SUITE);
            let opened = self.agent.send(&url, "", "POST", &[], hello.to_string().as_bytes()).await;
            if !opened.text().contains("protocolVersion") {
                return Err(opened.text());
            }
            let session = self.agent.session(SUITE).await;
            (session.send("tools/list", Value::Null).await.text(), session.send("tools/call", call).await.text())
        };
        if called.contains("\"content\"") && !called.contains("\"isError\":true") {
            Ok(())
        } else {
            Err(list + &called)
        }
    }

    /// Authorizes the connection, as an administrator with a browser does.
    async fn authorize(&self) -> Result<(), String> {
        let begun = self.app.admin("POST", &format!("/v1/connections/{SUITE}/authorize"), json!({})).await;
        if !begun.status.is_success() {
            return Err(begun.text());
        }
        let asked = self.app.http().get(begun.json()["url"].as_str().unwrap_or_default()).await;
        let back = asked.header("location");
        if !back.starts_with(self.app.url()) {
            return Err(format!("{} {back} {}", asked.status, asked.text()));
        }
        let page = self.app.http().get(&back).await;
        if page.status.is_success() { Ok(()) } else { Err(page.text()) }
    }
}
