//! Upstream credentials: sealed in the store, opened for the gateway only.

use chancery_authenticate::{Place, Vault};
use chancery_gateway::Secrets;
use chancery_model::Secret;
use chancery_store::{BoxFuture, Store, secrets};

/// Where a secret's seal says it belongs.
pub(crate) fn place(name: &str) -> Place<'_> {
    Place { table: "secrets", row: name }
}

/// The stored secrets and the key that opens them.
pub(crate) struct Sealed {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
}

impl Secrets for Sealed {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>> {
        Box::pin(async move {
            let stored = secrets::get(&self.store, name).await.map_err(|e| e.to_string())?;
            let opened = stored.map(|secret| self.vault.unseal_text(place(name), &secret.sealed));
            opened.transpose().map_err(|e| e.to_string())
        })
    }
}
