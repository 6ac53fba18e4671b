//! How deeply a policy file is nested, seen from its text alone: the parser recurses, so what is too deep for the
//! stack has to be refused before it is parsed.

use chancery_model::problem::POLICY_SYNTAX;

use crate::diagnostic::Diagnostic;

/// Brackets within brackets, and `if` within `if`. Written policies have fewer than ten.
const DEPTH: usize = 40;

/// The refusal of a file that is nested too deeply to be parsed.
pub(crate) fn too_deep(file: &str, text: &str) -> Option<Diagnostic> {
    let message = format!("the file is nested more than {DEPTH} levels deep");
    (depth(text) > DEPTH).then(|| Diagnostic::error(file, POLICY_SYNTAX, message).suggest("split the policy"))
}

/// Brackets outside of strings and comments; an `if` is open until the bracket around it is closed.
fn depth(text: &str) -> usize {
    let (mut deepest, mut now) = (0_usize, 0_usize);
    let mut outer = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => string(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            'A'..='Z' | 'a'..='z' | '_' => word(rest),
            _ => c.len_utf8(),
        };
        match &rest[..length] {
            "(" | "[" | "{" => {
                outer.push(now);
                now += 1;
            }
            ")" | "]" | "}" => now = outer.pop().unwrap_or(0),
            "if" => now += 1,
            ";" if outer.is_empty() => now = 0,
            _ => {}
        }
        deepest = deepest.max(now);
        rest = &rest[length..];
    }
    deepest
}

/// The length of the string literal that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_ifs_are_counted_where_they_nest() {
        for (text, expected) in [
            ("permit (principal, action, resource) when { (1 < 2) };", 2),
            ("permit (principal, action, resource); permit (principal, action, resource);", 1),
            ("// ((((\npermit (principal, action, resource) when { \"((\\\"((\" == \"\" };", 1),
            ("when { if a then (if b then c else d) else e }", 4),
            ("iffy notif if_", 0),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_deeper_than_the_stack_is_refused_without_a_parser() {
        let deep = "(".repeat(1_000_000);
        assert!(too_deep("p.cedar", &deep).is_some());
        assert!(too_deep("p.cedar", &"if a then ".repeat(41)).is_some());
        assert!(too_deep("p.cedar", &"(".repeat(DEPTH)).is_none());
    }
}
