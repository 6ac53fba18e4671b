//! The forms of what people write.

use crate::RegisterError;

/// The longest text of one field, in characters.
const LONGEST: usize = 500;

/// A name: `[a-z0-9][a-z0-9-]{0,62}`.
pub(crate) fn name(field: &'static str, text: &str) -> Result<String, RegisterError> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(RegisterError::Field { field, why: no_name(text) })
}

/// Is it a name?
pub(crate) fn is_name(text: &str) -> bool {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let first = text.bytes().next().is_some_and(letters);
    first && text.len() <= 63 && text.bytes().all(|c| letters(c) || c == b'-')
}

/// Why a text is no name.
pub(crate) fn no_name(text: &str) -> String {
    format!("`{}` is not 1 to 63 of a-z, 0-9 and `-`, not beginning with `-`", shown(text))
}

/// A person's name: a directory name or e-mail address in lower case, so that nobody is there twice.
pub(crate) fn person(field: &'static str, text: &str) -> Result<String, RegisterError> {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let first = text.bytes().next().is_some_and(letters);
    if first && text.len() <= 200 && text.bytes().all(|c| letters(c) || b".-_+@".contains(&c)) {
        return Ok(text.to_owned());
    }
    let why = "1 to 200 of a-z, 0-9 and `.-_+@`, beginning with a letter or digit";
    Err(RegisterError::Field { field, why: format!("`{}` is not {why}", shown(text)) })
}

/// A text that must say something.
pub(crate) fn said(field: &'static str, text: &str) -> Result<String, RegisterError> {
    let refused = |why: &str| Err(RegisterError::Field { field, why: why.to_owned() });
    let text = text.trim();
    if !text.chars().any(char::is_alphanumeric) {
        return refused("it is mandatory: say it in words");
    }
    if text.chars().count() > LONGEST {
        return refused("it is longer than 500 characters");
    }
    if text.chars().any(unseen) {
        return refused("it holds control characters or characters that change the direction of text");
    }
    Ok(text.to_owned())
}

/// A Cedar entity, written `Type::"id"`.
pub(crate) fn entity(field: &'static str, text: &str) -> Result<String, RegisterError> {
    let refused = || RegisterError::Field { field, why: format!("`{}` is not written `Type::\"id\"`", shown(text)) };
    let (kind, id) = text.split_once("::\"").ok_or_else(refused)?;
    let id = id.strip_suffix('"').ok_or_else(refused)?;
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    let plain = !id.is_empty() && !id.contains(['"', '\\']) && !id.chars().any(unseen) && text.len() <= LONGEST;
    if kind.split("::").all(word) && plain { Ok(text.to_owned()) } else { Err(refused()) }
}

/// Characters that do not show, or make others show in another order.
pub(crate) fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !unseen(*c)).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        let name = |text: &str| name("name", text);
        assert!(name("crm-assistant").is_ok() && name("a").is_ok() && name(&"a".repeat(63)).is_ok());
        for bad in ["", "-a", "A", "a b", "a_b", "ä", "a\n", "agt_x", "а", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn people_have_one_spelling() {
        assert!(person("name", "mara.k+test@example.com").is_ok() && person("name", "mara").is_ok());
        for bad in ["", "Mara@example.com", "@x", "m a", "mära", "a\"b", "a\n", "<b>", &"a".repeat(201)] {
            assert!(person("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_mandatory_must_say_something() {
        assert_eq!(said("owner", "  Ann  ").unwrap(), "Ann");
        for blank in ["", "   ", "\t", "-", "...", "\u{200b}", "a\u{202e}b", "a\nb", &"x".repeat(501)] {
            assert!(said("owner", blank).is_err(), "{blank:?}");
        }
    }

    #[test]
    fn entities_are_written_one_way() {
        for good in [r#"Agent::"agt_1""#, r#"Acme::Tool::"crm/read""#] {
            assert!(entity("resource", good).is_ok(), "{good}");
        }
        for bad in
            ["", "Agent", r#"Agent::"#, r#"Agent::"""#, r#"Agent::"a"b""#, r#"1A::"x""#, r#"::"x""#, r#"A::"x\""#]
        {
            assert!(entity("resource", bad).is_err(), "{bad}");
        }
    }
}
