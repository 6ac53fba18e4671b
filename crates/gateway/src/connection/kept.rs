//! A connection as it is kept: what anybody may know in columns, the rest sealed.

use std::sync::Arc;

use chancery_authenticate::client::AgentKey;
use chancery_authenticate::{Place, Vault};
use chancery_model::{Secret, Timestamp};
use chancery_store::connections::SealedConnection;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::address::is_resource_of;
use super::client::AuthMethod;
use super::config::OAuth;
use super::error::ConnectError;
use super::metadata::AuthorizationServer;
use super::registration::Origin;
use super::token::Scheme;

/// A connection in the open: never outside this room.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) server: AuthorizationServer,
    pub(super) client: KnownClient,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    pub(super) connected_at: Timestamp,
    /// Grows with each writing.
    pub(super) version: i64,
    /// Nothing after the authorization server or the upstream took it back.
    pub(super) tokens: Option<Tokens>,
    /// Somebody cut it: there is none until somebody asks for one again, even if it would need nobody.
    pub(super) cut: bool,
}

/// The client that it was made with. Configured secrets are opened when they are needed, so that changed ones count.
#[derive(Clone, Debug)]
pub(super) struct KnownClient {
    pub(super) id: String,
    pub(super) origin: Origin,
    pub(super) method: AuthMethod,
    /// The secret that dynamic registration gave.
    pub(super) secret: Option<Secret>,
    /// Where people come back to, as it was registered.
    pub(super) callback: String,
}

#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) access: Secret,
    pub(super) scheme: Scheme,
    pub(super) refresh: Option<Secret>,
    /// The key they are bound to.
    pub(super) key: Option<Arc<AgentKey>>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

/// The sealed part as JSON.
#[derive(Serialize, Deserialize)]
struct Inner {
    server: AuthorizationServer,
    client_id: String,
    origin: Origin,
    method: AuthMethod,
    client_secret: Option<String>,
    callback: String,
    resource: String,
    tokens: Option<InnerTokens>,
    #[serde(default)]
    cut: bool,
}

#[derive(Serialize, Deserialize)]
struct InnerTokens {
    access: String,
    refresh: Option<String>,
    key: Option<String>,
    issued_at: Timestamp,
}

/// The row of a connection: the server's name, and the person's for whom it is.
pub(super) fn row(server: &str, person: Option<&str>) -> String {
    person.map_or_else(|| server.to_owned(), |person| format!("{server}/{person}"))
}

impl Connection {
    pub(super) fn seal(
        &self,
        vault: &Vault,
        server: &str,
        person: Option<&str>,
    ) -> Result<SealedConnection, ConnectError> {
        let id = row(server, person);
        let inner = Zeroizing::new(serde_json::to_vec(&self.inner()?).map_err(|e| broken(&e))?);
        Ok(SealedConnection {
            sealed: vault.seal(place(&id), &inner).map_err(|e| broken(&e))?,
            kek_version: vault.version().into(),
            server: server.to_owned(),
            person: person.map(str::to_owned),
            open: self.tokens.is_some(),
            issuer: self.server.issuer.clone(),
            client_id: self.client.id.clone(),
            scopes: self.scopes.join(" "),
            version: self.version,
            connected_at: self.connected_at,
            expires_at: self.tokens.as_ref().and_then(|tokens| tokens.expires_at),
            id,
        })
    }

    pub(super) fn open(vault: &Vault, stored: &SealedConnection) -> Result<Self, ConnectError> {
        let inner = vault.unseal(place(&stored.id), &stored.sealed).map_err(|e| broken(&e))?;
        let inner: Inner = serde_json::from_slice(&inner).map_err(|e| broken(&e))?;
        let tokens = inner.tokens.map(|tokens| tokens.open(stored.expires_at)).transpose()?;
        Ok(Self {
            server: inner.server,
            client: KnownClient {
                id: inner.client_id,
                origin: inner.origin,
                method: inner.method,
                secret: inner.client_secret.map(Secret::new),
                callback: inner.callback,
            },
            resource: inner.resource,
            scopes: stored.scopes.split_whitespace().map(str::to_owned).collect(),
            connected_at: stored.connected_at,
            version: stored.version,
            tokens,
            cut: inner.cut,
        })
    }

    /// What stays of it when it is cut: a mark, and nothing that opens anything.
    pub(super) fn cut(&self) -> Self {
        let client = KnownClient { secret: None, ..self.client.clone() };
        Self { client, tokens: None, scopes: Vec::new(), cut: true, version: self.version + 1, ..self.clone() }
    }

    /// Is it still what the configuration means? Tokens for another resource, of another issuer or of another client
    /// are not sent to whatever stands there now.
    pub(super) fn fits(&self, url: &str, oauth: &OAuth) -> bool {
        let configured = oauth.client_id.as_ref();
        is_resource_of(&self.resource, url)
            && oauth.issuer.as_ref().is_none_or(|issuer| *issuer == self.server.issuer)
            && (self.client.origin == Origin::Configured) == configured.is_some()
            && configured.is_none_or(|id| *id == self.client.id)
    }

    /// Does the next one go on from it? After a cut nothing is taken along but the issuer that a configured client
    /// belongs to.
    pub(super) fn goes_on(&self, url: &str, oauth: &OAuth) -> bool {
        self.fits(url, oauth) && (!self.cut || self.client.origin == Origin::Configured)
    }

    fn inner(&self) -> Result<Inner, ConnectError> {
        Ok(Inner {
            server: self.server.clone(),
            client_id: self.client.id.clone(),
            origin: self.client.origin,
            method: self.client.method,
            client_secret: self.client.secret.as_ref().map(|secret| secret.expose().to_owned()),
            callback: self.client.callback.clone(),
            resource: self.resource.clone(),
            tokens: self.tokens.as_ref().map(Tokens::inner).transpose()?,
            cut: self.cut,
        })
    }
}

impl Tokens {
    fn inner(&self) -> Result<InnerTokens, ConnectError> {
        let key = self.key.as_ref().map(|key| key.to_text()).transpose().map_err(|e| broken(&e))?;
        Ok(InnerTokens {
            access: self.access.expose().to_owned(),
            refresh: self.refresh.as_ref().map(|token| token.expose().to_owned()),
            key: key.map(|key| key.expose().to_owned()),
            issued_at: self.issued_at,
        })
    }
}

impl InnerTokens {
    fn open(self, expires_at: Option<Timestamp>) -> Result<Tokens, ConnectError> {
        let key = self.key.map(|text| AgentKey::from_text(&Secret::new(text))).transpose();
        let key = key.map_err(|e| broken(&e))?.map(Arc::new);
        Ok(Tokens {
            access: Secret::new(self.access),
            scheme: if key.is_some() { Scheme::Dpop } else { Scheme::Bearer },
            refresh: self.refresh.map(Secret::new),
            key,
            issued_at: self.issued_at,
            expires_at,
        })
    }
}

fn place(id: &str) -> Place<'_> {
    Place { table: "connections", row: id }
}

fn broken(error: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::internal(format!("what is kept of the connection cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_authenticate::SystemRandom;
    use serde_json::json;

    fn connection() -> Connection {
        let key = Arc::new(AgentKey::generate().unwrap());
        Connection {
            server: AuthorizationServer::by_custom("https://as.example"),
            client: KnownClient {
                id: "us".into(),
                origin: Origin::Configured,
                method: AuthMethod::ClientSecretBasic,
                secret: None,
                callback: "https://id.example/connections/callback".into(),
            },
            resource: "https://crm.example/mcp".into(),
            scopes: vec!["read".into(), "write".into()],
            connected_at: Timestamp(1),
            version: 1,
            tokens: Some(Tokens {
                access: Secret::new("access-canary".into()),
                scheme: Scheme::Dpop,
                refresh: Some(Secret::new("refresh-canary".into())),
                key: Some(key),
                issued_at: Timestamp(1),
                expires_at: Some(Timestamp(2)),
            }),
            cut: false,
        }
    }

    fn vault(directory: &std::path::Path) -> Vault {
        let data = directory.join("data");
        std::fs::create_dir_all(&data).unwrap();
        Vault::open(&directory.join("kek"), &data, Arc::new(SystemRandom)).unwrap()
    }

    #[test]
    fn what_is_kept_opens_in_its_row_only() {
        let directory = tempfile::tempdir().unwrap();
        let (vault, connection) = (vault(directory.path()), connection());
        let stored = connection.seal(&vault, "crm", None).unwrap();
        assert!(!stored.sealed.windows(6).any(|six| six == b"canary") && stored.open);
        let opened = Connection::open(&vault, &stored).unwrap();
        let (kept, tokens) = (connection.tokens.unwrap(), opened.tokens.unwrap());
        assert_eq!((tokens.access, tokens.refresh, tokens.scheme), (kept.access, kept.refresh, Scheme::Dpop));
        assert_eq!(tokens.key.unwrap().thumbprint(), kept.key.unwrap().thumbprint());
        assert_eq!((opened.server, opened.scopes), (connection.server, connection.scopes));
        for id in ["billing", "crm/mara"] {
            assert!(Connection::open(&vault, &SealedConnection { id: id.into(), ..stored.clone() }).is_err(), "{id}");
        }
    }

    #[test]
    fn of_a_cut_connection_a_mark_is_kept_and_nothing_secret() {
        let directory = tempfile::tempdir().unwrap();
        let (vault, mut connection) = (vault(directory.path()), connection());
        connection.client.secret = Some(Secret::new("registered-canary".into()));
        let stored = connection.cut().seal(&vault, "crm", None).unwrap();
        let opened = Connection::open(&vault, &stored).unwrap();
        assert!(opened.cut && opened.tokens.is_none() && opened.client.secret.is_none() && !stored.open);
        assert_eq!(opened.version, connection.version + 1);
        let configured = serde_json::from_value(json!({"mode": "client_credentials", "client_id": "us"})).unwrap();
        assert!(opened.goes_on("https://crm.example/mcp", &configured), "its issuer is remembered");
        let dynamic = KnownClient { origin: Origin::Dynamic, ..opened.client.clone() };
        let by_person = serde_json::from_value(json!({"mode": "authorization_code"})).unwrap();
        let registered = Connection { client: dynamic, ..opened };
        assert!(!registered.goes_on("https://crm.example/mcp", &by_person));
        assert!(Connection { cut: false, ..registered }.goes_on("https://crm.example/mcp", &by_person));
    }

    #[test]
    fn tokens_are_not_sent_to_what_was_configured_later() {
        let fits = |url: &str, change: serde_json::Value| {
            let mut oauth = json!({"mode": "client_credentials", "client_id": "us", "secret": "s"});
            oauth.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            connection().fits(url, &serde_json::from_value(oauth).unwrap())
        };
        assert!(fits("https://crm.example/mcp", json!({"issuer": "https://as.example"})));
        assert!(fits("https://crm.example/mcp", json!({})));
        assert!(!fits("https://other.example/mcp", json!({})));
        assert!(!fits("https://crm.example/mcp", json!({"issuer": "https://other.example"})));
        assert!(!fits("https://crm.example/mcp", json!({"client_id": "them"})));
        assert!(!fits("https://crm.example/mcp", json!({"client_id": null})));
    }
}
