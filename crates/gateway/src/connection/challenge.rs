//! What a server says about the credential it wants (RFC 9110, section 11.6.1; RFC 6750, section 3; RFC 9728, section 5.1).

use http::{HeaderMap, header};

/// The members of a challenge that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Where the metadata of the resource stands.
    pub(crate) resource_metadata: Option<String>,
    /// The scopes that would do.
    pub(crate) scope: Option<String>,
    /// What was wrong.
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// The first challenge for a token among the headers of an answer.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<Parsed> = values.flat_map(parse).collect();
        let ours = all.into_iter().find(|one| ["bearer", "dpop"].contains(&one.scheme.as_str())).unwrap_or_default();
        let member = |name: &str| ours.members.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        Self { resource_metadata: member("resource_metadata"), scope: member("scope"), error: member("error") }
    }

    pub(crate) fn says(&self, error: &str) -> bool {
        self.error.as_deref() == Some(error)
    }
}

#[derive(Default)]
struct Parsed {
    scheme: String,
    members: Vec<(String, String)>,
}

/// Reads `scheme member="value", …, scheme …`: a word that no `=` and value follows begins the next challenge.
fn parse(text: &str) -> Vec<Parsed> {
    let mut found: Vec<Parsed> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return found;
        }
        match value(after.trim_start()) {
            Some((value, after)) => {
                if let Some(challenge) = found.last_mut() {
                    challenge.members.push((word.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            None => {
                found.push(Parsed { scheme: word.to_ascii_lowercase(), members: Vec::new() });
                rest = after.trim_start_matches(['=', '/']);
            }
        }
    }
}

/// The value after `=`, quoted or not, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('=')?.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return (!word.is_empty()).then(|| (word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    #[test]
    fn members_are_read_in_any_order_and_quotation() {
        let found = of(&[
            r#"Bearer error="insufficient_scope", scope="a b" , resource_metadata="https://x/\"y",error_description=no"#,
        ]);
        assert_eq!(found.scope.as_deref(), Some("a b"));
        assert_eq!(found.resource_metadata.as_deref(), Some("https://x/\"y"));
        assert!(found.says("insufficient_scope"));
    }

    #[test]
    fn other_schemes_are_passed_over() {
        assert_eq!(
            of(&["Negotiate, Basic realm=\"scope\", DPoP algs=\"ES256\", scope=\"a\""]).scope.as_deref(),
            Some("a")
        );
        assert_eq!(of(&["Negotiate YWJj==, Bearer scope=x"]).scope.as_deref(), Some("x"));
        assert_eq!(of(&["Basic scope=\"b\"", "bearer scope=\"a\""]).scope.as_deref(), Some("a"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_fail(text in "[ -~]{0,80}") {
            let mut headers = HeaderMap::new();
            headers.append(header::WWW_AUTHENTICATE, text.parse().unwrap());
            let _ = Challenge::of(&headers);
        }
    }
}
