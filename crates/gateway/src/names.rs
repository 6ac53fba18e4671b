//! Names of tools that cannot be mistaken for another's.

use unicode_normalization::UnicodeNormalization;

const LONGEST: usize = 128;

/// Why a name is not accepted; `None` if it is.
///
/// A name must be its own compatibility form (NFKC), and have no control, bidirectional, zero-width or space
/// characters: what a human approves must be what a model calls. Letters of more than one script are refused too,
/// so that a Cyrillic letter does not pass for a Latin one.
pub(crate) fn objection(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LONGEST {
        return Some("it is longer than 128 bytes");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || invisible(c)) {
        return Some("it has characters that cannot be seen");
    }
    if name.chars().any(|c| matches!(c, '/' | '"' | '\\')) {
        return Some("it has a slash, a backslash or a quotation mark");
    }
    if !name.nfkc().eq(name.chars()) {
        return Some("it is not in compatibility form (NFKC)");
    }
    if !name.is_ascii() && name.chars().any(|c| c.is_ascii_alphabetic()) && name.chars().any(foreign_letter) {
        return Some("it mixes letters of different scripts");
    }
    None
}

fn foreign_letter(c: char) -> bool {
    // Latin with marks is Latin: Basic Latin to Latin Extended Additional.
    c.is_alphabetic() && !matches!(c, '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// Format characters: zero width, bidirectional controls and isolates, variation selectors, tags, soft hyphen.
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::objection;

    #[test]
    fn usual_names_pass() {
        for name in ["refund", "get-sum", "read_text_file", "crm.contacts.list", "überweisen", "поиск"] {
            assert_eq!(objection(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_deceive_do_not() {
        for name in [
            "",
            "B\u{430}sh",
            "refu\u{578}d",
            "ref\u{202e}dnu",
            "refund\u{200b}",
            "re fund",
            "refund\n",
            "ｒefund",
            "ﬁle",
            "a/b",
            "a\"b",
        ] {
            assert!(objection(name).is_some(), "{name:?}");
        }
        assert!(objection(&"x".repeat(129)).is_some());
    }
}
