//! What may be known about connections.

use serde::Serialize;

use super::kept::Connection;
use super::{Connections, Target};

/// A connection without its tokens.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionView {
    /// The upstream server.
    pub server: String,
    /// Whose it is; nobody's if it is for all who may use the server.
    pub person: Option<String>,
    /// How tokens are obtained.
    pub mode: &'static str,
    /// `open`, `lapsed`, `cut` or `none`.
    pub state: &'static str,
    /// The authorization server.
    pub issuer: Option<String>,
    /// Our client there.
    pub client_id: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Whether its tokens are bound to a key.
    pub bound: bool,
    /// When the newest token was obtained.
    pub connected_at: Option<String>,
    /// When the newest token ends.
    pub expires_at: Option<String>,
    /// What went wrong last, or which scopes somebody has to authorize.
    pub detail: Option<String>,
}

impl Connections {
    /// One for each server whose credential is a connection, connected or not.
    pub(crate) async fn list(&self) -> Vec<ConnectionView> {
        let mut views = Vec::new();
        for target in self.targets.values() {
            views.push(self.view(target).await);
        }
        views.sort_by(|one, other| one.server.cmp(&other.server));
        views
    }

    async fn view(&self, target: &Target) -> ConnectionView {
        let slot = self.slot(&target.name, None);
        let loaded = {
            let _turn = slot.turn.lock().await;
            self.load(target, None, &slot).await
        };
        let wanted = slot.wanted();
        let wants = (!wanted.is_empty()).then(|| format!("wants the scopes {}", wanted.join(" ")));
        let detail = loaded.err().map(|error| error.why).or_else(|| slot.last_failure()).or(wants);
        view(target, slot.connection().as_deref(), detail)
    }
}

fn view(target: &Target, connection: Option<&Connection>, detail: Option<String>) -> ConnectionView {
    let tokens = connection.and_then(|connection| connection.tokens.as_ref());
    ConnectionView {
        server: target.name.to_string(),
        person: None,
        mode: target.oauth.mode.name(),
        state: match (connection, tokens) {
            (None, _) => "none",
            (Some(connection), _) if connection.cut => "cut",
            (Some(_), None) => "lapsed",
            (Some(_), Some(_)) => "open",
        },
        issuer: connection.map(|connection| connection.server.issuer.clone()),
        client_id: connection.map(|connection| connection.client.id.clone()),
        scopes: connection.map(|connection| connection.scopes.clone()).unwrap_or_default(),
        bound: tokens.is_some_and(|tokens| tokens.key.is_some()),
        connected_at: connection.map(|connection| connection.connected_at.rfc3339()),
        expires_at: tokens.and_then(|tokens| tokens.expires_at).map(|at| at.rfc3339()),
        detail,
    }
}
