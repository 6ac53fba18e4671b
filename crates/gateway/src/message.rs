//! One JSON-RPC message, read once and strictly (JSON-RPC 2.0; MCP, base protocol).

use chancery_model::{Limits, canonical, parse_strict};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// A JSON-RPC id. `null` and fractions are no ids (MCP, base protocol, "Requests").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    Number(i64),
    Text(String),
}

/// What kind of message it is. Opening and ending a session's stream are messages too: they are decided alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Request(Id),
    Notification,
    /// The client's answer to a request of the server.
    Response(Id),
    /// GET: open the session's stream of server messages.
    Listen,
    /// DELETE: end the session.
    End,
}

/// A message that was accepted. What is sent upstream is made from it and from nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) form: Form,
    /// The JSON object; empty for a bodiless request.
    value: Value,
}

impl Id {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number.as_i64().map(Self::Number),
            _ => None,
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

impl Message {
    /// Reads one message. Batches, ambiguous JSON and anything beside JSON-RPC's own members are refused.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let value = parse_strict(bytes, Limits::default()).map_err(|e| Refusal::unreadable(e.to_string()))?;
        let form = match &value {
            Value::Object(members) => form(members)?,
            Value::Array(_) => {
                return Err(Refusal::malformed("a batch of messages is not accepted: send them one by one"));
            }
            _ => return Err(Refusal::malformed("the message is not a JSON object")),
        };
        Ok(Self { form, value })
    }

    /// A message that stands for a bodiless HTTP request.
    pub(crate) fn bodiless(form: Form) -> Self {
        Self { form, value: Value::Object(Map::new()) }
    }

    /// The method; empty for a response.
    pub(crate) fn method(&self) -> &str {
        match self.form {
            Form::Listen => "GET",
            Form::End => "DELETE",
            _ => self.value.get("method").and_then(Value::as_str).unwrap_or(""),
        }
    }

    pub(crate) fn id(&self) -> Option<&Id> {
        match &self.form {
            Form::Request(id) => Some(id),
            _ => None,
        }
    }

    pub(crate) fn params(&self) -> Option<&Map<String, Value>> {
        self.value.get("params").and_then(Value::as_object)
    }

    pub(crate) fn param(&self, name: &str) -> Option<&Value> {
        self.params()?.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.param(name)?.as_str()
    }

    /// A member of `params._meta`.
    pub(crate) fn meta(&self, name: &str) -> Option<&Value> {
        self.param("_meta")?.get(name)
    }

    /// Replaces or adds a member of `params._meta`.
    pub(crate) fn set_meta(&mut self, name: &str, value: Value) {
        // Both are objects or absent: `read` made sure of it.
        self.value["params"]["_meta"][name] = value;
    }

    /// Replaces a member of `params`.
    pub(crate) fn set_param(&mut self, name: &str, value: Value) {
        self.value["params"][name] = value;
    }

    /// Replaces a member of `params`, or takes it out.
    pub(crate) fn replace_param(&mut self, name: &str, value: Option<Value>) {
        let Some(params) = self.value.get_mut("params").and_then(Value::as_object_mut) else { return };
        match value {
            Some(value) => params.insert(name.to_owned(), value),
            None => params.remove(name),
        };
    }

    /// The same message under another id.
    pub(crate) fn set_id(&mut self, id: i64) {
        self.value["id"] = id.into();
        self.form = match self.form {
            Form::Response(_) => Form::Response(Id::Number(id)),
            _ => Form::Request(Id::Number(id)),
        };
    }

    /// The same message under this id.
    pub(crate) fn named(mut self, id: &str) -> Self {
        self.value["id"] = id.into();
        self.form = Form::Request(Id::Text(id.to_owned()));
        self
    }

    /// The one form in which it is sent (RFC 8785).
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Refusal> {
        canonical(&self.value).map_err(|e| Refusal::unreadable(e.to_string()))
    }
}

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

fn form(members: &Map<String, Value>) -> Result<Form, Refusal> {
    if let Some(other) = members.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        return Err(Refusal::malformed(format!("`{other}` is not a member of a JSON-RPC message")));
    }
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Refusal::malformed("`jsonrpc` is not \"2.0\""));
    }
    let has = |name: &str| members.contains_key(name);
    let id = members.get("id").map(|id| Id::read(id).ok_or_else(bad_id)).transpose()?;
    match (members.get("method"), id) {
        (Some(Value::String(_)), id) if !has("result") && !has("error") => {
            if members.get("params").is_some_and(|params| !params.is_object()) {
                return Err(Refusal::malformed("`params` is not an object"));
            }
            if members.get("params").and_then(|p| p.get("_meta")).is_some_and(|meta| !meta.is_object()) {
                return Err(Refusal::invalid_params("`params._meta` is not an object"));
            }
            Ok(id.map_or(Form::Notification, Form::Request))
        }
        (None, Some(id)) if has("result") != has("error") && !has("params") => Ok(Form::Response(id)),
        _ => Err(Refusal::malformed("it is neither a request, nor a notification, nor a response of JSON-RPC 2.0")),
    }
}

fn bad_id() -> Refusal {
    Refusal::malformed("`id` is neither a string nor an integer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Message, Refusal> {
        Message::read(text.as_bytes())
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        let request = read(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
        assert_eq!(request.form, Form::Request(Id::Number(1)));
        let notification = read(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap();
        assert_eq!(notification.form, Form::Notification);
        let response = read(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#).unwrap();
        assert_eq!(response.form, Form::Response(Id::Text("a".into())));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "[]",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            "1",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_sent_is_canonical() {
        let message = read(r#"{ "params":{"b":1.0,"a":2}, "method":"x","id":7, "jsonrpc":"2.0" }"#).unwrap();
        let bytes = message.to_bytes().unwrap();
        assert_eq!(bytes, br#"{"id":7,"jsonrpc":"2.0","method":"x","params":{"a":2,"b":1}}"#);
    }
}
