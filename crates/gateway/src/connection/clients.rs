//! The client for one authorization server: found out, and opened when it has to prove itself.

use std::sync::Arc;

use chancery_authenticate::client::AgentKey;
use chancery_authenticate::client_key;
use chancery_model::Secret;

use super::client::{AuthMethod, Client, ClientProof};
use super::config::OAuth;
use super::error::ConnectError;
use super::kept::{Connection, KnownClient};
use super::metadata::AuthorizationServer;
use super::registration::{Origin, register};
use super::{Connections, Target};

impl Connections {
    /// Which client we are there: the configured one, else a document about us, else a registered one. A client of
    /// another issuer is never taken along.
    pub(super) async fn client_at(
        &self,
        target: &Target,
        server: &AuthorizationServer,
        before: Option<&Connection>,
    ) -> Result<KnownClient, ConnectError> {
        let (oauth, callback) = (&target.oauth, self.callback(&target.name));
        if let Some(id) = &oauth.client_id {
            let method = method_of(oauth, server)?;
            return Ok(KnownClient { id: id.clone(), origin: Origin::Configured, method, secret: None, callback });
        }
        let document = self.document(target).filter(|_| server.client_id_metadata_document_supported);
        if let (Some(id), Ok(method)) = (document, AuthMethod::choose(&[AuthMethod::None], server)) {
            return Ok(KnownClient { id, origin: Origin::Document, method, secret: None, callback });
        }
        let before = before.filter(|before| before.server.issuer == server.issuer).map(|before| &before.client);
        if let Some(client) = before.filter(|client| client.origin == Origin::Dynamic && client.callback == callback) {
            return Ok(client.clone());
        }
        let registered = register(&self.means, server, &callback).await?;
        let (id, method, secret) = (registered.id, registered.method, registered.secret);
        Ok(KnownClient { id, origin: Origin::Dynamic, method, secret, callback })
    }

    /// The address of the document about us. Other servers can read ours only if it is on the web.
    fn document(&self, target: &Target) -> Option<String> {
        let own = self.public_url.starts_with("https://").then(|| self.document_of(&target.name));
        target.oauth.metadata_document.clone().or(own)
    }

    /// The client with what proves it.
    pub(super) async fn open(&self, oauth: &OAuth, known: &KnownClient) -> Result<Client, ConnectError> {
        let proof = match known.method {
            AuthMethod::None => ClientProof::None,
            AuthMethod::PrivateKeyJwt => ClientProof::Key(self.key(oauth).await?),
            AuthMethod::ClientSecretBasic => ClientProof::Basic(self.client_secret(oauth, known).await?),
            AuthMethod::ClientSecretPost => ClientProof::Post(self.client_secret(oauth, known).await?),
        };
        Ok(Client { id: known.id.clone(), proof })
    }

    async fn client_secret(&self, oauth: &OAuth, known: &KnownClient) -> Result<Secret, ConnectError> {
        match (&known.secret, &oauth.secret) {
            (Some(secret), _) => Ok(secret.clone()),
            (None, Some(name)) => self.secret(name).await,
            (None, None) => Err(ConnectError::secret(format!("the client `{}` has no secret", known.id))),
        }
    }

    async fn key(&self, oauth: &OAuth) -> Result<Arc<AgentKey>, ConnectError> {
        let Some(name) = &oauth.key else { return self.own_key().await };
        let key = AgentKey::from_pem(&self.secret(name).await?);
        let key =
            key.map_err(|_| ConnectError::secret(format!("secret `{name}` is not a P-256 key in PKCS #8, PEM")))?;
        Ok(Arc::new(key))
    }

    /// Our own key as a client, made when it is needed first.
    pub(crate) async fn own_key(&self) -> Result<Arc<AgentKey>, ConnectError> {
        let (store, vault, clock) = (&self.keeping.store, &self.keeping.vault, &*self.means.clock);
        let made = self.own.get_or_try_init(async || client_key(store, vault, clock).await.map(Arc::new)).await;
        made.cloned().map_err(|e| ConnectError::internal(e.to_string()))
    }

    /// A stored secret.
    pub(super) async fn secret(&self, name: &str) -> Result<Secret, ConnectError> {
        let opened = self.keeping.secrets.open(name).await;
        let opened = opened.map_err(|e| ConnectError::secret(format!("secret `{name}` does not open: {e}")))?;
        opened.ok_or_else(|| ConnectError::secret(format!("there is no secret `{name}`")))
    }
}

/// How a configured client proves itself.
fn method_of(oauth: &OAuth, server: &AuthorizationServer) -> Result<AuthMethod, ConnectError> {
    if let Some(method) = oauth.auth {
        return Ok(method);
    }
    let own: &[AuthMethod] = match (&oauth.secret, &oauth.key) {
        (Some(_), _) => &[AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
        (None, Some(_)) => &[AuthMethod::PrivateKeyJwt],
        (None, None) => &[AuthMethod::None],
    };
    AuthMethod::choose(own, server)
}
