//! `[people]`: what browsers of people call this server, and what one of them cannot do alone.

use serde::Deserialize;

use super::ConfigError;

/// People with browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct People {
    /// What browsers of people call this server: `https` and a host name, or `http` on `localhost`; no path. Their passkeys
    /// are for its host name. `public_url` if that has a host name, else `localhost`.
    pub url: Option<String>,
    /// What waits until a second person confirms it, written `noun.action` as in the table of roles.
    pub two_person: Vec<String>,
}

impl People {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.url {
            super::check_url("people.url", url)?;
            if !has_name(url) {
                let message = format!("`{url}` has no host name, and passkeys are for host names only");
                return Err(ConfigError::key("people.url", message).hint("write `localhost` for a loopback address"));
            }
        }
        Ok(())
    }
}

/// Is the host of this URL a name, and no address?
fn has_name(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    !host.is_empty() && bare.parse::<std::net::IpAddr>().is_err()
}
