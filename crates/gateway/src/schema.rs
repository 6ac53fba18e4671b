//! Arguments against a tool's pinned `inputSchema`: what is required and of which type (JSON Schema 2020-12, the
//! part that policies rely on). Keywords beyond it are left to the upstream.

use chancery_model::folded;
use serde_json::{Map, Value};

/// Checks arguments. The error names the place and what is wrong with it.
pub(crate) fn check(schema: &Value, arguments: &Value) -> Result<(), String> {
    value(schema, arguments, &mut String::new(), 0)
}

/// Schemas nest no deeper than accepted arguments do.
const DEPTH: usize = 64;

fn value(schema: &Value, given: &Value, path: &mut String, depth: usize) -> Result<(), String> {
    let Some(schema) = schema.as_object().filter(|_| depth < DEPTH) else { return Ok(()) };
    if let Some(types) = schema.get("type")
        && !any_type(types, given)
    {
        return Err(format!("{} is not of type {types}", place(path)));
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.iter().any(|one| equal(one, given))
    {
        return Err(format!("{} is none of the allowed values", place(path)));
    }
    if schema.get("const").is_some_and(|one| !equal(one, given)) {
        return Err(format!("{} is not the one allowed value", place(path)));
    }
    match given {
        Value::Object(members) => object(schema, members, path, depth),
        Value::Array(items) => array(schema, items, path, depth),
        _ => Ok(()),
    }
}

fn object(
    schema: &Map<String, Value>,
    given: &Map<String, Value>,
    path: &mut String,
    depth: usize,
) -> Result<(), String> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !given.contains_key(name) {
            return Err(format!("{} lacks `{name}`", place(path)));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let closed =
        schema.get("additionalProperties") == Some(&Value::Bool(false)) && !schema.contains_key("patternProperties");
    for (name, member) in given {
        match properties.and_then(|p| p.get(name)) {
            Some(property) => within(path, name, |path| value(property, member, path, depth + 1))?,
            None if closed => return Err(format!("{} has `{name}`, which the tool does not know", place(path))),
            None => not_by_case(properties, name).map_err(|known| {
                format!("{} has `{name}`, which is `{known}` to readers that ignore case", place(path))
            })?,
        }
    }
    Ok(())
}

/// A name that is no property, but is one to a server that ignores case, would be decided as if it were absent.
fn not_by_case<'s>(properties: Option<&'s Map<String, Value>>, name: &str) -> Result<(), &'s str> {
    let Some(properties) = properties else { return Ok(()) };
    let name = folded(name);
    properties.keys().find(|known| folded(known) == name).map_or(Ok(()), |known| Err(known))
}

fn array(schema: &Map<String, Value>, given: &[Value], path: &mut String, depth: usize) -> Result<(), String> {
    let Some(items) = schema.get("items").filter(|_| !schema.contains_key("prefixItems")) else { return Ok(()) };
    for (i, item) in given.iter().enumerate() {
        within(path, &i.to_string(), |path| value(items, item, path, depth + 1))?;
    }
    Ok(())
}

fn within<T>(path: &mut String, step: &str, inner: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push('.');
    path.push_str(step);
    let result = inner(path);
    path.truncate(length);
    result
}

fn place(path: &str) -> String {
    format!("`arguments{path}`")
}

fn any_type(types: &Value, given: &Value) -> bool {
    match types {
        Value::String(one) => is(one, given),
        Value::Array(many) => many.iter().filter_map(Value::as_str).any(|one| is(one, given)),
        _ => true,
    }
}

fn is(name: &str, given: &Value) -> bool {
    match name {
        "string" => given.is_string(),
        "boolean" => given.is_boolean(),
        "null" => given.is_null(),
        "array" => given.is_array(),
        "object" => given.is_object(),
        "number" => given.is_number(),
        // Numbers without a fraction are integers, however they are written (JSON Schema, section 6.1.1).
        "integer" => given.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_fits_passes_and_what_does_not_is_named() {
        let schema = json!({
            "type": "object",
            "properties": {
                "amount": {"type": "integer"},
                "to": {"type": "string"},
                "kind": {"enum": ["full", "part"]},
                "lines": {"type": "array", "items": {"type": "object", "required": ["id"],
                    "properties": {"id": {"type": ["string", "null"]}}}},
            },
            "required": ["amount"],
            "additionalProperties": false,
        });
        for good in [
            json!({"amount": 3}),
            json!({"amount": 3.0, "to": "x", "kind": "part"}),
            json!({"amount": 3, "lines": [{"id": null}, {"id": "a", "more": 1}]}),
        ] {
            assert_eq!(check(&schema, &good), Ok(()));
        }
        for (bad, named) in [
            (json!([]), "`arguments`"),
            (json!({}), "`amount`"),
            (json!({"amount": "3"}), "`arguments.amount`"),
            (json!({"amount": 3.5}), "`arguments.amount`"),
            (json!({"amount": 3, "kind": "none"}), "`arguments.kind`"),
            (json!({"amount": 3, "bcc": "x"}), "`bcc`"),
            (json!({"amount": 3, "lines": [{}]}), "`arguments.lines.0`"),
            (json!({"amount": 3, "lines": [{"id": 7}]}), "`arguments.lines.0.id`"),
        ] {
            let error = check(&schema, &bad).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn an_open_schema_is_not_open_to_its_own_names_in_another_case() {
        let schema = json!({"properties": {"amount": {}, "to": {"properties": {"iban": {}}}}});
        assert_eq!(check(&schema, &json!({"note": "x", "to": {"name": "x"}})), Ok(()));
        for bad in [json!({"Amount": 1}), json!({"to": {"IBAN": "x"}})] {
            assert!(check(&schema, &bad).unwrap_err().contains("ignore case"), "{bad}");
        }
    }
}
