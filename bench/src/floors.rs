//! What cannot be undercut: the same request read and answered by the same web framework, and nothing else done.
//! Each floor runs in a process of its own, so that its processor time can be told apart.

use std::net::SocketAddr;
use std::path::Path;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::{Fallible, text, unrecorded};

const ANY: &str = "127.0.0.1:0";

/// Serves a floor until it is ended from outside. `place` is the filled directory and the address of the one floor
/// that is our own.
pub fn serve(name: &str, place: Option<(&Path, SocketAddr)>) -> Fallible {
    let runtime = tokio::runtime::Runtime::new().map_err(text)?;
    runtime.block_on(async {
        let (router, address) = match (name, place) {
            ("authzen", _) => (Router::new().route("/access/v1/evaluation", post(evaluate)), ANY.to_owned()),
            ("mcp", _) => (Router::new().route("/mcp", post(echo)), ANY.to_owned()),
            ("unrecorded", Some((folder, address))) => {
                (unrecorded::router(folder, &format!("http://{address}")).await?, address.to_string())
            }
            (other, _) => return Err(format!("no floor `{other}`")),
        };
        listen(router, &address).await.map_err(text)
    })
}

async fn listen(router: Router, address: &str) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let at_once = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    axum::serve(at_once, router).await
}

#[derive(Deserialize)]
struct Question {
    subject: Thing,
    action: Action,
    resource: Thing,
    #[serde(default)]
    context: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Thing {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(default)]
    properties: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Action {
    name: String,
}

#[derive(Serialize)]
struct Answer {
    decision: bool,
    context: Context,
}

#[derive(Serialize)]
struct Context {
    id: String,
    reason: &'static str,
}

/// Reads the question with hand-typed structures and answers in the shape and size of ours.
async fn evaluate(Json(question): Json<Question>) -> Json<Answer> {
    let spoken = [
        &question.subject.kind,
        &question.subject.id,
        &question.action.name,
        &question.resource.kind,
        &question.resource.id,
    ];
    let extra = [&question.subject.properties, &question.resource.properties, &question.context];
    let length =
        spoken.iter().map(|text| text.len()).sum::<usize>() + extra.iter().filter(|part| part.is_some()).count();
    Json(Answer {
        decision: length > 5,
        context: Context { id: format!("d-{length:012}"), reason: "the grant permits it" },
    })
}

/// An MCP server that does nothing: on the stateless wire and on the one with sessions.
async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => hello(),
        "server/discover" => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": about()})
        }
        "tools/list" => json!({"tools": [tool()]}),
        _ => json!({"content": [{"type": "text", "text": message["params"]["arguments"].to_string()}]}),
    };
    let traced = headers.contains_key("chancery-intent");
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    (
        [(header::CONTENT_TYPE, "application/json"), (header::VARY, if traced { "chancery-intent" } else { "origin" })],
        answer,
    )
        .into_response()
}

fn hello() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about()})
}

fn about() -> Value {
    json!({"name": "echo", "version": "1.0.0"})
}

/// The one tool: an amount, a customer and a note.
pub fn tool() -> Value {
    json!({
        "name": "echo",
        "description": "Says what it was told",
        "inputSchema": {
            "type": "object",
            "properties": {"amount": {"type": "integer"}, "customer": {"type": "string"}, "note": {"type": "string"}},
            "required": ["amount", "customer"]
        }
    })
}
