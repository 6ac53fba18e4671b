//! Whom events are about (RFC 9493; Shared Signals Framework 1.0, section 3).

use chancery_model::canonical;
use serde_json::{Map, Value, json};

/// The longest subject that is kept, in bytes.
const LONGEST: usize = 2_000;

/// A subject identifier by its issuer and name there (RFC 9493, section 3.2.4).
pub(super) fn iss_sub(issuer: &str, subject: &str) -> Value {
    json!({"format": "iss_sub", "iss": issuer, "sub": subject})
}

/// A name that means something only here (section 3.2.5).
pub(super) fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// Several members that are one subject together (Shared Signals Framework 1.0, section 3.3).
pub(super) fn complex(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut subject = Map::from_iter([("format".to_owned(), "complex".into())]);
    subject.extend(members.into_iter().map(|(name, member)| (name.to_owned(), member)));
    Value::Object(subject)
}

/// A subject in the one spelling in which it is kept and compared.
///
/// # Errors
/// What is wrong with it.
pub(super) fn spelled(subject: &Value) -> Result<String, String> {
    let members = subject.as_object().ok_or("`subject` is not an object")?;
    let format = members.get("format").and_then(Value::as_str).ok_or("`subject` has no `format`")?;
    if format == "complex" {
        if members.len() < 2 {
            return Err("a complex subject needs a member".to_owned());
        }
        members
            .iter()
            .filter(|(name, _)| *name != "format")
            .try_for_each(|(name, member)| check_simple(member).map_err(|why| format!("`subject.{name}`: {why}")))?;
    } else {
        check_simple(subject)?;
    }
    let text = canonical(subject).map_err(|e| e.to_string())?;
    if text.len() > LONGEST {
        return Err(format!("`subject` is longer than {LONGEST} bytes"));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The members that the known formats require. Others are between those who use them.
fn check_simple(subject: &Value) -> Result<(), String> {
    let format = subject.get("format").and_then(Value::as_str).ok_or("it has no `format`")?;
    let required: &[&str] = match format {
        "email" => &["email"],
        "iss_sub" => &["iss", "sub"],
        "opaque" => &["id"],
        "account" => &["uri"],
        "phone_number" => &["phone_number"],
        "did" => &["url"],
        "uri" => &["uri"],
        "jwt_id" => &["iss", "jti"],
        "complex" => return Err("a complex subject is not a member of one".to_owned()),
        _ => &[],
    };
    let text = |name: &&&str| subject.get(**name).and_then(Value::as_str).is_none_or(str::is_empty);
    match required.iter().find(text) {
        Some(missing) => Err(format!("format `{format}` needs `{missing}`")),
        None => Ok(()),
    }
}

/// Does what a receiver said of one subject hold for the subject of an event (section 8.1.3.1)? A simple subject also
/// holds for a complex one that has it as a member: whoever removes a person means their sessions too.
pub(super) fn matches(said: &Value, event: &Value) -> bool {
    let is_complex = |subject: &Value| subject.get("format").and_then(Value::as_str) == Some("complex");
    match (said.as_object(), event.as_object()) {
        (Some(said_members), Some(members)) if is_complex(said) && is_complex(event) => said_members
            .iter()
            .filter(|(name, _)| *name != "format")
            .all(|(name, member)| members.get(name).is_none_or(|other| other == member)),
        (_, Some(members)) if is_complex(event) => members.values().any(|member| member == said),
        _ => said == event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(email: &str) -> Value {
        json!({"format": "email", "email": email})
    }

    #[test]
    fn subjects_have_what_their_format_needs() {
        for good in [
            email("a@b.example"),
            iss_sub("https://i.example", "s"),
            opaque("x"),
            complex([("user", email("a@b.example")), ("session", opaque("s"))]),
            json!({"format": "catalog_item", "catalog_id": "7"}),
        ] {
            spelled(&good).unwrap();
        }
        for bad in [
            json!("a@b.example"),
            json!({}),
            json!({"format": "email"}),
            json!({"format": "email", "email": ""}),
            json!({"format": "iss_sub", "iss": "https://i.example"}),
            json!({"format": "complex"}),
            json!({"format": "complex", "user": {"format": "complex", "user": {"format": "opaque", "id": "x"}}}),
            json!({"format": "opaque", "id": "x".repeat(3_000)}),
        ] {
            assert!(spelled(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_spelling_whatever_the_order() {
        let one: Value = serde_json::from_str(r#"{"sub":"s","iss":"i","format":"iss_sub"}"#).unwrap();
        assert_eq!(spelled(&one), spelled(&iss_sub("i", "s")));
    }

    /// The examples of section 8.1.3.1.
    #[test]
    fn subjects_match_as_the_framework_says() {
        let tenant = complex([("tenant", opaque("t"))]);
        let jdoe = complex([("tenant", opaque("t")), ("user", email("jdoe@example.com"))]);
        assert!(matches(&tenant, &jdoe));
        let device = complex([("user", email("jdoe@example.com")), ("device", opaque("d"))]);
        assert!(matches(&device, &complex([("user", email("jdoe@example.com"))])));
        let group = |id| complex([("user", email("jdoe@example.com")), ("group", opaque(id))]);
        assert!(!matches(&group("1"), &group("2")));
        assert!(matches(&email("jdoe@example.com"), &jdoe), "a person's sessions are about the person");
        assert!(matches(&email("a@b.example"), &email("a@b.example")));
        assert!(!matches(&email("a@b.example"), &email("A@b.example")));
        assert!(!matches(&jdoe, &email("jdoe@example.com")), "a simple subject is no complex one");
    }
}
