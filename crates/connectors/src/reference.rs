//! How a credential stands in a text: itself, or where it is to be had.

use serde::Serialize;

/// How a credential stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The secret itself.
    Literal,
    /// The name of an environment variable.
    Env,
    /// Whoever starts it is asked.
    Input,
    /// The path of a file.
    File,
    /// An entry of a store of secrets.
    Store,
    /// A text that says "put yours here".
    Placeholder,
}

impl Reference {
    /// What a value of a field that holds a secret is.
    pub(crate) fn of(value: &str) -> Self {
        let value = value.trim();
        let bare = without_scheme(value);
        if let Some(inner) = within(bare, "${", "}") {
            return variable(inner);
        }
        if within(bare, "{{", "}}").is_some() || bare.starts_with("={{") || bare.starts_with("op://") {
            return Self::Store;
        }
        if bare.starts_with("vault:")
            || bare.starts_with("secretsmanager:")
            || bare.starts_with("arn:aws:secretsmanager")
        {
            return Self::Store;
        }
        if bare.strip_prefix('$').is_some_and(is_variable) || within(bare, "%", "%").is_some_and(is_variable) {
            return Self::Env;
        }
        if is_placeholder(bare) { Self::Placeholder } else { Self::Literal }
    }
}

/// `${input:token}`, `${env:TOKEN}`, `${TOKEN}`, `${TOKEN:-nothing}`, `${file:…}`.
fn variable(inner: &str) -> Reference {
    match inner.split_once(':') {
        Some(("input" | "promptString", _)) => Reference::Input,
        Some(("file", _)) => Reference::File,
        Some(("secret" | "keychain" | "vault" | "command", _)) => Reference::Store,
        _ => Reference::Env,
    }
}

/// The secret of `Bearer SECRET`.
pub(crate) fn without_scheme(value: &str) -> &str {
    let schemes = ["Bearer ", "bearer ", "Basic ", "Token ", "token ", "SSWS ", "Bot ", "ApiKey "];
    schemes.iter().find_map(|scheme| value.strip_prefix(scheme)).unwrap_or(value).trim()
}

fn within<'a>(value: &'a str, open: &str, close: &str) -> Option<&'a str> {
    value.strip_prefix(open)?.strip_suffix(close)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Words that a person replaces. Only whole words of it: a random secret may hold `xxx` by chance.
fn is_placeholder(value: &str) -> bool {
    if value.is_empty() || within(value, "<", ">").is_some() || within(value, "[", "]").is_some() {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    let same = |b: u8| lower.bytes().all(|c| c == b || c == b'-');
    if same(b'x') || same(b'*') || same(b'.') || same(b'0') {
        return true;
    }
    const WORDS: [&str; 13] = [
        "your",
        "changeme",
        "placeholder",
        "example",
        "replace",
        "redacted",
        "insert",
        "dummy",
        "todo",
        "here",
        "xxx",
        "xxxx",
        "xxxxx",
    ];
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    lower.contains("<your") || lower.contains("xxxxxx") || words.any(|word| WORDS.contains(&word))
}

/// Whether a field of this name holds a secret, and of what kind: a variable, a header, an option or a key of a map.
///
/// The name is cut into words (`apiKey`, `api-key` and `API_KEY` are the same), so that `monkey` is no key.
pub fn looks_secret(name: &str) -> Option<&'static str> {
    let words = words(name);
    let has = |word: &str| words.iter().any(|w| w == word);
    let pair = |a: &str, b: &str| words.windows(2).any(|w| w[0] == a && w[1] == b);
    let last = words.last().map_or("", String::as_str);
    // Where it is, how long it lives, how many: about a secret, not one.
    const ABOUT: [&str; 15] = [
        "url", "uri", "endpoint", "name", "id", "path", "file", "ttl", "limit", "count", "expiry", "type", "length",
        "timeout", "enabled",
    ];
    if pair("connection", "string")
        || has("dsn")
        || pair("database", "url")
        || pair("redis", "url")
        || pair("mongodb", "uri")
    {
        return Some("connection_string");
    }
    if ABOUT.contains(&last) && !pair("key", "id") || pair("max", "tokens") || has("tokenizer") || has("public") {
        return None;
    }
    if pair("key", "id") {
        return has("access").then_some("access_key");
    }
    if has("password") || has("passwd") || has("pwd") || has("passphrase") || has("pass") {
        return Some("password");
    }
    if pair("private", "key") || pair("ssh", "key") || pair("signing", "key") {
        return Some("key_pair");
    }
    if pair("access", "key") || pair("secret", "key") {
        return Some("access_key");
    }
    if pair("client", "secret") || pair("app", "secret") {
        return Some("client_secret");
    }
    if pair("webhook", "secret") || pair("signing", "secret") {
        return Some("webhook_secret");
    }
    if has("token") || has("pat") || has("jwt") || has("bearer") || has("authorization") || has("cookie") {
        return Some("token");
    }
    let key = last == "key" && words.len() > 1
        || ["apikey", "accesskey", "secretkey"].iter().any(|word| has(word))
        || pair("api", "hash")
        || pair("api", "key")
        || last == "secret"
        || last == "credential";
    let more = has("secret") || has("secrets") || has("credentials") || last == "auth";
    (key || more).then_some("api_key")
}

fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if !c.is_ascii_alphanumeric() || begins {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The kind of a text that is a secret by its own form, wherever it stands.
pub(crate) fn has_form_of_secret(value: &str) -> Option<&'static str> {
    const FORMS: [(&str, usize, &str); 15] = [
        ("ghp_", 36, "token"),
        ("github_pat_", 40, "token"),
        ("gho_", 36, "token"),
        ("ghs_", 36, "token"),
        ("glpat-", 20, "token"),
        ("xoxb-", 24, "token"),
        ("xoxp-", 24, "token"),
        ("sk-ant-", 30, "api_key"),
        ("sk-proj-", 30, "api_key"),
        ("sk_live_", 20, "api_key"),
        ("AKIA", 16, "access_key"),
        ("AIza", 35, "api_key"),
        ("npm_", 36, "token"),
        ("pypi-", 40, "token"),
        ("hf_", 30, "token"),
    ];
    let value = without_scheme(value.trim());
    let rest_is_token = |rest: &str| rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let form = FORMS.iter().find(|(start, length, _)| {
        value.strip_prefix(start).is_some_and(|rest| rest.len() >= *length && rest_is_token(rest))
    });
    if let Some((_, _, kind)) = form {
        return (!is_placeholder(value)).then_some(kind);
    }
    let jwt = value.starts_with("eyJ") && value.split('.').count() == 3 && value.len() > 60;
    if jwt {
        return Some("token");
    }
    value.contains("-----BEGIN ").then(|| value.contains("PRIVATE KEY-----").then_some("key_pair")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart() {
        for (value, reference) in [
            ("${input:token}", Reference::Input),
            ("Bearer ${input:token}", Reference::Input),
            ("${env:TOKEN}", Reference::Env),
            ("${TOKEN}", Reference::Env),
            ("$TOKEN", Reference::Env),
            ("%TOKEN%", Reference::Env),
            ("your_api_key_here", Reference::Placeholder),
            ("<OMI_API_KEY>", Reference::Placeholder),
            ("YOUR-TOKEN", Reference::Placeholder),
            ("xxxxxxxx", Reference::Placeholder),
            ("", Reference::Placeholder),
            ("={{ $credentials.token }}", Reference::Store),
            ("op://vault/item/field", Reference::Store),
            ("9f86d081884c7d659a2feaa0c55ad015", Reference::Literal),
            ("Bearer 9f86d081884c7d659a2feaa0c55ad015", Reference::Literal),
            ("hunter2", Reference::Literal),
        ] {
            assert_eq!(Reference::of(value), reference, "{value}");
        }
    }

    #[test]
    fn names_of_secrets_are_known_by_their_words() {
        for (name, kind) in [
            ("OPENAI_API_KEY", Some("api_key")),
            ("apiKey", Some("api_key")),
            ("x-api-key", Some("api_key")),
            ("access_token", Some("token")),
            ("--access-token", Some("token")),
            ("Authorization", Some("token")),
            ("DB_PASSWORD", Some("password")),
            ("AWS_ACCESS_KEY_ID", Some("access_key")),
            ("AWS_SECRET_ACCESS_KEY", Some("access_key")),
            ("CLIENT_SECRET", Some("client_secret")),
            ("DATABASE_URL", Some("connection_string")),
            ("VOLC_SECRETKEY", Some("api_key")),
            ("TG_API_HASH", Some("api_key")),
            ("MONKEY", None),
            ("KEYBOARD", None),
            ("MAX_TOKENS", None),
            ("TOKEN_URL", None),
            ("LOG_LEVEL", None),
            ("PUBLIC_KEY", None),
            ("CLIENT_ID", None),
        ] {
            assert_eq!(looks_secret(name), kind, "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_form() {
        // Put together here, so that no scanner takes this file for a leak.
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(has_form_of_secret(&token), Some("token"));
        assert_eq!(has_form_of_secret(&format!("Bearer {token}")), Some("token"));
        assert_eq!(has_form_of_secret("ghp_short"), None);
        assert_eq!(has_form_of_secret(&format!("AKIA{}", "Q".repeat(16))), Some("access_key"));
        assert_eq!(has_form_of_secret("sk-learn is a library of models and more of that kind"), None);
    }
}
