//! `[spiffe]`: our own trust domain, and who on this machine is which agent.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chancery_authenticate::spiffe::TrustDomain;
use serde::Deserialize;

use super::ConfigError;

/// Our own trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spiffe {
    /// Its name, for instance `acme.example`.
    pub trust_domain: String,
    /// Where the Workload API listens; nowhere, if not given.
    #[serde(default)]
    pub workload_socket: Option<PathBuf>,
    /// Who may connect to it.
    #[serde(default)]
    pub workload_socket_mode: SocketMode,
    /// The local workloads.
    #[serde(default)]
    pub workloads: Vec<Workload>,
}

/// Who may connect to the socket of the Workload API. Who connects is told nothing unless it is mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SocketMode {
    /// The user the server runs under.
    #[default]
    #[serde(rename = "0600")]
    Owner,
    /// The socket's group besides.
    #[serde(rename = "0660")]
    Group,
}

/// One user id of this machine that is an agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The user id it runs under.
    pub uid: u32,
    /// The agent's name.
    pub agent: String,
    /// The running copy, if there are several.
    #[serde(default)]
    pub instance: Option<String>,
}

impl SocketMode {
    /// The permission bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
        }
    }
}

impl Spiffe {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let domain = self.name()?;
        if self.workload_socket.is_none() && !self.workloads.is_empty() {
            let message = "there are workloads, and no `workload_socket` they could come to";
            return Err(ConfigError::key("spiffe.workloads", message));
        }
        let mut seen = BTreeSet::new();
        for workload in &self.workloads {
            if !seen.insert(workload.uid) {
                let message = format!("uid {} is there twice: one user id is one agent", workload.uid);
                return Err(ConfigError::key("spiffe.workloads", message));
            }
            let segments = [Some("agent"), Some(workload.agent.as_str()), workload.instance.as_deref()];
            let id = domain.workload(&segments.into_iter().flatten().collect::<Vec<_>>());
            id.map_err(|e| ConfigError::key("spiffe.workloads", format!("uid {}: {e}", workload.uid)))?;
        }
        Ok(())
    }

    /// The trust domain's name, checked.
    pub fn name(&self) -> Result<TrustDomain, ConfigError> {
        let refused = |e| ConfigError::key("spiffe.trust_domain", format!("`{}`: {e}", self.trust_domain));
        self.trust_domain.parse().map_err(refused)
    }
}
