//! Clients through which people log in for an agent.

use chancery_model::{Client, ClientKind};
use serde::Serialize;

pub(crate) mod code;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;

/// A client as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    client_id: String,
    kind: ClientKind,
    redirect_uris: Vec<String>,
    created_at: String,
}

impl From<&Client> for View {
    fn from(client: &Client) -> Self {
        Self {
            client_id: client.id.clone(),
            kind: client.kind,
            redirect_uris: client.redirect_uris.clone(),
            created_at: client.created_at.rfc3339(),
        }
    }
}
