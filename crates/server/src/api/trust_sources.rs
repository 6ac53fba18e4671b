//! Whom platforms vouch for.

use std::collections::BTreeMap;

use chancery_model::{TrustKind, TrustSource};
use serde::Serialize;

use crate::rooms::Rooms;

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod remove;

/// A trust source as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    kind: TrustKind,
    agent: String,
    issuer: String,
    subject: String,
    audience: String,
    claims: BTreeMap<String, String>,
    /// `stated`, `own`, `discovered`, or where they are fetched from.
    keys: String,
    created_at: String,
}

impl View {
    fn of(rooms: &Rooms, source: &TrustSource) -> Self {
        let agent = rooms.authenticator.agent(source.agent.as_str());
        Self {
            name: source.name.clone(),
            kind: source.kind,
            agent: agent.map_or_else(|| source.agent.to_string(), |agent| agent.name.clone()),
            issuer: source.issuer.clone(),
            subject: source.subject.clone(),
            audience: source.audience.clone(),
            claims: source.claims.clone(),
            keys: match (&source.jwks, &source.jwks_uri) {
                (Some(_), _) => "stated".to_owned(),
                (None, Some(address)) => address.clone(),
                (None, None) if source.kind.is_spiffe() => "own".to_owned(),
                (None, None) => "discovered".to_owned(),
            },
            created_at: source.created_at.rfc3339(),
        }
    }
}
