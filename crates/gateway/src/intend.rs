//! What a message means: which act on which tool or resource, with which arguments.

use std::sync::Arc;

use chancery_authenticate::jose::sha256;
use chancery_model::{Hash, canonical, problem};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::gateway::Gateway;
use crate::known::Known;
use crate::message::Message;
use crate::methods::{self, Act, INPUT, Rule};
use crate::names;
use crate::pins::Pinned;
use crate::refusal::{Refusal, rpc};
use crate::schema;
use crate::upstream::Upstream;
use crate::wire::{self, ParamHeader, Wire};

/// The longest URI or name of a prompt that is taken, in bytes: it stands in the entry.
const LONGEST: usize = 8 << 10;
/// How much of a longer one is shown, in characters.
const SHOWN: usize = 200;
/// Resources that are watched by one request, at the most.
const WATCHED: usize = 64;

/// What is about to be done, if it may.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) server: Arc<str>,
    pub(crate) method: String,
    pub(crate) act: Act,
    /// The tool, for a call.
    pub(crate) tool: Option<Arc<Pinned>>,
    /// The URI or the prompt's name, for an act about one.
    pub(crate) resource: Option<String>,
    /// The URIs of resources of whose changes it wants to be told.
    pub(crate) watched: Vec<String>,
    /// The arguments of a call; `null` where there are none.
    pub(crate) arguments: Value,
    pub(crate) given: Given,
}

/// What is sent along with the name of what is used. The permit is for it, and it is kept.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The canonical form of the arguments, if there are any.
    pub(crate) arguments: Option<Vec<u8>>,
    /// The same of the members of [`INPUT`] that are there.
    pub(crate) input: Option<Vec<u8>>,
    /// SHA-256 of the arguments, `null` where there are none; with input, of its own and the input's digest.
    pub(crate) digest: Hash,
}

impl Intent {
    /// The name of the tool, for a call.
    pub(crate) fn tool_name(&self) -> Option<&str> {
        self.tool.as_ref().map(|tool| tool.tool.name.as_str())
    }

    /// Arguments of the tool that are repeated in headers.
    pub(crate) fn params(&self) -> &[ParamHeader] {
        self.tool.as_ref().map_or(&[], |tool| &tool.params)
    }
}

impl Given {
    pub(crate) fn of(message: &Message) -> Result<Self, Refusal> {
        let written = |value: &Value| canonical(value).map_err(|e| Refusal::invalid_params(e.to_string()));
        let arguments = message.param("arguments").filter(|value| !value.is_null()).map(written).transpose()?;
        let input: Map<String, Value> = INPUT
            .iter()
            .filter_map(|name| message.param(name).map(|value| ((*name).to_owned(), value.clone())))
            .collect();
        let input = (!input.is_empty()).then(|| written(&Value::Object(input))).transpose()?;
        let digest = sha256(arguments.as_deref().unwrap_or(b"null"));
        let digest = match &input {
            Some(input) => sha256(&[digest, sha256(input)].concat()),
            None => digest,
        };
        Ok(Self { arguments, input, digest })
    }
}

/// States what a message means. Methods that are not in the table, tools that are not pinned and arguments that do
/// not fit the pinned schema are refused here.
pub(crate) async fn intend(
    gateway: &Arc<Gateway>,
    upstream: &Upstream,
    wire: Wire,
    headers: &HeaderMap,
    message: &Message,
    known: &mut Known,
) -> Result<Intent, Refusal> {
    let rule = methods::rule(&message.form, message.method(), wire.is_stateless());
    let rule = rule.ok_or_else(|| unknown_method(wire, message))?;
    let mut intent = Intent {
        server: upstream.name.clone(),
        method: message.method().to_owned(),
        act: rule.act,
        tool: None,
        resource: None,
        watched: Vec::new(),
        arguments: Value::Null,
        given: Given::default(),
    };
    let stated = match members(rule, message) {
        Ok(()) => state(gateway, upstream, wire, headers, message, &mut intent).await,
        Err(refusal) => Err(refusal),
    };
    known.intent(&intent, &upstream.config.record_fields);
    stated.map(|()| intent)
}

/// Nothing stands in `params` but what the method has there.
fn members(rule: &Rule, message: &Message) -> Result<(), Refusal> {
    let known = |name: &str| name == "_meta" || rule.params.contains(&name);
    match message.params().and_then(|params| params.keys().find(|name| !known(name))) {
        None => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(60).collect();
            Err(Refusal::invalid_params(format!("`params.{shown}` is not a member of {}", rule.method))
                .next("leave it out, or put it into params._meta"))
        }
    }
}

async fn state(
    gateway: &Arc<Gateway>,
    upstream: &Upstream,
    wire: Wire,
    headers: &HeaderMap,
    message: &Message,
    intent: &mut Intent,
) -> Result<(), Refusal> {
    match intent.act {
        Act::CallTool => return call(gateway, upstream, wire, headers, message, intent).await,
        Act::ReadResource => about(intent, named(message, "uri")?)?,
        Act::GetPrompt => about(intent, named(message, "name")?)?,
        Act::Complete => about(intent, completed(message)?)?,
        Act::ListTools => gateway.ensure_contact(upstream).await?,
        Act::Listen => intent.watched = watched(message)?,
        Act::Connect | Act::ListResources | Act::ListPrompts => {}
    }
    intent.given = Given::of(message)?;
    Ok(())
}

/// What an act is about. Of what is too long to be recorded the refusal says enough to find it again.
fn about(intent: &mut Intent, name: &str) -> Result<(), Refusal> {
    if name.len() <= LONGEST {
        intent.resource = Some(name.to_owned());
        return Ok(());
    }
    let digest: String = sha256(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let begin: String = name.chars().take(SHOWN).collect();
    intent.resource = Some(format!("{begin}… ({} bytes, sha256 {digest})", name.len()));
    Err(Refusal::invalid_params(format!("what it names has {} bytes, at most {LONGEST} are taken", name.len())))
}

/// The resources of whose changes it wants to be told (MCP 2026-07-28, `subscriptions/listen`).
fn watched(message: &Message) -> Result<Vec<String>, Refusal> {
    let wrong = |why: String| Refusal::invalid_params(format!("`params.notifications{why}"));
    let none = Map::new();
    let notices = match message.param("notifications") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(notices)) => notices,
        Some(_) => return Err(wrong("` is not an object".to_owned())),
    };
    if let Some(other) = notices.keys().find(|name| !methods::NOTICES.contains(&name.as_str())) {
        let shown: String = other.chars().take(60).collect();
        return Err(wrong(format!(".{shown}` is not a member of it")).next("leave it out"));
    }
    let uris = match notices.get("resourceSubscriptions") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(uris)) if uris.len() <= WATCHED => uris,
        Some(_) => return Err(wrong(format!(".resourceSubscriptions` is not a list of at most {WATCHED} URIs"))),
    };
    let fits = |uri: &&str| !uri.is_empty() && uri.len() <= LONGEST;
    let taken = uris.iter().map(|uri| uri.as_str().filter(fits).map(str::to_owned)).collect::<Option<Vec<_>>>();
    taken.ok_or_else(|| wrong(format!(".resourceSubscriptions` holds what is no URI of at most {LONGEST} bytes")))
}

fn unknown_method(wire: Wire, message: &Message) -> Refusal {
    let shown: String = message.method().chars().take(60).collect();
    let why = format!("`{shown}` is not among the methods that are let through on this wire");
    // 2026-07-28 answers 404; before, an error travelled with 200.
    let status = if wire.is_stateless() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    Refusal::new(problem::METHOD_DENIED, rpc::METHOD_NOT_FOUND, why).status(status)
}

fn named<'m>(message: &'m Message, member: &str) -> Result<&'m str, Refusal> {
    let named = message.text(member).filter(|text| !text.is_empty());
    named.ok_or_else(|| Refusal::invalid_params(format!("`params.{member}` is not a text")))
}

fn completed(message: &Message) -> Result<&str, Refusal> {
    let reference = message.param("ref");
    let member = |name: &str| reference.and_then(|r| r.get(name)).and_then(Value::as_str);
    let named = match member("type") {
        Some("ref/prompt") => member("name"),
        Some("ref/resource") => member("uri"),
        _ => None,
    };
    named.ok_or_else(|| Refusal::invalid_params("`params.ref` names neither a prompt nor a resource"))
}

async fn call(
    gateway: &Arc<Gateway>,
    upstream: &Upstream,
    wire: Wire,
    headers: &HeaderMap,
    message: &Message,
    intent: &mut Intent,
) -> Result<(), Refusal> {
    let name = named(message, "name")?;
    let arguments = message.param("arguments").cloned().unwrap_or(Value::Null);
    if !matches!(arguments, Value::Object(_) | Value::Null) {
        return Err(Refusal::invalid_params("`params.arguments` is not an object"));
    }
    let tool = pinned(gateway, upstream, name).await?;
    if wire.is_stateless() {
        wire::check_params(headers, &tool.params, &arguments)?;
    }
    intent.given = Given::of(message)?;
    intent.arguments = arguments;
    intent.tool = Some(tool.clone());
    if !tool.is_pinned() {
        return Err(quarantined(&tool));
    }
    fits(&tool, &intent.arguments)
}

fn quarantined(tool: &Pinned) -> Refusal {
    let next = match names::objection(&tool.tool.name) {
        Some(objection) => format!("the server must give it another name: {objection}"),
        None => format!("a human may look at it and approve what was seen: {}", tool.tool.approve_command()),
    };
    let why = "its definition is new or changed since it was approved";
    Refusal::new(problem::QUARANTINED, rpc::DENIED, why).next(next)
}

/// What is known of a tool. A server whose listing was not reviewed has none until it is.
async fn pinned(gateway: &Arc<Gateway>, upstream: &Upstream, name: &str) -> Result<Arc<Pinned>, Refusal> {
    if let Some(known) = gateway.pins.get(&upstream.name, name)
        && !gateway.pins.is_blocked(&upstream.name)
    {
        return Ok(known);
    }
    gateway.ensure_contact(upstream).await?;
    gateway.pins.get(&upstream.name, name).ok_or_else(|| {
        let shown: String = name.chars().take(60).collect();
        Refusal::new(problem::NO_TOOL, rpc::DENIED, format!("{} has no tool `{shown}`", upstream.name))
    })
}

fn fits(tool: &Pinned, arguments: &Value) -> Result<(), Refusal> {
    let none = Value::Object(Map::new());
    let given = if arguments.is_null() { &none } else { arguments };
    schema::check(tool.schema(), given).map_err(|why| {
        let next = format!("call it with arguments that fit the schema of {}", tool.tool.name);
        Refusal::new(problem::BAD_ARGUMENT, rpc::DENIED, why).next(next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_that_are_watched_are_named_one_by_one_or_refused() {
        let read = |notifications: Value| {
            let params = serde_json::json!({"notifications": notifications});
            let message =
                serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params});
            watched(&Message::read(message.to_string().as_bytes()).unwrap()).map_err(|refusal| refusal.why)
        };
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(json(r#"{"toolsListChanged": true}"#)), Ok(Vec::new()));
        assert_eq!(
            read(json(r#"{"resourceSubscriptions": ["file:///a", "b:c"]}"#)),
            Ok(vec!["file:///a".to_owned(), "b:c".to_owned()])
        );
        let (many, long) = (vec!["file:///a"; WATCHED + 1], "x".repeat(LONGEST + 1));
        for bad in [
            json(r#"["resourceSubscriptions"]"#),
            json(r#"{"resourceSubscription": ["file:///a"]}"#),
            json(r#"{"resourceSubscriptions": "file:///a"}"#),
            json(r#"{"resourceSubscriptions": ["file:///a", ""]}"#),
            json(r#"{"resourceSubscriptions": ["file:///a", {"uri": "file:///b"}]}"#),
            serde_json::json!({"resourceSubscriptions": many}),
            serde_json::json!({"resourceSubscriptions": [long]}),
        ] {
            assert!(read(bad.clone()).unwrap_err().contains("params.notifications"), "{bad}");
        }
    }
}
