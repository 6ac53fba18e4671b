//! What strangers named, made harmless for people's eyes: names of tools and agents come from where attackers are.

/// The longest text that is told, in characters.
const LONGEST: usize = 200;

/// One line of visible characters. Whatever is no letter, digit or ASCII is shown by its number, so that nothing turns
/// the direction of writing, hides or ends a line; and nothing in it is taken for an address to click at.
pub(crate) fn plain(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str(" …");
    }
    shown.replace("://", ":/ /").replace("www.", "www .")
}

fn visible(c: char) -> String {
    match c {
        ' '..='~' => c.to_string(),
        c if c.is_whitespace() || c.is_control() => " ".to_owned(),
        c if !c.is_ascii() && c.is_alphanumeric() => c.to_string(),
        c => c.escape_unicode().to_string(),
    }
}

/// For Slack's `text`, in which three characters begin what is carried out (mentions, links).
pub(crate) fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_turns_around_or_can_be_clicked_at() {
        assert_eq!(plain("billing/refund"), "billing/refund");
        assert_eq!(plain("Müller 東京"), "Müller 東京");
        assert_eq!(plain("a\u{202e}b\u{200b}c\r\nBcc: x"), "a\\u{202e}b\\u{200b}c  Bcc: x");
        assert_eq!(plain("see http://evil.example"), "see http:/ /evil.example");
        assert_eq!(plain("www.evil.example"), "www .evil.example");
        let long = plain(&"x".repeat(10_000));
        assert!(long.chars().count() < LONGEST + 4 && long.ends_with(" …"));
    }

    #[test]
    fn slack_carries_nothing_out() {
        assert_eq!(slack("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    }
}
