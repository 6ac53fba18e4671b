//! From a pinned tool definition to a Cedar action: the input schema becomes the type of `context.args`.
//!
//! `string`, `boolean`, `integer` (Long), `number` (decimal), arrays of those (Set) and objects of those (Record)
//! are typed; a type joined with `null` is an optional one. Unions, references and free forms are left out.

use std::collections::BTreeSet;

use chancery_model::Tool;
use chancery_model::problem::ARGUMENT_UNTYPED;
use serde_json::{Map, Value, json};

use crate::diagnostic::Diagnostic;

const DEPTH: u8 = 8;

/// What the tools add to the schema, and what could not be typed.
pub(crate) struct Generated {
    /// A Cedar JSON schema fragment.
    pub fragment: Value,
    /// Warnings.
    pub untyped: Vec<Diagnostic>,
}

/// The actions of all approved definitions but those that `declared` says the directory declares itself.
pub(crate) fn generate(tools: &[Tool], declared: impl Fn(&str) -> bool) -> Generated {
    let mut actions = Map::new();
    let mut untyped = Vec::new();
    for tool in tools.iter().filter(|tool| tool.was_approved() && !declared(&tool.qualified())) {
        let mut left_out = Vec::new();
        actions.insert(tool.qualified(), action(tool, &mut left_out));
        if !left_out.is_empty() {
            left_out.sort();
            let message =
                format!("policies cannot see these arguments of `{}`: {}", tool.qualified(), left_out.join(", "));
            untyped.push(Diagnostic::warning("(tools)", ARGUMENT_UNTYPED, message));
        }
    }
    Generated { fragment: json!({"": {"entityTypes": {}, "actions": actions}}), untyped }
}

fn action(tool: &Tool, left_out: &mut Vec<String>) -> Value {
    let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
    let input = definition.get("inputSchema").cloned().unwrap_or_else(|| json!({}));
    let args = record(&input, "", DEPTH, left_out).unwrap_or_else(|| json!({"type": "Record", "attributes": {}}));
    json!({
        "memberOf": [{"id": "tools/call"}],
        "appliesTo": {
            "principalTypes": ["Agent", "Human"],
            "resourceTypes": ["Tool"],
            "context": {"type": "Record", "attributes": {
                "args": args,
                "human": {"type": "Entity", "name": "Human", "required": false},
                "approval": {"type": "Approval"},
                "meters": {"type": "Meters"},
                "reason": {"type": "String", "required": false},
                "session": {"type": "Session"},
            }},
        },
    })
}

/// The record type of an object schema; what has no type is named in `left_out` with its path.
fn record(schema: &Value, path: &str, depth: u8, left_out: &mut Vec<String>) -> Option<Value> {
    let properties = schema.get("properties").and_then(Value::as_object)?;
    let required: BTreeSet<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut attributes = Map::new();
    for (name, property) in properties {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let typed = typed(property, &here, depth, left_out).filter(|_| !name.starts_with("__"));
        match typed {
            Some((mut kind, nullable)) => {
                kind.insert("required".into(), (required.contains(name.as_str()) && !nullable).into());
                attributes.insert(name.clone(), kind.into());
            }
            None => left_out.push(format!("`{here}`")),
        }
    }
    Some(json!({"type": "Record", "attributes": attributes}))
}

/// The Cedar type of a schema, and whether `null` is one of its values.
fn typed(schema: &Value, path: &str, depth: u8, left_out: &mut Vec<String>) -> Option<(Map<String, Value>, bool)> {
    let depth = depth.checked_sub(1)?;
    if let Some((inner, nullable)) = alternative(schema) {
        return typed(inner, path, depth, left_out).map(|(kind, n)| (kind, n || nullable));
    }
    let (name, nullable) = type_name(schema)?;
    let kind = match name {
        "string" => json!({"type": "String"}),
        "boolean" => json!({"type": "Boolean"}),
        "integer" => json!({"type": "Long"}),
        "number" => json!({"type": "Extension", "name": "decimal"}),
        "array" => {
            let (element, null_inside) = typed(schema.get("items")?, path, depth, &mut Vec::new())?;
            (!null_inside).then(|| json!({"type": "Set", "element": element}))?
        }
        "object" => record(schema, path, depth, left_out)?,
        _ => return None,
    };
    kind.as_object().cloned().map(|kind| (kind, nullable))
}

/// `anyOf` or `oneOf` of one schema and `null`.
fn alternative(schema: &Value) -> Option<(&Value, bool)> {
    let options = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    let is_null = |o: &&Value| o.get("type").and_then(Value::as_str) == Some("null");
    let (nulls, others): (Vec<&Value>, Vec<&Value>) = options.iter().partition(is_null);
    match others[..] {
        [only] => Some((only, !nulls.is_empty())),
        _ => None,
    }
}

/// The one type a schema has besides `null`. Combined and conditional schemas have none that can be relied on.
fn type_name(schema: &Value) -> Option<(&str, bool)> {
    let object = schema.as_object()?;
    if ["$ref", "anyOf", "oneOf", "not", "if"].iter().any(|key| object.contains_key(*key)) {
        return None;
    }
    match object.get("type") {
        Some(Value::String(name)) => Some((name, false)),
        Some(Value::Array(names)) => {
            let others: Vec<&str> = names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect();
            match others[..] {
                [only] => Some((only, names.len() > 1)),
                _ => None,
            }
        }
        None => strings_only(object).then_some(("string", false)),
        Some(_) => None,
    }
}

/// An `enum` or `const` without a type, of nothing but strings.
fn strings_only(schema: &Map<String, Value>) -> bool {
    let listed = schema.get("enum").and_then(Value::as_array);
    listed.is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_string))
        || schema.get("const").is_some_and(Value::is_string)
}

/// The hints of a definition (MCP `ToolAnnotations`), with the protocol's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// It may delete or overwrite things.
    pub destructive: bool,
    /// Doing it twice does no more than doing it once.
    pub idempotent: bool,
    /// It deals with things outside its own system.
    pub open_world: bool,
    /// It changes nothing.
    pub read_only: bool,
}

impl Hints {
    /// Reads them from the approved definition; one that says nothing, or is not there, is destructive.
    pub fn of(tool: &Tool) -> Self {
        let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
        let hint = |name: &str, default| {
            definition.pointer(&format!("/annotations/{name}")).and_then(Value::as_bool).unwrap_or(default)
        };
        let read_only = hint("readOnlyHint", false);
        Self {
            read_only,
            destructive: !read_only && hint("destructiveHint", true),
            idempotent: hint("idempotentHint", false),
            open_world: hint("openWorldHint", true),
        }
    }
}

#[cfg(test)]
mod tests {
    use chancery_model::{Timestamp, ToolState};

    use super::*;

    fn tool(definition: Value) -> Tool {
        Tool {
            server: "billing".into(),
            name: "refund".into(),
            state: ToolState::Pinned,
            digest: [0; 32],
            definition: definition.to_string(),
            seen: None,
            since: Timestamp(0),
        }
    }

    #[test]
    fn schemas_become_types() {
        let refund = tool(json!({"inputSchema": {
        "type": "object",
        "required": ["order", "amount", "maybe"],
        "properties": {
            "order": {"type": "string"}, "amount": {"type": "number"}, "count": {"type": "integer"},
            "maybe": {"type": ["boolean", "null"]}, "tags": {"type": "array", "items": {"type": "string"}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "mode": {"enum": ["a", "b"]},
            "to": {"type": "object", "required": ["iban"], "properties": {"iban": {"type": "string"}, "x": {}}},
            "any": {}, "ref": {"$ref": "#/x"}, "either": {"type": ["string", "integer"]},
        }}}));
        let made = generate(&[refund], |_| false);
        let args = &made.fragment[""]["actions"]["billing/refund"]["appliesTo"]["context"]["attributes"]["args"];
        let args = &args["attributes"];
        assert_eq!(args["order"], json!({"type": "String", "required": true}));
        assert_eq!(args["amount"], json!({"type": "Extension", "name": "decimal", "required": true}));
        assert_eq!(args["count"], json!({"type": "Long", "required": false}));
        assert_eq!(args["maybe"], json!({"type": "Boolean", "required": false}));
        assert_eq!(args["tags"]["element"], json!({"type": "String"}));
        assert_eq!(args["note"], json!({"type": "String", "required": false}));
        assert_eq!(args["mode"], json!({"type": "String", "required": false}));
        assert_eq!(args["to"]["attributes"]["iban"]["required"], json!(true));
        assert!(made.untyped[0].message.ends_with("`any`, `either`, `ref`, `to.x`"), "{}", made.untyped[0].message);
    }

    #[test]
    fn a_tool_that_says_nothing_is_destructive() {
        assert!(Hints::of(&tool(json!({}))).destructive);
        let reading = Hints::of(&tool(json!({"annotations": {"readOnlyHint": true, "openWorldHint": false}})));
        assert_eq!(reading, Hints { destructive: false, idempotent: false, open_world: false, read_only: true });
    }
}
