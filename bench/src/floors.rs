//! What cannot be undercut: the same request read and answered by the same web framework, and nothing else done.
//! Each floor runs in a process of its own, so that its processor time can be told apart.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::{Fallible, text};

/// Serves a floor until it is ended from outside.
pub fn serve(name: &str) -> Fallible {
    let router = match name {
        "authzen" => Router::new().route("/access/v1/evaluation", post(evaluate)),
        "mcp" => Router::new().route("/mcp", post(echo)),
        other => return Err(format!("no floor `{other}`")),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(text)?;
    runtime.block_on(listen(router)).map_err(text)
}

async fn listen(router: Router) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), router).await
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
fn tool() -> Value {
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
