//! Addresses that others told us, kept letter by letter as they were told.

use http::Uri;

use super::error::ConnectError;

/// An absolute URL taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'u> {
    /// Scheme and authority.
    pub(super) origin: &'u str,
    /// The path; empty or beginning with `/`.
    pub(super) path: &'u str,
    pub(super) query: Option<&'u str>,
}

impl<'u> Address<'u> {
    /// Takes a URL apart: `https`, or `http` to this machine; without user, password and fragment. Whatever else a
    /// browser or a shell would do something with (`javascript:`, `file:`, white space, …) is refused.
    pub(super) fn read(what: &str, url: &'u str) -> Result<Self, ConnectError> {
        let bad = |why: &str| ConnectError::metadata(format!("{what} `{}` {why}", crate::known::detail(url)));
        let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| bad("is not an absolute URL"))?;
        if authority.as_str().contains('@') || url.contains('#') {
            return Err(bad("has a user or a fragment"));
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(authority.host()) => {}
            _ => return Err(bad("is not https, nor http to this machine")),
        }
        Self::split(url).ok_or_else(|| bad("is not an absolute URL"))
    }

    /// Takes an absolute URL apart, of any host.
    pub(super) fn split(url: &'u str) -> Option<Self> {
        let from = url.find("://")? + 3;
        let end = url[from..].find(['/', '?']).map_or(url.len(), |at| from + at);
        let (origin, rest) = url.split_at(end);
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Some(Self { origin, path, query })
    }

    /// The path without the slash at its end.
    pub(super) fn trimmed(&self) -> &'u str {
        self.path.strip_suffix('/').unwrap_or(self.path)
    }

    pub(super) fn same_origin(&self, other: &Self) -> bool {
        let plain = |origin: &str| {
            let origin = origin.to_ascii_lowercase();
            let port = if origin.starts_with("https://") { ":443" } else { ":80" };
            origin.strip_suffix(port).map_or(origin.clone(), str::to_owned)
        };
        plain(self.origin) == plain(other.origin)
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Is `resource` the server at `url`, or something above it at the same origin (RFC 9728, section 3.3; MCP, canonical
/// server URI)?
pub(super) fn is_resource_of(resource: &str, url: &str) -> bool {
    let (Some(resource), Some(server)) = (Address::split(resource), Address::split(url)) else { return false };
    let rest = server.path.strip_prefix(resource.trimmed());
    resource.same_origin(&server)
        && (resource.query.is_none() || (resource.query == server.query && resource.path == server.path))
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_would_run_is_refused() {
        for bad in [
            "javascript:alert(1)",
            "JavaScript://x/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vscode://x/y",
            "http://as.example/authorize",
            "https://user@as.example/",
            "https://as.example/#x",
            "https://as.example/ --flag",
            "/authorize",
            "as.example",
            "",
        ] {
            assert!(Address::read("it", bad).is_err(), "{bad}");
        }
        for good in ["https://as.example", "http://127.0.0.1:1/a?b", "http://localhost:7/x", "http://[::1]/"] {
            assert!(Address::read("it", good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_resource_is_the_server_or_above_it() {
        let server = "http://localhost:1/mcp/crm";
        for good in
            ["http://localhost:1/mcp/crm", "http://localhost:1", "http://LOCALHOST:1/mcp/", "http://localhost:1/"]
        {
            assert!(is_resource_of(good, server), "{good}");
        }
        for bad in [
            "http://localhost:2/mcp/crm",
            "https://localhost:1/mcp/crm",
            "http://localhost:1/mcp/cr",
            "http://localhost:1/mcp/crm/x",
            "http://localhost:1.evil.example/mcp/crm",
            "http://localhost:1?x",
            "https://evil.example/mcp",
            "",
        ] {
            assert!(!is_resource_of(bad, server), "{bad}");
        }
    }
}
