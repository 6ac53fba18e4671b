//! Counted use that policies can read: what is counted, for whom, and over which time.
//!
//! An act reserves on its meters before it happens and settles when its end is known. What it reserved stands in its
//! intent, what was counted in its outcome, so that the record alone says where every meter stands.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::{ActResult, Span};

/// The greatest amount that is counted, and the greatest value that policies see: 2^53, which every reader of JSON
/// keeps exact.
const MOST: i64 = 1 << 53;
/// The longest window that can be declared.
const LONGEST: Span = Span::days(366);
/// Decimal places of money that are counted at the most.
const PLACES: u8 = 4;
const NAME: usize = 64;

/// A declared meter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Meter {
    /// Its name in `context.meters`: `[a-z][a-z0-9_]*`.
    pub name: Arc<str>,
    /// What is counted.
    pub counts: Counts,
    /// Whose use is added up.
    pub per: Per,
    /// Over which time.
    pub window: Window,
    /// Which calls are counted; all if it says nothing.
    pub of: Option<Of>,
}

/// A meter as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    counts: Counts,
    per: Per,
    window: Window,
    of: Option<Of>,
}

/// What of a call is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Each call as one.
    Calls,
    /// An argument that is a whole number, or a decimal of at most `scale` places, counted in units of the last.
    Argument {
        /// Its name.
        name: String,
        /// Decimal places.
        scale: u8,
    },
    /// A number in the result, or the length of a list there. It is known afterwards, so a bound is reserved.
    Result {
        /// Where it stands, as a JSON Pointer (RFC 6901) into the result.
        pointer: String,
        /// What is reserved, and counted where the result does not say.
        reserve: i64,
    },
}

/// Whose use is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// The session, with all that was delegated from it.
    Session = 0,
    /// The agent that acts, and each agent that it acts for.
    Agent = 1,
    /// The agent's sponsor: all agents of one sponsor together.
    Sponsor = 2,
    /// The agent's blueprint: all its instances together.
    Blueprint = 3,
    /// The person on whose behalf it acts.
    Human = 4,
}

/// Over which time use is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// As long as the session lasts.
    Session,
    /// The time that passed last, so long.
    Last(Span),
}

/// Calls of one server, or of some of its tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// The server.
    pub server: String,
    /// The tools; all of them if none is named.
    #[serde(default)]
    pub tools: Vec<String>,
}

/// What an act counts as on one meter: reserved, in an intent; settled, in an outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The meter.
    pub meter: Arc<str>,
    /// Whose use it is.
    pub per: Per,
    /// Which session, agent, sponsor, blueprint or person.
    pub subject: Arc<str>,
    /// How much.
    pub amount: i64,
}

impl Meter {
    /// Does it count calls of this tool?
    pub fn covers(&self, server: &str, tool: &str) -> bool {
        let named = |of: &Of| of.server == server && (of.tools.is_empty() || of.tools.iter().any(|name| name == tool));
        self.of.as_ref().is_none_or(named)
    }
}

impl Counts {
    /// What a call with these arguments reserves. What cannot be counted is an error: it would not be limited.
    pub fn reserve(&self, arguments: &Value) -> Result<i64, String> {
        match self {
            Self::Calls => Ok(1),
            Self::Result { reserve, .. } => Ok(*reserve),
            Self::Argument { name, scale } => match arguments.get(name) {
                Some(Value::Number(number)) => amount(&plain(number), *scale),
                Some(Value::String(text)) if *scale > 0 => amount(text, *scale),
                Some(_) => Err("is not a number".to_owned()),
                None => Err("is missing".to_owned()),
            }
            .map_err(|why| format!("argument `{name}` {why}")),
        }
    }

    /// What a call counts as in the end. One that was not sent counts as nothing. One that failed was a call, but
    /// moved nothing. Of one that may have happened everything that was reserved is counted.
    pub fn settle(&self, reserved: i64, ended: ActResult, result: Option<&Value>) -> i64 {
        match (ended, self) {
            (ActResult::NotSent, _) => 0,
            (ActResult::Failed, Self::Calls) => reserved,
            (ActResult::Failed, _) => 0,
            (ActResult::Succeeded, Self::Result { pointer, .. }) => {
                result.and_then(|result| rows(result.pointer(pointer)?)).unwrap_or(reserved)
            }
            (ActResult::Succeeded | ActResult::Indeterminate, _) => reserved,
        }
    }
}

fn rows(value: &Value) -> Option<i64> {
    let many = match value {
        Value::Array(items) => i64::try_from(items.len()).ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    many.filter(|many| (0..=MOST).contains(many))
}

/// A number as text, without an exponent where it has one in JSON.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// A decimal as a whole number of its last place. Nothing is rounded, and nothing is negative: a refund of minus ten
/// would give back what was counted.
fn amount(text: &str, scale: u8) -> Result<i64, String> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let places = places.trim_end_matches('0');
    if whole.is_empty() || !digits(whole) || !digits(places) {
        return Err(format!("is {}, not an amount", text.chars().take(40).collect::<String>()));
    }
    if places.len() > usize::from(scale) {
        return Err(format!("has more than {scale} decimal places"));
    }
    let units = format!("{whole}{places:0<width$}", width = usize::from(scale));
    let units = units.parse::<i64>().ok().filter(|units| *units <= MOST);
    units.ok_or_else(|| "is beyond 2^53".to_owned())
}

impl Per {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Session, Self::Agent, Self::Sponsor, Self::Blueprint, Self::Human];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Sponsor => "sponsor",
            Self::Blueprint => "blueprint",
            Self::Human => "human",
        }
    }
}

impl TryFrom<Written> for Meter {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, counts, per, window, of } = written;
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let named = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(letters);
        if !named || name.len() > NAME {
            return Err(format!(
                "the name `{}` is not a letter and then letters, digits and `_`, all small, at most {NAME}",
                name.chars().take(80).collect::<String>()
            ));
        }
        if window == Window::Session && per != Per::Session {
            return Err(format!("meter `{name}`: the window `session` goes with `\"per\": \"session\"` only"));
        }
        Ok(Self { name: name.into(), counts, per, window, of })
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "session" {
            return Ok(Self::Session);
        }
        let wrong =
            || D::Error::custom("a window is `session`, or a time like `90s`, `15m`, `24h` or `7d`, at most 366d");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let length = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        let count = text.strip_suffix(unit).filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = count.and_then(|count| count.parse::<i64>().ok()?.checked_mul(length)).ok_or_else(wrong)?;
        if (1..=LONGEST.as_seconds()).contains(&seconds) {
            Ok(Self::Last(Span::seconds(seconds)))
        } else {
            Err(wrong())
        }
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountsVisitor)
    }
}

struct CountsVisitor;

/// The members of the two forms that are objects.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    argument: Option<String>,
    scale: Option<u8>,
    result: Option<String>,
    reserve: Option<i64>,
}

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = Counts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`\"calls\"`, `{\"argument\": NAME}` or `{\"result\": POINTER, \"reserve\": NUMBER}`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Counts, E> {
        if text == "calls" { Ok(Counts::Calls) } else { Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Counts, A::Error> {
        let members = Members::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        match members {
            Members { argument: Some(name), scale, result: None, reserve: None } => match scale.unwrap_or(0) {
                scale @ 0..=PLACES => Ok(Counts::Argument { name, scale }),
                scale => Err(A::Error::custom(format_args!("a scale of {scale}: at most {PLACES} decimal places"))),
            },
            Members { argument: None, scale: None, result: Some(pointer), reserve: Some(reserve) } => {
                match pointer.starts_with('/') && (1..=MOST).contains(&reserve) {
                    true => Ok(Counts::Result { pointer, reserve }),
                    false => Err(A::Error::custom("`result` begins with `/`, and `reserve` is at least 1")),
                }
            }
            _ => Err(A::Error::custom("what is counted is an `argument`, or a `result` with a `reserve`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Meter, String> {
        serde_json::from_str(&value.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_meter_says_what_it_counts_for_whom_and_over_which_time() {
        let meter = read(json!({"name": "refunds_24h", "counts": "calls", "per": "agent", "window": "24h",
            "of": {"server": "billing", "tools": ["refund"]}}))
        .unwrap();
        assert_eq!((meter.window, meter.per), (Window::Last(Span::hours(24)), Per::Agent));
        assert!(
            meter.covers("billing", "refund") && !meter.covers("billing", "list") && !meter.covers("crm", "refund")
        );
        for (name, value) in [
            ("unknown member", json!({"name": "a", "counts": "calls", "per": "agent", "window": "1h", "more": 1})),
            ("name", json!({"name": "A", "counts": "calls", "per": "agent", "window": "1h"})),
            ("name", json!({"name": "1a", "counts": "calls", "per": "agent", "window": "1h"})),
            ("window", json!({"name": "a", "counts": "calls", "per": "agent", "window": "0h"})),
            ("window", json!({"name": "a", "counts": "calls", "per": "agent", "window": "400d"})),
            ("window", json!({"name": "a", "counts": "calls", "per": "agent", "window": "-1h"})),
            ("session of others", json!({"name": "a", "counts": "calls", "per": "agent", "window": "session"})),
            ("both", json!({"name": "a", "counts": {"argument": "x", "reserve": 1}, "per": "agent", "window": "1h"})),
            ("no bound", json!({"name": "a", "counts": {"result": "/x"}, "per": "agent", "window": "1h"})),
            ("per", json!({"name": "a", "counts": "calls", "per": "team", "window": "1h"})),
            ("words", json!({"name": "a", "counts": "rows", "per": "agent", "window": "1h"})),
        ] {
            assert!(read(value).is_err(), "{name}");
        }
    }

    #[test]
    fn money_is_never_rounded_and_never_negative() {
        let euros = Counts::Argument { name: "amount".into(), scale: 2 };
        for (given, cents) in [(json!(12), 1200), (json!(12.5), 1250), (json!("0.07"), 7), (json!(1e3), 100_000)] {
            assert_eq!(euros.reserve(&json!({"amount": given})), Ok(cents), "{given}");
        }
        for given in
            [json!(-1), json!(0.001), json!("1e3"), json!(true), json!(1e300), json!("-0"), json!(""), json!(null)]
        {
            assert!(euros.reserve(&json!({"amount": given})).is_err(), "{given}");
        }
        assert!(euros.reserve(&json!({})).unwrap_err().contains("is missing"));
        let whole = Counts::Argument { name: "n".into(), scale: 0 };
        assert_eq!(whole.reserve(&json!({"n": 5.0})), Ok(5));
        assert!(whole.reserve(&json!({"n": "5"})).is_err());
    }

    #[test]
    fn what_counts_in_the_end_follows_from_the_outcome() {
        use ActResult::{Failed, Indeterminate, NotSent, Succeeded};
        let money = Counts::Argument { name: "amount".into(), scale: 0 };
        let rows = Counts::Result { pointer: "/structuredContent/rows".into(), reserve: 100 };
        let settled = |counts: &Counts, reserved| {
            [NotSent, Failed, Succeeded, Indeterminate].map(|ended| counts.settle(reserved, ended, None))
        };
        assert_eq!(settled(&Counts::Calls, 1), [0, 1, 1, 1]);
        assert_eq!(settled(&money, 70), [0, 0, 70, 70]);
        assert_eq!(settled(&rows, 100), [0, 0, 100, 100]);
        let of = |result: Value| rows.settle(100, Succeeded, Some(&result));
        assert_eq!(of(json!({"structuredContent": {"rows": 7}})), 7);
        assert_eq!(of(json!({"structuredContent": {"rows": [1, 2, 3]}})), 3);
        assert_eq!(of(json!({"structuredContent": {"rows": 700}})), 700, "the real figure, even over the bound");
        assert_eq!(of(json!({"structuredContent": {"rows": -7}})), 100);
    }
}
