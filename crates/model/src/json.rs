//! One parse: JSON is read once, ambiguous input is refused, and the canonical form is what everybody else sees.
//!
//! Two readers of one text must not see two values. So: no duplicate keys (after unescaping, and after case folding,
//! for some readers ignore case), no lone surrogates, no byte order mark, nothing behind the value, no number that a double cannot hold exactly as written,
//! bounded depth and size. What passes is re-serialised by RFC 8785 (JCS).

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much JSON is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nesting of arrays and objects.
    pub depth: usize,
    /// Members of all objects together.
    pub keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, keys: 10_000 }
    }
}

/// Why a JSON text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArgumentsRefused(String);

/// The largest integer that every JSON reader holds exactly (RFC 8259, section 6).
const EXACT: u64 = 1 << 53;

/// Reads one JSON text, strictly.
pub fn parse_strict(bytes: &[u8], limits: Limits) -> Result<Value, ArgumentsRefused> {
    let text = std::str::from_utf8(bytes).map_err(|e| ArgumentsRefused(format!("not UTF-8: {e}")))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut budget = Budget { depth: limits.depth, keys: limits.keys };
    let value = Strict(&mut budget).deserialize(&mut reader).map_err(refused)?;
    reader.end().map_err(refused)?;
    Ok(value)
}

/// The canonical form of a value (RFC 8785).
pub fn canonical(value: &Value) -> Result<Vec<u8>, ArgumentsRefused> {
    if is_plain(value) {
        return serde_json::to_vec(value).map_err(refused);
    }
    serde_json_canonicalizer::to_vec(value).map_err(|e| ArgumentsRefused(e.to_string()))
}

/// Does the plain writer write the canonical form? It escapes texts alike (section 3.2.2.2). It writes members in the
/// order they are held, which is the one they came in (`serde_json/preserve_order`, which Cedar turns on) unless the
/// feature is off; the order of their bytes is that of their UTF-16 units (section 3.2.3) as long as names are ASCII.
/// Only numbers with a fraction or an exponent need more than their digits (section 3.2.2.3).
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => {
            members.keys().is_sorted() && members.iter().all(|(name, member)| name.is_ascii() && is_plain(member))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn refused(e: serde_json::Error) -> ArgumentsRefused {
    ArgumentsRefused(e.to_string())
}

struct Budget {
    depth: usize,
    keys: usize,
}

struct Strict<'b>(&'b mut Budget);

impl Strict<'_> {
    fn deeper<T, E: Error>(self, inner: impl FnOnce(&mut Budget) -> Result<T, E>) -> Result<T, E> {
        self.0.depth = self.0.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        let value = inner(self.0)?;
        self.0.depth += 1;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        if value <= EXACT { Ok(value.into()) } else { Err(E::custom("a number over 2^53: send it as a string")) }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= EXACT {
            Ok(value.into())
        } else {
            Err(E::custom("a number under -2^53: send it as a string"))
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // Integral doubles beyond 2^53 stand for many integers; readers that keep integers exact see another one.
        if value.fract() == 0.0 && value.abs() > EXACT as f64 {
            return Err(E::custom("a number beyond 2^53: send it as a string"));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.deeper(|budget| {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element_seed(Strict(budget))? {
                items.push(item);
            }
            Ok(Value::Array(items))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.deeper(|budget| {
            let mut members = Map::new();
            let mut cased = false;
            while let Some(key) = map.next_key::<String>()? {
                budget.keys = budget.keys.checked_sub(1).ok_or_else(|| A::Error::custom("too many members"))?;
                let value = map.next_value_seed(Strict(budget))?;
                if members.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("the key `{key}` appears twice")));
                }
                cased |= !key.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
                members.insert(key, value);
            }
            if cased && let Some((one, other)) = alike(&members) {
                let why = format_args!("the keys `{one}` and `{other}` are the same to readers that ignore case");
                return Err(A::Error::custom(why));
            }
            members.sort_keys();
            Ok(Value::Object(members))
        })
    }
}

/// Two names that are one to a reader that ignores case.
fn alike(members: &Map<String, Value>) -> Option<(&str, &str)> {
    let mut names: Vec<(String, &str)> = members.keys().map(|name| (folded(name), name.as_str())).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| (pair[0].1, pair[1].1))
}

/// A name without case: equal for all names that simple case folding of Unicode makes equal, and for a few more
/// (`ß` and `ss`). Letters with several small or large forms (`s` and `ſ`, `k` and the Kelvin sign) go both ways.
pub fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let large = name.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    large.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, ArgumentsRefused> {
        parse_strict(text.as_bytes(), Limits::default())
    }

    #[test]
    fn ambiguous_texts_are_refused() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"amount":1,"Amount":2}"#,
            r#"{"arguments":1,"argument\u017f":2}"#,
            r#"{"ok":1,"o\u212a":2}"#,
            r#"[{"a":{"straße":1,"STRASSE":2,"c":3}}]"#,
            r#"{"\u00df":1,"b":2,"\u1e9e":3}"#,
            r#"{"\u03c3":1,"\u03c2":2}"#,
            r#""\ud800""#,
            "\u{feff}{}",
            r#"{"a":1}x"#,
            "NaN",
            "1e400",
            "9007199254740993",
            "-9007199254740993",
            "1e300",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(parse_strict(b"\"\xff\"", Limits::default()).is_err());
    }

    #[test]
    fn names_that_differ_in_more_than_case_are_two() {
        for text in [r#"{"fooBar":1,"fooBaz":2,"foo":3}"#, r#"{"Ä":1,"A":2,"ö":3}"#, r#"[{"a":1},{"A":1}]"#] {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_canonical_form_is_one() {
        for (text, canon) in
            [(r#"{ "b" : 1.0, "a" : [1e0, -0, 0.10] }"#, r#"{"a":[1,0,0.1],"b":1}"#), (r#""\u0061\/""#, r#""a/""#)]
        {
            assert_eq!(canonical(&read(text).unwrap()).unwrap(), canon.as_bytes());
        }
    }

    /// The short way of writing and the library's agree wherever the short way is taken, and it is not always taken.
    #[test]
    fn the_short_way_writes_the_same() {
        let every_low: String = (0..0x100u32).filter_map(char::from_u32).collect();
        let mut plain = 0;
        for value in [
            // Plain only where members are held in the order of their names.
            serde_json::json!({"z": [1, -7, 9_007_199_254_740_991i64], "a": {"b": null, "A": true, "_": every_low.clone()}}),
            serde_json::json!({"a": {"A": true, "_": every_low, "b": null}, "z": [1, -7, 9_007_199_254_740_991i64]}),
            serde_json::json!({"": [], "text": "\u{2028}\u{2029}\u{7f}\u{feff}\u{1f600}\u{e000}/"}),
            serde_json::json!({"\u{1f600}": 1, "\u{e000}": 2}),
            serde_json::json!([1.0, 0.1, 1e21, -0.0]),
            serde_json::json!({"é": 1, "z": 2}),
        ] {
            assert_eq!(canonical(&value).unwrap(), serde_json_canonicalizer::to_vec(&value).unwrap(), "{value}");
            plain += usize::from(is_plain(&value));
        }
        assert!((2..=3).contains(&plain), "{plain}");
    }

    /// Whether objects keep the order in which members were added depends on what else is built: it must not matter.
    #[test]
    fn the_order_in_which_members_came_is_no_difference() {
        let mut value = read(r#"{"b":1,"a":{"d":"x","c":[{"f":1,"e":2}]}}"#).unwrap();
        assert_eq!(canonical(&value).unwrap(), br#"{"a":{"c":[{"e":2,"f":1}],"d":"x"},"b":1}"#);
        assert!(is_plain(&value), "what was read is in order already");
        value["a"]["a"] = 1.into();
        assert_eq!(canonical(&value).unwrap(), br#"{"a":{"a":1,"c":[{"e":2,"f":1}],"d":"x"},"b":1}"#);
    }

    #[test]
    fn limits_count_what_they_say() {
        let limits = Limits { depth: 2, keys: 2 };
        assert!(parse_strict(b"[[1]]", limits).is_ok());
        assert!(parse_strict(b"[[[1]]]", limits).is_err());
        assert!(parse_strict(br#"{"a":{"b":1}}"#, limits).is_ok());
        assert!(parse_strict(br#"[{"a":1,"b":1},{"c":1}]"#, limits).is_err());
    }
}
