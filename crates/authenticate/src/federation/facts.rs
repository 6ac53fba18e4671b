//! The claims of a verified token, read once and strictly, and compared letter by letter.

use chancery_model::{Limits, Timestamp, TrustKind, TrustSource, parse_strict};
use serde::Deserialize;
use serde_json::Value;

use crate::jose::NumericDate;

/// The longest name of a running copy, in bytes.
const INSTANCE: usize = 128;

/// What a platform says of a workload.
#[derive(Debug)]
pub(crate) struct Facts(Value);

impl Facts {
    /// Of a payload whose signature was verified. Names that come twice are refused, at any depth.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, String> {
        let limits = Limits { depth: 16, keys: 500 };
        match parse_strict(payload, limits).map_err(|e| format!("its claims are not acceptable JSON: {e}"))? {
            object @ Value::Object(_) => Ok(Self(object)),
            _ => Err("its claims are not a JSON object".to_owned()),
        }
    }

    /// A claim, whatever it is.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Is there such a claim, whatever it says?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim that is a time (RFC 7519, section 2, NumericDate).
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        NumericDate::deserialize(self.0.get(name)?).ok().map(NumericDate::timestamp)
    }

    /// The audience, if it is exactly one: a text, or an array of one text. A token for us and others is others' too.
    pub(crate) fn audience(&self) -> Option<&str> {
        match self.0.get("aud")? {
            Value::String(one) => Some(one),
            Value::Array(several) => match several.as_slice() {
                [Value::String(one)] => Some(one),
                _ => None,
            },
            _ => None,
        }
    }

    /// Does every claim that the source states have its value?
    pub(super) fn meet(&self, source: &TrustSource) -> bool {
        source.claims.iter().all(|(path, value)| self.at(path).is_some_and(|found| is(found, value)))
    }

    /// What the platform calls the running copy.
    pub(super) fn instance(&self, kind: TrustKind) -> Option<String> {
        let named = match kind {
            TrustKind::Kubernetes => self.at("kubernetes.io/pod/name")?.as_str()?.to_owned(),
            TrustKind::Github => format!("run {}", self.text("run_id")?),
            _ => return None,
        };
        Some(named).filter(|name| name.len() <= INSTANCE)
    }

    /// A member of that very name, or one below another: `kubernetes.io/serviceaccount/name`. Both at once is neither.
    fn at(&self, path: &str) -> Option<&Value> {
        let below = path.contains('/').then(|| below(&self.0, path)).flatten();
        match (self.0.get(path), below) {
            (Some(_), Some(_)) => None,
            (direct, below) => direct.or(below),
        }
    }
}

fn below<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('/').try_fold(value, |value, name| value.as_object()?.get(name))
}

/// Texts are compared as they are, whole numbers and truth values as they are written in JSON.
fn is(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        Value::Bool(truth) => truth.to_string() == wanted,
        Value::Number(number) if !number.is_f64() => number.to_string() == wanted,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Facts {
        Facts::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn an_audience_is_one() {
        assert_eq!(facts(r#"{"aud":"a"}"#).audience(), Some("a"));
        assert_eq!(facts(r#"{"aud":["a"]}"#).audience(), Some("a"));
        for several in [r#"{"aud":["a","b"]}"#, r#"{"aud":[]}"#, r#"{"aud":["a","a"]}"#, r#"{"aud":1}"#, "{}"] {
            assert_eq!(facts(several).audience(), None, "{several}");
        }
    }

    #[test]
    fn claims_are_found_below_others() {
        let facts =
            facts(r#"{"kubernetes.io":{"namespace":"pay","pod":{"name":"x"}},"n":7,"t":true,"f":1.5,"l":["pay"]}"#);
        let is_at = |path: &str, value: &str| facts.at(path).is_some_and(|found| is(found, value));
        assert!(is_at("kubernetes.io/namespace", "pay") && is_at("kubernetes.io/pod/name", "x"));
        assert!(is_at("n", "7") && is_at("t", "true"));
        for (path, value) in
            [("kubernetes.io", "pay"), ("l", "pay"), ("f", "1.5"), ("kubernetes.io/namespace/x", "pay"), ("", "")]
        {
            assert!(!is_at(path, value), "{path}");
        }
        let both = self::facts(r#"{"a/b":"1","a":{"b":"1"}}"#);
        assert!(both.at("a/b").is_none());
    }

    #[test]
    fn names_that_come_twice_are_refused() {
        for twice in [r#"{"sub":"a","sub":"b"}"#, r#"{"a":{"b":1,"b":2}}"#, "[]", "1", r#"{"a":1} x"#] {
            assert!(Facts::read(twice.as_bytes()).is_err(), "{twice}");
        }
    }
}
