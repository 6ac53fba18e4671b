//! `[tls]`: a second door, with TLS of our own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// The TLS door. It is the only one that may listen beyond the loopback addresses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Where it listens; port 0 takes a free one.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    /// A PEM file: the server's certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// A PEM file: the private key of the first of them. Others must not be able to read it.
    pub key: PathBuf,
    /// PEM files of the roots that certificates of agents may lead to (`tls_client_auth`, RFC 8705, section 2.1).
    #[serde(default)]
    pub client_roots: Vec<PathBuf>,
    /// What clients call this door: `https`, host and port, no path. The address it got, if not given.
    #[serde(default)]
    pub public_url: Option<String>,
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8443))
}

impl Tls {
    /// The same with paths taken from the directory of the file.
    pub(super) fn at(self, base: &Path) -> Self {
        Self {
            certificate: base.join(self.certificate),
            key: base.join(self.key),
            client_roots: self.client_roots.into_iter().map(|path| base.join(path)).collect(),
            ..self
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Some(url) = self.public_url.as_deref() else {
            if self.listen.ip().is_unspecified() {
                let message = format!("{} is every address, so nobody knows what clients call it", self.listen);
                return Err(ConfigError::key("tls.listen", message).hint("set tls.public_url"));
            }
            return Ok(());
        };
        super::check_url("tls.public_url", url)?;
        if url.starts_with("https://") {
            return Ok(());
        }
        Err(ConfigError::key("tls.public_url", format!("`{url}` must be https")))
    }
}
