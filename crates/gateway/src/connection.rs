//! Connections: credentials of upstream servers that are obtained and renewed by OAuth. The agent never holds one.
//!
//! Discovery, registration, authorization and token requests follow MCP's authorization specification (2025-11-25 and
//! 2026-07-28); each file names its RFCs. Nothing here opens a socket: whoever starts the gateway says by which
//! [`Exchange`] authorization servers are reached.
//!
//! What cannot happen here: a code or a client's secret at another issuer than the one it is for; an authorization
//! without PKCE; two renewals of one connection at a time; a call that passes because a renewal failed; a token in a
//! log, an entry, or an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chancery_authenticate::Vault;
use chancery_authenticate::client::AgentKey;
use chancery_model::{Clock, Random};
use chancery_store::Store;
use serde_json::Value;
use tokio::sync::OnceCell;

mod address;
mod authorization;
mod begin;
mod challenge;
mod client;
mod clients;
mod config;
mod discovery;
mod error;
mod exchange;
mod form;
mod grant;
mod kept;
mod metadata;
mod probe;
mod registration;
mod renew;
mod scopes;
mod slot;
#[cfg(test)]
pub(crate) mod testing;
mod token;
mod view;

pub use authorization::AuthorizationResponse;
pub use begin::{Begun, Progress};
pub use client::AuthMethod;
pub use config::{Dpop, IdentityProvider, OAuth, OAuthMode};
pub use error::ConnectError;
pub use exchange::{Ask, Exchange, Reply};
pub use view::ConnectionView;

pub(crate) use challenge::Challenge;
pub(crate) use probe::Prober;
pub(crate) use slot::Prover;

use crate::inject::Secrets;
use crate::lock;
use registration::about_us;
use slot::Slot;

/// Where people come back to, under the public URL; the server's name follows. Each server has an address of its own
/// (RFC 9700, section 4.4.2.2): a code that another authorization server gave does not arrive where it would be used.
const CALLBACK: &str = "/connections/callback";
/// The documents about us as a client, under the public URL; the server's name follows. Each names one address.
const DOCUMENT: &str = "/connections/client";

/// What every step needs.
pub(crate) struct Means {
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// A server whose credential is a connection.
pub(crate) struct Target {
    pub(crate) name: Arc<str>,
    pub(crate) url: String,
    pub(crate) oauth: OAuth,
    /// Asks the server itself what it wants.
    pub(crate) prober: Prober,
}

/// Where connections are kept and what opens them.
pub(crate) struct Keeping {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) secrets: Arc<dyn Secrets>,
}

/// All connections of this server.
pub(crate) struct Connections {
    means: Means,
    keeping: Keeping,
    public_url: String,
    targets: HashMap<Arc<str>, Arc<Target>>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    flows: begin::Flows,
    /// The key that proves who we are where no other is configured.
    own: OnceCell<Arc<AgentKey>>,
}

impl Connections {
    pub(crate) fn new(means: Means, keeping: Keeping, public_url: String, targets: Vec<Target>) -> Self {
        let targets = targets.into_iter().map(|target| (target.name.clone(), Arc::new(target))).collect();
        let (slots, flows, own) = (Mutex::default(), begin::Flows::default(), OnceCell::new());
        Self { means, keeping, public_url, targets, slots, flows, own }
    }

    /// What failed for want of a secret is tried again at once.
    pub(crate) fn secrets_changed(&self) {
        lock(&self.slots).values().for_each(|slot| slot.forgive());
    }

    /// The server, if its credential is a connection.
    fn target(&self, server: &str) -> Result<Arc<Target>, ConnectError> {
        let none = || ConnectError::unknown(format!("`{server}` has no `oauth` table in the configuration"));
        self.targets.get(server).cloned().ok_or_else(none)
    }

    /// Somebody, perhaps at another node, replaced this connection or cut it: it is read again before it is used.
    pub(crate) fn changed(&self, row: &str) {
        if let Some(slot) = lock(&self.slots).get(row) {
            slot.outdated();
        }
    }

    fn slot(&self, server: &str, person: Option<&str>) -> Arc<Slot> {
        lock(&self.slots).entry(kept::row(server, person)).or_default().clone()
    }

    /// Where people come back to who authorize this server.
    pub(crate) fn callback(&self, server: &str) -> String {
        format!("{}{CALLBACK}/{server}", self.public_url)
    }

    /// The document about us for this server (draft-ietf-oauth-client-id-metadata-document, section 4): a public client,
    /// known by where people come back to.
    pub(crate) fn client_document(&self, server: &str) -> Result<Value, ConnectError> {
        let target = self.target(server)?;
        let mut document = about_us(&self.callback(&target.name), AuthMethod::None);
        document["client_id"] = self.document_of(&target.name).into();
        document["client_uri"] = self.public_url.clone().into();
        Ok(document)
    }

    fn document_of(&self, server: &str) -> String {
        format!("{}{DOCUMENT}/{server}", self.public_url)
    }
}
