//! What administrators and browsers do about connections.

use std::sync::Arc;
use std::time::Duration;

use chancery_model::Problem;
use serde_json::{Value, json};

use crate::Gateway;
use crate::connection::{AuthorizationResponse, Begun, ConnectError, ConnectionView, Progress};

/// Whoever authorized a connection waits this long for its first listing.
const LISTED: Duration = Duration::from_secs(5);

impl Gateway {
    /// The connections to upstream servers, made or not, without their tokens.
    pub async fn connections(&self) -> Vec<ConnectionView> {
        self.connections.list().await
    }

    /// Begins the authorization of a connection, or makes one that was cut and needs nobody. `by` is who asked for it and
    /// stands in the entry.
    ///
    /// # Errors
    /// If there can be no such connection, or its authorization server cannot be found or is not acceptable.
    pub async fn begin_connection(&self, server: &str, by: String) -> Result<Begun, ConnectError> {
        let begun = self.connections.begin(server, None, by).await?;
        if begun.url.is_none() {
            self.forget_failure(server);
        }
        Ok(begun)
    }

    /// How an authorization goes: waits at most `patience` for its end. Nothing if there is none of this id.
    pub async fn connection_progress(&self, id: &str, patience: Duration) -> Option<Progress> {
        self.connections.progress(id, patience).await
    }

    /// Finishes the authorization that `state` belongs to; gives the server it was for, at whose address, `at`, the response
    /// must have come. Its tools are listed before anybody is told, unless that takes long.
    ///
    /// # Errors
    /// If the response is not one to what was asked, or there is no token for it.
    pub async fn finish_connection(
        self: &Arc<Self>,
        at: &str,
        state: &str,
        response: AuthorizationResponse,
    ) -> Result<Arc<str>, ConnectError> {
        let server = self.connections.finish(at, state, response).await?;
        self.forget_failure(&server);
        if let Ok(upstream) = self.upstream(&server) {
            // It goes on in a task of its own.
            let _ = tokio::time::timeout(LISTED, self.contact(upstream, false)).await;
        }
        Ok(server)
    }

    /// Cuts a connection.
    ///
    /// # Errors
    /// If there is none, or that could not be written.
    pub async fn disconnect(&self, server: &str, by: String, reason: Option<String>) -> Result<(), ConnectError> {
        self.connections.disconnect(server, None, by, reason).await
    }

    /// The document about us as the client of this server's authorization server.
    ///
    /// # Errors
    /// If no such server is connected by OAuth.
    pub fn client_document(&self, server: &str) -> Result<Value, ConnectError> {
        self.connections.client_document(server)
    }

    /// The key that we prove ourselves with where no other is configured, to be registered at authorization servers.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub async fn client_keys(&self) -> Result<Value, Problem> {
        let key = self.connections.own_key().await?;
        let mut jwk: Value = serde_json::from_str(key.jwk()).unwrap_or_default();
        jwk["kid"] = key.thumbprint().into();
        jwk["alg"] = "ES256".into();
        jwk["use"] = "sig".into();
        Ok(json!({ "keys": [jwk] }))
    }
}
