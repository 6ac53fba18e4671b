//! From JSON to Cedar values, led by the types of the schema: no guessing, no escapes needed, nothing rounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast::{EntityType, EntityUID, Name, PartialValue, Value};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::types::{Attributes, EntityKind, Type};
use serde_json::{Map, Number, Value as Json};

use crate::entity;
use crate::json::EXACT;

/// A type of the schema, read once.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Bool,
    Long,
    String,
    /// `decimal`, `datetime`, `duration`, `ipaddr`: made by their constructor from text.
    Extension(Name),
    Set(Arc<Shape>),
    Record(Fields),
    Entity(EntityType),
    /// A type that no JSON value has.
    Nothing,
}

/// The members of a record or the attributes of an entity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub Arc<BTreeMap<String, Field>>);

/// One member.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub shape: Shape,
    pub required: bool,
}

/// A value that does not have the type it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Where, from the outside in.
    pub path: String,
    pub why: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.why)
    }
}

impl Misfit {
    fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    /// The same, one level further out.
    pub fn within(mut self, name: &str) -> Self {
        self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}.{}", self.path) };
        self
    }
}

impl Shape {
    /// The shape of a type of the schema.
    pub fn of(kind: &Type) -> Self {
        match kind {
            Type::Bool(_) => Self::Bool,
            Type::Long => Self::Long,
            Type::String => Self::String,
            Type::ExtensionType { name } => Self::Extension(name.clone()),
            Type::Set { element_type: Some(inner) } => Self::Set(Arc::new(Self::of(inner))),
            Type::Record { attrs, .. } => Self::Record(Fields::of(attrs)),
            Type::Entity(EntityKind::Entity(lub)) => {
                lub.get_single_entity().map_or(Self::Nothing, |kind| Self::Entity(kind.clone()))
            }
            Type::Set { element_type: None } | Type::Entity(EntityKind::AnyEntity) | Type::Never => Self::Nothing,
        }
    }

    /// The Cedar value of a JSON value.
    pub fn read(&self, json: &Json) -> Result<Value, Misfit> {
        match (self, json) {
            (Self::Bool, Json::Bool(b)) => Ok(Value::from(*b)),
            (Self::Long, Json::Number(n)) => long(n).map(Value::from),
            (Self::String, Json::String(s)) => Ok(Value::from(s.as_str())),
            (Self::Extension(name), Json::Number(n)) if is_decimal(name) => extension(name, &decimal(n)?),
            (Self::Extension(name), Json::String(s)) => extension(name, s),
            (Self::Extension(name), Json::Object(o)) => extension(name, escaped(o, name)?),
            (Self::Set(inner), Json::Array(items)) => set(inner, items),
            (Self::Record(fields), Json::Object(members)) => fields.record(members, |_| true),
            (Self::Entity(kind), _) => reference(kind, json).map(Value::from),
            (shape, json) => Err(Misfit::new(format!("is {}, not {}", name_of(json), shape.noun()))),
        }
    }

    fn noun(&self) -> String {
        match self {
            Self::Bool => "a boolean".into(),
            Self::Long => "an integer".into(),
            Self::String => "a string".into(),
            Self::Extension(name) => format!("a {name}"),
            Self::Set(_) => "an array".into(),
            Self::Record(_) => "an object".into(),
            Self::Entity(kind) => format!("the id of a {kind}"),
            Self::Nothing => "of a type that JSON has".into(),
        }
    }
}

impl Fields {
    /// The members of a record type, or the attributes of an entity type.
    pub fn of(attributes: &Attributes) -> Self {
        let field = |a: &cedar_policy_core::validator::types::AttributeType| Field {
            shape: Shape::of(&a.attr_type),
            required: a.is_required,
        };
        Self(Arc::new(attributes.iter().map(|(name, a)| (name.to_string(), field(a))).collect()))
    }

    /// A record of those members that the type has and `wanted` asks for. Others are not seen by policies.
    pub fn record(&self, members: &Map<String, Json>, wanted: impl Fn(&str) -> bool) -> Result<Value, Misfit> {
        let mut pairs = Vec::with_capacity(self.0.len());
        for (name, field) in self.0.iter().filter(|(name, _)| wanted(name)) {
            if let Some(value) = field.read(name, members.get(name.as_str()))? {
                pairs.push((name.as_str(), value));
            }
        }
        Ok(Value::record(pairs, None))
    }
}

impl Field {
    /// The value of a member, if it is there. A `null` stands for an optional member that is not there.
    pub fn read(&self, name: &str, json: Option<&Json>) -> Result<Option<Value>, Misfit> {
        match json {
            None if self.required => Err(Misfit::new("is missing").within(name)),
            None => Ok(None),
            Some(Json::Null) if !self.required => Ok(None),
            Some(json) => self.shape.read(json).map(Some).map_err(|misfit| misfit.within(name)),
        }
    }
}

fn set(inner: &Shape, items: &[Json]) -> Result<Value, Misfit> {
    let values = items.iter().enumerate().map(|(i, item)| inner.read(item).map_err(|m| m.within(&i.to_string())));
    Ok(Value::set(values.collect::<Result<Vec<_>, _>>()?, None))
}

fn long(number: &Number) -> Result<i64, Misfit> {
    // JSON Schema calls 5.0 an integer; beyond 2^53 one text may stand for several integers.
    let whole = |f: f64| (f.fract() == 0.0 && f.abs() <= EXACT as f64).then_some(f as i64);
    let value = number.as_i64().or_else(|| number.as_f64().and_then(whole));
    let value = value.ok_or_else(|| Misfit::new(format!("is {number}, not an integer")))?;
    if (-EXACT..=EXACT).contains(&value) { Ok(value) } else { Err(Misfit::new("is beyond 2^53")) }
}

fn is_decimal(name: &Name) -> bool {
    name.as_ref().basename().as_ref() == "decimal"
}

/// The text Cedar's `decimal` wants: a point, and one to four digits behind it.
fn decimal(number: &Number) -> Result<String, Misfit> {
    let text = match number.as_f64() {
        Some(f) if number.is_f64() => f.to_string(),
        _ => number.to_string(),
    };
    match text.split_once('.') {
        None => Ok(format!("{text}.0")),
        Some((_, digits)) if digits.len() <= 4 => Ok(text),
        Some(_) => Err(Misfit::new(format!("is {text}: policies compare at most four decimal places"))),
    }
}

fn extension(name: &Name, text: &str) -> Result<Value, Misfit> {
    let misfit = || Misfit::new(format!("is not a {name}"));
    // The type `ipaddr` has a constructor of another name.
    let constructor = match name.as_ref().basename().as_ref() {
        "ipaddr" => "ip".parse::<Name>().map_err(|_| misfit())?,
        _ => name.clone(),
    };
    let function = Extensions::all_available().func(&constructor).map_err(|_| misfit())?;
    match function.call(&[Value::from(text)]) {
        Ok(PartialValue::Value(value)) => Ok(value),
        _ => Err(misfit()),
    }
}

/// `{"__extn": {"fn": "decimal", "arg": "1.0"}}` or its content alone, as Cedar's JSON has it.
fn escaped<'a>(object: &'a Map<String, Json>, name: &Name) -> Result<&'a str, Misfit> {
    let inner = object.get("__extn").and_then(Json::as_object).unwrap_or(object);
    let text = inner.get("arg").and_then(Json::as_str);
    text.ok_or_else(|| Misfit::new(format!("is an object, not a {name}")))
}

/// An entity: its id, `{"type", "id"}`, or `{"__entity": {"type", "id"}}`.
fn reference(kind: &EntityType, json: &Json) -> Result<EntityUID, Misfit> {
    if let Json::String(id) = json {
        return Ok(entity::uid(kind, id));
    }
    let inner = json.get("__entity").unwrap_or(json);
    let (stated, id) = (inner.get("type").and_then(Json::as_str), inner.get("id").and_then(Json::as_str));
    match (stated, id) {
        (Some(stated), Some(id)) if stated == kind.to_string() => Ok(entity::uid(kind, id)),
        _ => Err(Misfit::new(format!("is {}, not the id of a {kind}", name_of(json)))),
    }
}

fn name_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(n) if n.is_f64() => "a number",
        Json::Number(_) => "an integer",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(name: &str) -> Shape {
        Shape::Extension(name.parse().unwrap())
    }

    #[test]
    fn numbers_are_never_rounded() {
        assert_eq!(Shape::Long.read(&json!(5.0)), Ok(Value::from(5i64)));
        assert!(Shape::Long.read(&json!(5.5)).is_err());
        assert!(Shape::Long.read(&json!(9_007_199_254_740_993i64)).is_err());
        assert!(Shape::Long.read(&json!("5")).is_err());
        for good in [json!(200), json!(0.1), json!(-2.7315), json!("7.25")] {
            assert!(named("decimal").read(&good).is_ok(), "{good}");
        }
        for bad in [json!(0.00001), json!(1e300), json!("x"), json!(true)] {
            assert!(named("decimal").read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn null_stands_for_an_optional_member_only() {
        let field = |required| Field { shape: Shape::Bool, required };
        assert_eq!(field(false).read("a", Some(&Json::Null)), Ok(None));
        assert!(field(true).read("a", Some(&Json::Null)).is_err());
        assert_eq!(field(true).read("a", None).unwrap_err().to_string(), "`a` is missing");
    }

    #[test]
    fn entities_and_extensions_are_read_in_every_form() {
        let agent = Shape::Entity("Agent".parse().unwrap());
        let plain = agent.read(&json!("x")).unwrap();
        assert_eq!(agent.read(&json!({"type": "Agent", "id": "x"})), Ok(plain.clone()));
        assert_eq!(agent.read(&json!({"__entity": {"type": "Agent", "id": "x"}})), Ok(plain));
        assert!(agent.read(&json!({"type": "Human", "id": "x"})).is_err());
        for (kind, text) in [("ipaddr", "10.0.0.0/8"), ("datetime", "2026-11-23"), ("duration", "1h30m")] {
            assert!(named(kind).read(&json!(text)).is_ok(), "{kind}");
        }
    }
}
