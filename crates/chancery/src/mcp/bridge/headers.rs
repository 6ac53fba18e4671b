//! The headers of a message, which repeat parts of it (MCP 2026-07-28), and what the wire with sessions remembers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const META_VERSION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// A property of a tool's arguments that stands in a header too: its path, and the header.
type Param = (Vec<String>, HeaderName);

/// What is known of the conversation.
#[derive(Debug, Default)]
pub struct Wire {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    params: HashMap<String, Vec<Param>>,
}

impl Wire {
    /// The headers of a message.
    pub fn headers(&self, message: &Value) -> HeaderMap {
        let mut headers = self.plain();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(version) = message.pointer(META_VERSION).and_then(Value::as_str) {
            put(&mut headers, VERSION, version);
        }
        if let Some(method) = message["method"].as_str() {
            put(&mut headers, METHOD, method);
            if let Some(name) = named(method, &message["params"]) {
                put(&mut headers, NAME, name);
            }
            if method == "tools/call" {
                self.put_params(&mut headers, &message["params"]);
            }
            if method == "initialize" {
                headers.remove(VERSION);
            }
        }
        headers
    }

    /// The headers of a request without a message.
    pub fn plain(&self) -> HeaderMap {
        let state = self.state();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let known = [(SESSION, &state.session), (VERSION, &state.version)];
        headers.extend(known.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        headers
    }

    /// Whether there is a session to be ended.
    pub fn has_session(&self) -> bool {
        self.state().session.is_some()
    }

    /// Takes the session that the answer to `initialize` opens.
    pub fn note_session(&self, message: &Value, headers: &HeaderMap) {
        if message["method"] == "initialize" {
            self.state().session = headers.get(SESSION).cloned();
        }
    }

    /// Takes what an answer says about later messages: the version agreed on, the tools' parameters.
    pub fn note_answer(&self, message: &Value, answer: &Value) {
        match message["method"].as_str() {
            Some("initialize") => {
                let version = answer.pointer("/result/protocolVersion").and_then(Value::as_str);
                self.state().version = version.and_then(|v| HeaderValue::from_str(v).ok());
            }
            Some("tools/list") => self.note_tools(&answer["result"]["tools"]),
            _ => {}
        }
    }

    fn note_tools(&self, tools: &Value) {
        for tool in tools.as_array().into_iter().flatten() {
            let mut params = Vec::new();
            collect(&tool["inputSchema"], &mut Vec::new(), &mut params);
            if let Some(name) = tool["name"].as_str() {
                self.state().params.insert(name.to_owned(), params);
            }
        }
    }

    fn put_params(&self, headers: &mut HeaderMap, params: &Value) {
        let state = self.state();
        let known = params["name"].as_str().and_then(|name| state.params.get(name));
        for (path, name) in known.into_iter().flatten() {
            let value = path.iter().try_fold(&params["arguments"], |at, key| at.get(key));
            if let Some(text) = value.and_then(primitive) {
                put(headers, name.clone(), &text);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a method is about, where a header says it.
fn named<'m>(method: &str, params: &'m Value) -> Option<&'m str> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    params.get(key)?.as_str()
}

fn primitive(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Properties marked `x-mcp-header`, nested ones included.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Param>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        path.push(key.clone());
        let header = property["x-mcp-header"].as_str().map(|name| format!("mcp-param-{}", name.to_ascii_lowercase()));
        if let Some(name) = header.and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
            found.push((path.clone(), name));
        }
        collect(property, path, found);
        path.pop();
    }
}

/// A value as it is, or in Base64 where a header could not carry it unchanged.
fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let visible = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
    let marked = text.starts_with("=?base64?") && text.ends_with("?=");
    let value = if visible && !marked { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) };
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn get(headers: &HeaderMap, name: &str) -> Option<String> {
        headers.get(name).map(|v| v.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_stateless_call_says_in_headers_what_it_says_in_its_body() {
        let wire = Wire::default();
        let list = json!({"method": "tools/list"});
        let schema = json!({"properties": {"where": {"properties": {"region": {"x-mcp-header": "Region"}}}}});
        wire.note_answer(&list, &json!({"result": {"tools": [{"name": "buy", "inputSchema": schema}]}}));
        let headers = wire.headers(&json!({
            "id": 1, "method": "tools/call",
            "params": {
                "name": "buy", "arguments": {"where": {"region": "Zürich"}},
                "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
            },
        }));
        assert_eq!(get(&headers, "mcp-protocol-version").as_deref(), Some("2026-07-28"));
        assert_eq!(get(&headers, "mcp-method").as_deref(), Some("tools/call"));
        assert_eq!(get(&headers, "mcp-name").as_deref(), Some("buy"));
        assert_eq!(get(&headers, "mcp-param-region").as_deref(), Some("=?base64?WsO8cmljaA==?="));
    }

    #[test]
    fn a_session_is_kept_from_initialize_on() {
        let wire = Wire::default();
        let hello = json!({"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
        assert_eq!(get(&wire.headers(&hello), "mcp-session-id"), None);
        let mut answer = HeaderMap::new();
        answer.insert(SESSION, HeaderValue::from_static("s-1"));
        wire.note_session(&hello, &answer);
        wire.note_answer(&hello, &json!({"result": {"protocolVersion": "2025-06-18"}}));
        let next = wire.headers(&json!({"id": 1, "method": "ping"}));
        assert_eq!(get(&next, "mcp-session-id").as_deref(), Some("s-1"));
        assert_eq!(get(&next, "mcp-protocol-version").as_deref(), Some("2025-06-18"));
        assert!(wire.has_session());
    }
}
