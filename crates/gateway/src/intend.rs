//! What a message means: which act on which tool or resource, with which arguments.

use std::sync::Arc;

use chancery_authenticate::jose::sha256;
use chancery_model::{Hash, canonical, problem};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::gateway::Gateway;
use crate::known::Known;
use crate::message::Message;
use crate::methods::{self, Act};
use crate::names;
use crate::pins::Pinned;
use crate::refusal::{Refusal, rpc};
use crate::schema;
use crate::upstream::Upstream;
use crate::wire::{self, ParamHeader, Wire};

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
    /// The arguments of a call; `null` where there are none.
    pub(crate) arguments: Value,
    /// Their canonical form, and its SHA-256.
    pub(crate) canonical: Option<Vec<u8>>,
    pub(crate) digest: Hash,
}

impl Intent {
    /// Arguments of the tool that are repeated in headers.
    pub(crate) fn params(&self) -> &[ParamHeader] {
        self.tool.as_ref().map_or(&[], |tool| &tool.params)
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
        arguments: Value::Null,
        canonical: None,
        digest: sha256(b""),
    };
    match rule.act {
        Act::CallTool => {
            let stated = call(gateway, upstream, wire, headers, message, &mut intent).await;
            known.intent(&intent, &upstream.config.record_fields);
            stated?;
        }
        Act::ReadResource | Act::GetPrompt => intent.resource = Some(named(message, rule.name)?),
        Act::Complete => intent.resource = Some(completed(message)?),
        Act::ListTools => gateway.ensure_contact(upstream).await?,
        Act::Connect | Act::ListResources | Act::ListPrompts => {}
    }
    if rule.act != Act::CallTool {
        known.intent(&intent, &[]);
    }
    Ok(intent)
}

fn unknown_method(wire: Wire, message: &Message) -> Refusal {
    let shown: String = message.method().chars().take(60).collect();
    let why = format!("`{shown}` is not among the methods that are let through on this wire");
    // 2026-07-28 answers 404; before, an error travelled with 200.
    let status = if wire.is_stateless() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    Refusal::new(problem::METHOD_DENIED, rpc::METHOD_NOT_FOUND, why).status(status)
}

fn named(message: &Message, member: Option<&str>) -> Result<String, Refusal> {
    let member = member.unwrap_or("name");
    let named = message.text(member).filter(|text| !text.is_empty());
    named.map(str::to_owned).ok_or_else(|| Refusal::invalid_params(format!("`params.{member}` is not a text")))
}

fn completed(message: &Message) -> Result<String, Refusal> {
    let reference = message.param("ref");
    let member = |name: &str| reference.and_then(|r| r.get(name)).and_then(Value::as_str);
    let named = match member("type") {
        Some("ref/prompt") => member("name"),
        Some("ref/resource") => member("uri"),
        _ => None,
    };
    named
        .map(str::to_owned)
        .ok_or_else(|| Refusal::invalid_params("`params.ref` names neither a prompt nor a resource"))
}

async fn call(
    gateway: &Arc<Gateway>,
    upstream: &Upstream,
    wire: Wire,
    headers: &HeaderMap,
    message: &Message,
    intent: &mut Intent,
) -> Result<(), Refusal> {
    let name = named(message, Some("name"))?;
    let arguments = message.param("arguments").cloned().unwrap_or(Value::Null);
    if !matches!(arguments, Value::Object(_) | Value::Null) {
        return Err(Refusal::invalid_params("`params.arguments` is not an object"));
    }
    let tool = pinned(gateway, upstream, &name).await?;
    if wire.is_stateless() {
        wire::check_params(headers, &tool.params, &arguments)?;
    }
    let bytes = canonical(&arguments).map_err(|e| Refusal::invalid_params(e.to_string()))?;
    intent.digest = sha256(&bytes);
    intent.canonical = (!arguments.is_null()).then_some(bytes);
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
    let none = Value::Object(serde_json::Map::new());
    let given = if arguments.is_null() { &none } else { arguments };
    schema::check(tool.schema(), given).map_err(|why| {
        let next = format!("call it with arguments that fit the schema of {}", tool.tool.name);
        Refusal::new(problem::BAD_ARGUMENT, rpc::DENIED, why).next(next)
    })
}
