//! Upstream MCP servers that remember what they were sent.
//!
//! Tools: `echo {text}`, `add {a, b}` (integers), `refund {order, amount}`, `fail {}` (a tool error),
//! `headers {}` (what reached it, secrets and all: for tests of scrubbing). Where they are listed with
//! [`HttpUpstream::set_tools`]: `preview_refund`, and `refund` with `dry_run`, say what a refund would do; of the order
//! `o-slow` they never answer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use chancery_server::Command;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One message as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Names in lower case, values as text.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The same, parsed; null if it is not JSON.
    pub message: Value,
}

impl Seen {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The JSON-RPC method.
    pub fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }
}

/// An upstream server over Streamable HTTP that speaks both wires. It stops when it is dropped.
pub struct HttpUpstream {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    tools: Mutex<Option<Value>>,
}

impl HttpUpstream {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared::default());
        let router = Router::new().route("/mcp", post(message).get(no_stream).delete(ended)).with_state(shared.clone());
        let task = tokio::spawn(async move {
            // It ends with its task.
            let _ = axum::serve(listener, router).await;
        });
        Self { url, shared, task }
    }

    /// Its MCP endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every message it was sent, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tool calls among them.
    pub fn calls(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method() == "tools/call").collect()
    }

    /// Lists these tool definitions from now on.
    pub fn set_tools(&self, tools: Value) {
        *self.shared.tools.lock().unwrap_or_else(PoisonError::into_inner) = Some(tools);
    }

    /// Stops answering: connections are refused from now on.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for HttpUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn message(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let seen = Seen {
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        message: serde_json::from_slice(&body).unwrap_or_default(),
        body,
    };
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    let tools = shared.tools.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(definitions);
    if rehearses(&seen.message["params"]) && seen.message["params"]["arguments"]["order"] == "o-slow" {
        std::future::pending::<()>().await;
    }
    let Some(answer) = answer(&seen, &tools) else { return StatusCode::ACCEPTED.into_response() };
    let mut response = axum::Json(answer).into_response();
    if seen.method() == "initialize" {
        response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("upstream-session-1"));
    }
    response
}

async fn no_stream() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

async fn ended() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn answer(seen: &Seen, tools: &Value) -> Option<Value> {
    let id = seen.message.get("id")?;
    let params = &seen.message["params"];
    let stateless = params["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28";
    let mut result = match seen.method() {
        "initialize" => json!({
            "protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "recording", "version": "1"},
        }),
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "recording", "version": "1"}, "ttlMs": 0, "cacheScope": "private",
        }),
        "ping" => json!({}),
        "tools/list" if stateless => json!({"tools": tools, "ttlMs": 0, "cacheScope": "private"}),
        "tools/list" => json!({"tools": tools}),
        "tools/call" => called(seen, params),
        method => {
            let error = json!({"code": -32601, "message": format!("no method {method}")});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    if stateless {
        result["resultType"] = "complete".into();
    }
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// Is it asked what a refund would do?
fn rehearses(params: &Value) -> bool {
    params["name"] == "preview_refund" || (params["name"] == "refund" && params["arguments"]["dry_run"] == true)
}

fn called(seen: &Seen, params: &Value) -> Value {
    let arguments = &params["arguments"];
    let text = |text: String| json!({"content": [{"type": "text", "text": text}]});
    if rehearses(params) {
        return text(format!("<b>would</b> refund {} on {}", arguments["amount"], arguments["order"]));
    }
    match params["name"].as_str().unwrap_or_default() {
        "echo" => text(arguments["text"].as_str().unwrap_or_default().to_owned()),
        "add" => text((arguments["a"].as_i64().unwrap_or(0) + arguments["b"].as_i64().unwrap_or(0)).to_string()),
        "refund" => text(format!("refunded {} on {}", arguments["amount"], arguments["order"])),
        "headers" => text(json!(seen.headers).to_string()),
        "fail" => json!({"isError": true, "content": [{"type": "text", "text": "it did not work"}]}),
        other => json!({"isError": true, "content": [{"type": "text", "text": format!("no tool {other}")}]}),
    }
}

/// The tools as they are defined at first.
fn definitions() -> Value {
    let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let (text, integer) = (json!({"type": "string"}), json!({"type": "integer"}));
    json!([
        {"name": "echo", "description": "Says it back.", "inputSchema": object(json!({"text": text}), json!(["text"]))},
        {"name": "add", "description": "Adds.", "inputSchema": object(json!({"a": integer, "b": integer}), json!(["a", "b"]))},
        {"name": "refund", "description": "Pays money back.",
         "inputSchema": object(json!({"order": text, "amount": integer}), json!(["order", "amount"]))},
        {"name": "fail", "description": "Does not work.", "inputSchema": object(json!({}), json!([]))},
        {"name": "headers", "description": "Says what reached it.", "inputSchema": object(json!({}), json!([]))},
    ])
}

/// An upstream server on standard input and output, of the same tools. What it was sent is in a file.
pub struct StdioUpstream {
    directory: tempfile::TempDir,
}

impl StdioUpstream {
    /// Writes the program; the gateway starts it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("chancery-stdio-").tempdir().expect("a directory");
        std::fs::write(directory.path().join("server.py"), SCRIPT).expect("a file");
        std::fs::write(directory.path().join("tools.json"), definitions().to_string()).expect("a file");
        Self { directory }
    }

    /// How it is started. Needs `python3`.
    pub fn command(&self) -> Command {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        Command {
            program: "python3".to_owned(),
            args: vec![path("server.py"), path("tools.json"), path("seen.jsonl")],
            cwd: None,
            env: std::collections::BTreeMap::new(),
        }
    }

    /// Every message it was sent, in order: `{"pid": …, "env": […names], "message": {…}}`.
    pub fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("seen.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Default for StdioUpstream {
    fn default() -> Self {
        Self::new()
    }
}

const SCRIPT: &str = include_str!("upstream/server.py");
