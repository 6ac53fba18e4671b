//! The one spelling of an address that is understood.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest URL that is looked at, in bytes.
const LONGEST: usize = 2048;

/// A URL that was read strictly: `https` or `http`, a host, perhaps a port, a path, perhaps a query.
///
/// What other parsers would repair is refused: upper-case or non-ASCII hosts, numbers in other bases, `\`, white
/// space, user names, fragments, dot segments. So there is nothing that one parser could read differently from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    text: String,
    secure: bool,
    host: Host,
    port: u16,
    /// Where host and port stand in the text.
    authority: std::ops::Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why a URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {why}")]
pub struct BadUrl {
    /// What was given, shortened.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`BadUrl`] with the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        read(text).map_err(|why| BadUrl { url: text.chars().take(100).collect(), why })
    }

    /// The URL, letter by letter as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.secure
    }

    /// The host as it stands in the URL, an IPv6 address without its brackets.
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// The port, the scheme's own if none is given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is an address of this machine, or the name of one.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(address) => address.is_loopback(),
        }
    }

    /// Scheme, host and port, as the `Origin` of RFC 6454 and without a slash.
    pub fn origin(&self) -> &str {
        &self.text[..self.authority.end]
    }

    /// The path; empty if there is none.
    pub fn path(&self) -> &str {
        let rest = &self.text[self.authority.end..];
        rest.split_once('?').map_or(rest, |(path, _)| path)
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.text[self.authority.end..].split_once('?').map(|(_, query)| query)
    }

    /// Host and port as written, for the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        &self.text[self.authority.clone()]
    }

    /// Path and query, for the request line.
    pub(crate) fn origin_form(&self) -> String {
        let rest = &self.text[self.authority.end..];
        if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }
    }

    pub(crate) fn place(&self) -> &Host {
        &self.host
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn read(text: &str) -> Result<Target, &'static str> {
    if text.len() > LONGEST {
        return Err("is longer than 2048 bytes");
    }
    let (secure, start) = match text {
        t if t.starts_with("https://") => (true, "https://".len()),
        t if t.starts_with("http://") => (false, "http://".len()),
        _ => return Err("does not begin with https:// in lower case"),
    };
    let rest = &text[start..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = read_authority(&rest[..end])?;
    check_rest(&rest[end..])?;
    Ok(Target {
        text: text.to_owned(),
        secure,
        host,
        port: port.unwrap_or(if secure { 443 } else { 80 }),
        authority: start..start + end,
    })
}

/// Host and perhaps port, RFC 3986 section 3.2 without user information.
pub(crate) fn read_authority(text: &str) -> Result<(Host, Option<u16>), &'static str> {
    if text.contains('@') {
        return Err("carries a user name");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']').ok_or("has a bracket that is not closed")?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or("has something other than a port after its host")?),
            };
            (read_v6(inside)?, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (read_host(host)?, Some(port)),
            None => (read_host(text)?, None),
        },
    };
    Ok((host, port.map(read_port).transpose()?))
}

/// The one canonical spelling (RFC 5952), so that mapped IPv4 addresses and zone names are none.
fn read_v6(text: &str) -> Result<Host, &'static str> {
    let address: Ipv6Addr = text.parse().map_err(|_| "has a host in brackets that is no IPv6 address")?;
    if address.to_string() != text || text.contains('.') {
        return Err("has an IPv6 address that is not written as RFC 5952 says");
    }
    Ok(Host::Address(IpAddr::V6(address)))
}

/// A name of letters, digits, `-` and `_` in lower case, or four decimal numbers. A name whose last label is a number
/// is what other parsers read as an address in another base.
fn read_host(text: &str) -> Result<Host, &'static str> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    if text.is_empty() || text.len() > 253 || !text.split('.').all(label) {
        return Err("has a host that is no plain name in lower case");
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if number {
        return Err("has a number for a host that is not written as four decimal numbers");
    }
    Ok(Host::Name(text.to_owned()))
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    let plain = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or("has a port that is not a number from 1 to 65535")
}

/// Path and query: what RFC 3986 section 3.3 allows there, without dot segments in any spelling.
fn check_rest(text: &str) -> Result<(), &'static str> {
    if text.contains('#') {
        return Err("has a fragment");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b);
    if !text.bytes().all(plain) {
        return Err("has a character that must be written as %XX");
    }
    let whole = |at: usize| text.as_bytes()[at + 1..].iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2;
    if !text.match_indices('%').all(|(at, _)| whole(at)) {
        return Err("has a % that is not followed by two hexadecimal digits");
    }
    let path = text.split('?').next().unwrap_or_default();
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(dots) {
        return Err("has a path with dot segments");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_read() {
        let target = Target::parse("https://issuer.example:8443/a/b?c=%2F").unwrap();
        assert!(target.is_https());
        assert_eq!((target.host().as_str(), target.port()), ("issuer.example", 8443));
        assert_eq!((target.path(), target.query()), ("/a/b", Some("c=%2F")));
        assert_eq!(target.origin(), "https://issuer.example:8443");
        assert_eq!(target.origin_form(), "/a/b?c=%2F");
        let bare = Target::parse("https://issuer.example").unwrap();
        assert_eq!((bare.port(), bare.path(), bare.origin_form().as_str()), (443, "", "/"));
        assert_eq!(Target::parse("http://127.0.0.1:9000/").unwrap().host(), "127.0.0.1");
        assert_eq!(Target::parse("https://[2606:4700::1111]:1/").unwrap().host(), "2606:4700::1111");
    }

    #[test]
    fn odd_spellings_are_refused() {
        let odd = [
            "",
            "https://",
            "https:///a",
            "HTTPS://a.example/",
            "ftp://a.example/",
            "gopher://a.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "//a.example/",
            "https:a.example",
            "https://user@a.example/",
            "https://a@b:c@d.example/",
            "https://a.example/#x",
            "https://A.example/",
            "https://a.example./",
            "https://ä.example/",
            "https://a.example\\@b.example/",
            "https://a.example/\\b",
            "https://a b.example/",
            " https://a.example/",
            "https://a.example/ ",
            "https://a.example/\n",
            "https://a.example/%",
            "https://a.example/%2",
            "https://a.example/%zz",
            "https://a.example/../b",
            "https://a.example/.",
            "https://a.example/%2e%2E/b",
            "https://a.example/a/.%2e",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.01/",
            "https://127.0.0.0x1/",
            "https://1.2.3.4.5/",
            "https://127.0.0.1./",
            "https://[::ffff:127.0.0.1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::1%25lo]/",
            "https://[::1%lo]/",
            "https://[::1]x/",
            "https://[::1/",
            "https://[127.0.0.1]/",
            "https://::1/",
            "https://a.example:/",
            "https://a.example:0/",
            "https://a.example:080/",
            "https://a.example:65536/",
            "https://a.example:+1/",
            "https://a.example:1:2/",
            "https://%31%32%37.0.0.1/",
            "https://a..example/",
            "https://-a.example/",
            "https://a.example/é",
        ];
        for bad in odd {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        assert!(Target::parse(&format!("https://a.example/{}", "a".repeat(LONGEST))).is_err());
    }
}
