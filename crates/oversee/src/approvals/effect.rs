//! What a call would do, as people read it: its arguments one by one, beside those of the last one they let through.
//!
//! Everything is made from the canonical arguments that would be sent, and nothing from what the agent says about them.

use std::collections::BTreeMap;

use chancery_model::Hash;
use serde_json::Value;

/// A longer text is shown by its beginning, its length and its digest, in characters.
const LONG: usize = 400;
/// How much of it is shown.
const BEGINNING: usize = 200;
/// More arguments than this are not shown one by one.
const MOST: usize = 200;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it stands: `lines[0].amount`.
    pub path: String,
    /// Its value; nothing if only the last one had it.
    pub value: Option<String>,
    /// Its value in the last one, where there was one and it differs.
    pub before: Option<String>,
    /// Whether it differs from the last one.
    pub changed: bool,
}

/// The arguments of a call, with what is different from the last one that was approved and ran, if there was one.
pub fn effect(arguments: Option<&str>, last: Option<Option<&str>>, sha256: fn(&[u8]) -> Hash) -> Vec<Field> {
    let now = flat(arguments, sha256);
    let Some(last) = last else {
        let field = |(path, value)| Field { path, value: Some(value), before: None, changed: false };
        return now.into_iter().take(MOST).map(field).collect();
    };
    let before = flat(last, sha256);
    let gone = before.iter().filter(|(path, _)| !now.contains_key(*path));
    let gone =
        gone.map(|(path, value)| Field { path: path.clone(), value: None, before: Some(value.clone()), changed: true });
    let gone: Vec<Field> = gone.collect();
    let here = now.into_iter().map(|(path, value)| {
        let was = before.get(&path);
        let changed = was != Some(&value);
        Field { before: was.filter(|_| changed).cloned(), changed, value: Some(value), path }
    });
    here.chain(gone).take(MOST).collect()
}

/// Numbers among the arguments, by where they stand.
pub fn numbers(arguments: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    if let Ok(value) = serde_json::from_str::<Value>(arguments) {
        walk("", &value, &mut |path, leaf| {
            if let Some(number) = leaf.as_f64() {
                found.insert(path.to_owned(), number);
            }
        });
    }
    found
}

/// The middle one of several numbers; of an even count the lower of both.
pub fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().checked_sub(1)? / 2).copied()
}

fn flat(arguments: Option<&str>, sha256: fn(&[u8]) -> Hash) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(text) = arguments else { return found };
    match serde_json::from_str::<Value>(text) {
        Ok(value) => walk("", &value, &mut |path, leaf| {
            found.insert(path.to_owned(), shown(leaf, sha256));
        }),
        // What is stored is canonical JSON; if it were not, people see that there is something.
        Err(_) => drop(found.insert(String::new(), blob(text, sha256))),
    }
    found
}

fn walk(path: &str, value: &Value, leaf: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&below, member, leaf);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                walk(&format!("{path}[{at}]"), item, leaf);
            }
        }
        other => leaf(path, other),
    }
}

fn shown(value: &Value, sha256: fn(&[u8]) -> Hash) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() > LONG { blob(&text, sha256) } else { text }
}

fn blob(text: &str, sha256: fn(&[u8]) -> Hash) -> String {
    let digest: String = sha256(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let beginning: String = text.chars().take(BEGINNING).collect();
    format!("{beginning}… ({} bytes, sha256 {digest}…)", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(_: &[u8]) -> Hash {
        [7; 32]
    }

    fn lines(arguments: &str, last: Option<Option<&str>>) -> Vec<String> {
        let show = |field: Field| match (field.value, field.before, field.changed) {
            (Some(value), None, false) => format!("{} = {value}", field.path),
            (Some(value), None, true) => format!("{} = {value} (new)", field.path),
            (Some(value), Some(before), _) => format!("{} = {value} (was {before})", field.path),
            (None, before, _) => format!("{} gone (was {})", field.path, before.unwrap_or_default()),
        };
        effect(Some(arguments), last, hash).into_iter().map(show).collect()
    }

    #[test]
    fn every_argument_is_shown_and_what_differs_is_marked() {
        let now = r#"{"amount":340,"lines":[{"sku":"a"},{"sku":"b"}],"note":null,"order":"o-1"}"#;
        assert_eq!(
            lines(now, None),
            ["amount = 340", "lines[0].sku = a", "lines[1].sku = b", "note = null", "order = o-1"]
        );
        let last = r#"{"amount":35,"lines":[{"sku":"a"}],"order":"o-1","urgent":true}"#;
        assert_eq!(
            lines(now, Some(Some(last))),
            [
                "amount = 340 (was 35)",
                "lines[0].sku = a",
                "lines[1].sku = b (new)",
                "note = null (new)",
                "order = o-1",
                "urgent gone (was true)"
            ]
        );
    }

    #[test]
    fn a_long_text_is_named_by_length_and_digest() {
        let long = format!(r#"{{"body":"{}"}}"#, "x".repeat(5_000));
        let shown = lines(&long, None);
        assert!(shown[0].ends_with("(5000 bytes, sha256 0707070707070707…)"), "{}", shown[0]);
        assert!(shown[0].len() < 300);
    }

    #[test]
    fn empty_things_are_shown_too() {
        assert_eq!(lines(r#"{"a":[],"b":{},"c":""}"#, None), ["a = []", "b = {}", "c = "]);
        assert!(effect(None, None, hash).is_empty());
    }

    #[test]
    fn numbers_have_a_middle() {
        assert_eq!(
            numbers(r#"{"a":1,"b":{"c":2.5},"d":"3"}"#),
            [("a".to_owned(), 1.0), ("b.c".to_owned(), 2.5)].into()
        );
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![]), None);
    }
}
