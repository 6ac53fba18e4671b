//! What can be set.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::FetchError;
use crate::address;
use crate::target::{self, Host, Target};

/// Settings of the fetcher, with safe defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` as it stands in URLs: plain `http` is allowed there, and addresses that are not public. For names and
    /// addresses of this machine the port may be `*`, which is for development.
    pub allow: Vec<String>,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub authorities: Option<PathBuf>,
    /// For one whole exchange, name resolution and body included.
    pub total: Duration,
    /// For the connection alone, TLS included.
    pub connect: Duration,
    /// How many exchanges go on at a time; more wait within their own time.
    pub at_once: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            authorities: None,
            total: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            at_once: 64,
        }
    }
}

/// Why settings were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// An entry of the allow list is not `host:port`, or names what nobody may name.
    #[error("`{entry}` {why}")]
    Allow {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file of authorities cannot be used.
    #[error("{path}: {why}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Config {
    /// Checks the allow list.
    ///
    /// # Errors
    /// [`BadConfig::Allow`] for the first entry that is not understood.
    pub fn check(&self) -> Result<(), BadConfig> {
        self.allow
            .iter()
            .try_for_each(|entry| check_entry(entry).map_err(|why| BadConfig::Allow { entry: entry.clone(), why }))
    }

    /// Whether a URL may be fetched as far as can be told without resolving its host. For whoever stores URLs.
    ///
    /// # Errors
    /// The [`FetchError`] that fetching it would give at once.
    pub fn permits(&self, url: &str) -> Result<Target, FetchError> {
        self.permits_where(address::is_public, url)
    }

    pub(crate) fn permits_where(&self, is_public: fn(IpAddr) -> bool, url: &str) -> Result<Target, FetchError> {
        let target = Target::parse(url)?;
        if !target.is_https() && !self.allows(&target) {
            return Err(FetchError::Plain(target.to_string()));
        }
        match target.place() {
            Host::Address(address) => self.permits_address(is_public, &target, *address)?,
            Host::Name(_) => {}
        }
        Ok(target)
    }

    pub(crate) fn permits_address(
        &self,
        is_public: fn(IpAddr) -> bool,
        target: &Target,
        address: IpAddr,
    ) -> Result<(), FetchError> {
        let listed = self.allows(target) && !address::is_never(address);
        if listed || is_public(address) {
            return Ok(());
        }
        Err(FetchError::NotPublic { host: target.host(), port: target.port(), address })
    }

    /// Whether the operator listed this host and port.
    pub fn allows(&self, target: &Target) -> bool {
        let (host, port) = (target.place(), target.port());
        self.allow.iter().any(|entry| match entry.strip_suffix(ANY_PORT) {
            Some(name) => matches!(target::read_authority(name), Ok((h, None)) if h == *host),
            None => matches!(target::read_authority(entry), Ok((h, Some(p))) if h == *host && p == port),
        })
    }
}

/// In the place of a port.
const ANY_PORT: &str = ":*";

fn check_entry(entry: &str) -> Result<(), &'static str> {
    if let Some(name) = entry.strip_suffix(ANY_PORT) {
        let local = Target::parse(&format!("http://{name}")).is_ok_and(|target| target.is_loopback());
        let bare = matches!(target::read_authority(name), Ok((_, None)));
        return if local && bare { Ok(()) } else { Err("has `*` for a port, which is for this machine only") };
    }
    let (host, port) = target::read_authority(entry)?;
    if port.is_none() {
        return Err("has no port: write `host:port`");
    }
    match host {
        Host::Address(ip) if address::is_never(ip) => Err("is a link-local address or no host, which is never fetched"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(entry: &str) -> Config {
        Config { allow: vec![entry.to_owned()], ..Config::default() }
    }

    #[test]
    fn entries_are_host_and_port() {
        for good in [
            "127.0.0.1:9000",
            "[::1]:9000",
            "localhost:*",
            "127.0.0.1:*",
            "[::1]:*",
            "issuer.internal:443",
            "10.0.0.7:8443",
        ] {
            with(good).check().unwrap();
        }
        for bad in [
            "127.0.0.1",
            "http://127.0.0.1:1",
            "*:9000",
            "*.internal:443",
            "issuer.internal:*",
            "10.0.0.7:*",
            "localhost:1:*",
            "*:*",
            ":*",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "127.1:1",
            "",
        ] {
            assert!(with(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_and_port_are_compared_as_written() {
        let listed = |entry: &str, url: &str| with(entry).allows(&Target::parse(url).unwrap());
        assert!(listed("127.0.0.1:9000", "http://127.0.0.1:9000/x"));
        assert!(listed("issuer.internal:443", "https://issuer.internal/x"));
        assert!(listed("localhost:*", "http://localhost:9001/x"));
        assert!(!listed("localhost:*", "http://127.0.0.1:9001/x"));
        assert!(!listed("localhost:*", "http://a.localhost:9001/x"));
        assert!(!listed("127.0.0.1:9000", "http://127.0.0.1:9001/x"));
        assert!(!listed("127.0.0.1:9000", "http://localhost:9000/x"));
        assert!(!listed("internal:443", "https://a.internal/x"));
    }
}
