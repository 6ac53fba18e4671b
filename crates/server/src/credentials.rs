//! Upstream credentials: sealed in the store, opened for the gateway only.

use std::sync::Arc;

use chancery_authenticate::{Place, Vault};
use chancery_fetch::Fetcher;
use chancery_gateway::{Ask, Exchange, Reply, Secrets};
use chancery_model::Secret;
use chancery_store::{BoxFuture, Store, secrets};
use http::{Method, header};

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

/// How authorization servers of upstreams are reached: as everything whose address somebody else named.
pub(crate) struct Outward(pub(crate) Arc<Fetcher>);

impl Exchange for Outward {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, String>> {
        Box::pin(async move {
            let answer = self.0.fetch(fetched(ask)).await.map_err(|e| e.to_string())?;
            Ok(Reply { status: answer.status, headers: answer.headers, body: answer.body })
        })
    }
}

fn fetched(ask: Ask) -> chancery_fetch::Ask {
    let form = ask.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind != "application/json");
    let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    let begun = match ask.method {
        Method::POST => chancery_fetch::Ask::post(ask.url, kind, ask.body),
        _ => chancery_fetch::Ask::get(ask.url),
    };
    let others = ask.headers.iter().filter(|(name, _)| **name != header::CONTENT_TYPE);
    others.fold(begun, |asked, (name, value)| asked.header(name.clone(), value.clone()))
}
