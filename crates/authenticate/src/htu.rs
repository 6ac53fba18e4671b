//! Comparing a proof's `htu` with the URL that was asked for (RFC 9449, section 4.3, check 9).

/// Are both the same URL without query and fragment, after the normalisations of RFC 3986, section 6.2.2 and 6.2.3?
/// A URL with user information, or not of scheme http(s), equals nothing.
pub fn same(claimed: &str, asked: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b":/-_.~".contains(&c);
    if claimed == asked && !claimed.contains("/.") && claimed.bytes().all(plain) {
        return true;
    }
    match (normal(claimed), normal(asked)) {
        (Some(claimed), Some(asked)) => claimed == asked,
        _ => false,
    }
}

/// The normal form: lower-case scheme and host, no default port, no dot segments, unreserved characters unescaped,
/// no query, no fragment.
fn normal(url: &str) -> Option<String> {
    let url = url.split(['?', '#']).next()?;
    if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.is_empty() || authority.contains('@') || authority.contains('%') {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).or(authority.strip_suffix(':')).unwrap_or(&authority);
    Some(format!("{scheme}://{authority}{}", dots(&unescape(path)?)))
}

/// Decodes escapes of unreserved characters, and writes the others in upper case.
fn unescape(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut parts = path.split('%');
    out.push_str(parts.next()?);
    for part in parts {
        let digits = part.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        out.push_str(part.get(2..)?);
    }
    Some(out)
}

/// Removes dot segments (RFC 3986, section 5.2.4). An empty path is `/`.
fn dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "http://127.0.0.1:8420/mcp/crm";

    #[test]
    fn spellings_of_one_url_are_the_same() {
        for claimed in [
            ASKED,
            "HTTP://127.0.0.1:8420/mcp/crm",
            "http://127.0.0.1:8420/mcp/crm?x=1#y",
            "http://127.0.0.1:8420/mcp/%63rm",
            "http://127.0.0.1:8420/x/../mcp/./crm",
        ] {
            assert!(same(claimed, ASKED), "{claimed}");
        }
        assert!(same("https://A.example:443", "https://a.example/"));
        assert!(same("https://a.example/%7euser", "https://a.example/~user"));
        assert!(same("https://a.example/a%2fb", "https://a.example/a%2Fb"));
    }

    #[test]
    fn other_urls_are_not() {
        for claimed in [
            "",
            "http://127.0.0.1:8420/mcp/crm/",
            "http://127.0.0.1:8420/mcp/CRM",
            "http://127.0.0.1:8420//mcp/crm",
            "http://127.0.0.1:8420/mcp/crm%2f",
            "http://127.0.0.1:8420/mcp%2fcrm",
            "https://127.0.0.1:8420/mcp/crm",
            "http://127.0.0.1/mcp/crm",
            "http://127.0.0.1:84200/mcp/crm",
            "http://127.0.0.1:8420@evil.example/mcp/crm",
            "http://evil@127.0.0.1:8420/mcp/crm",
            "http://127.0.0.1:8420\\mcp/crm",
            "http://127.0.0.1:8420/mcp/crm%0",
            "http://127.0.0.1:8420/mcp/crm ",
            "/mcp/crm",
            "127.0.0.1:8420/mcp/crm",
        ] {
            assert!(!same(claimed, ASKED), "{claimed}");
        }
    }
}
