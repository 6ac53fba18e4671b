//! Who we are to an authorization server, and how we prove it at its token endpoint (RFC 6749, section 2.3; RFC 7523,
//! section 2.2).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_authenticate::client::AgentKey;
use chancery_model::Secret;
use http::header;
use serde::{Deserialize, Serialize};

use super::Means;
use super::error::ConnectError;
use super::exchange::Ask;
use super::form::{Form, encoded};
use super::metadata::AuthorizationServer;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client authenticates at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Id and secret in the `Authorization` header.
    ClientSecretBasic,
    /// Id and secret in the body.
    ClientSecretPost,
    /// An assertion signed with a private key.
    PrivateKeyJwt,
    /// A public client: its id alone.
    None,
}

impl AuthMethod {
    /// Its name in metadata.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    fn is_taken_by(self, server: &AuthorizationServer) -> bool {
        // RFC 8414, section 2: what is left out is `client_secret_basic`; and a server without any metadata takes all.
        let known = server.token_endpoint_auth_methods_supported.as_ref();
        known.is_none_or(|known| known.iter().any(|name| name == self.name()))
    }

    /// The first of these that the server takes.
    pub(super) fn choose(of: &[Self], server: &AuthorizationServer) -> Result<Self, ConnectError> {
        of.iter().copied().find(|method| method.is_taken_by(server)).ok_or_else(|| {
            let known = server.token_endpoint_auth_methods_supported.as_ref().map(|known| known.join(", "));
            let ours = of.iter().map(|method| method.name()).collect::<Vec<_>>().join(", ");
            ConnectError::metadata(format!(
                "`{}` authenticates clients by {}, and this one has {ours}",
                server.issuer,
                known.unwrap_or_default()
            ))
        })
    }
}

/// A client as one authorization server knows it. What one issuer gave is shown to no other.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) proof: ClientProof,
}

/// What proves that it is the client.
#[derive(Clone)]
pub(super) enum ClientProof {
    None,
    Basic(Secret),
    Post(Secret),
    Key(Arc<AgentKey>),
}

impl Client {
    /// The secret that requests of this client carry.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match &self.proof {
            ClientProof::Basic(secret) | ClientProof::Post(secret) => Some(secret),
            ClientProof::None | ClientProof::Key(_) => None,
        }
    }

    /// The request with this client's proof: a fresh one each time.
    pub(super) fn sign(&self, means: &Means, issuer: &str, url: &str, form: Form) -> Result<Ask, ConnectError> {
        match &self.proof {
            ClientProof::None => Ok(Ask::form(url, &form.and("client_id", &self.id))),
            ClientProof::Post(secret) => {
                Ok(Ask::form(url, &form.and("client_id", &self.id).and("client_secret", secret.expose())))
            }
            ClientProof::Basic(secret) => {
                let pair = format!("{}:{}", encoded(&self.id), encoded(secret.expose()));
                let basic = format!("Basic {}", STANDARD.encode(pair));
                Ask::form(url, &form).secret(header::AUTHORIZATION, &basic)
            }
            ClientProof::Key(key) => {
                // Its audience is the issuer and nothing else (rfc7523bis, section 4).
                let assertion = key.assertion(&self.id, issuer, means.clock.now(), &*means.random);
                let assertion = assertion.map_err(|e| ConnectError::internal(e.to_string()))?;
                let form = form.and("client_id", &self.id);
                let form = form.and("client_assertion_type", ASSERTION_TYPE).and("client_assertion", assertion);
                Ok(Ask::form(url, &form))
            }
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::testing;

    fn body(ask: &Ask) -> String {
        String::from_utf8(ask.body.to_vec()).unwrap()
    }

    fn sign(proof: ClientProof) -> Ask {
        let client = Client { id: "a:b c".into(), proof };
        client.sign(&testing::means(), "https://as", "https://as/token", Form::of("x")).unwrap()
    }

    #[test]
    fn ids_and_secrets_cannot_run_into_each_other() {
        let secret = Secret::new("s%3:é".into());
        let basic = sign(ClientProof::Basic(secret.clone()));
        let value = basic.headers[header::AUTHORIZATION].to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(value).unwrap(), b"a%3Ab%20c:s%253%3A%C3%A9");
        assert!(basic.headers[header::AUTHORIZATION].is_sensitive());
        assert_eq!(body(&basic), "grant_type=x");
        assert_eq!(
            body(&sign(ClientProof::Post(secret))),
            "grant_type=x&client_id=a%3Ab%20c&client_secret=s%253%3A%C3%A9"
        );
        assert_eq!(body(&sign(ClientProof::None)), "grant_type=x&client_id=a%3Ab%20c");
    }

    #[test]
    fn an_assertion_is_for_the_issuer_and_never_the_same_twice() {
        let key = Arc::new(AgentKey::generate().unwrap());
        let one = body(&sign(ClientProof::Key(key.clone())));
        assert_ne!(one, body(&sign(ClientProof::Key(key))));
        assert!(one.contains("client_assertion_type=urn%3Aietf"));
    }

    #[test]
    fn the_first_method_that_both_know_is_taken() {
        let all = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
        let server = |known: &[&str]| AuthorizationServer {
            token_endpoint_auth_methods_supported: Some(known.iter().map(|k| (*k).to_owned()).collect()),
            ..AuthorizationServer::default()
        };
        assert_eq!(AuthMethod::choose(&all, &server(&["client_secret_post"])).unwrap(), AuthMethod::ClientSecretPost);
        assert!(AuthMethod::choose(&all, &server(&["none"])).unwrap_err().why.contains("by none"));
        assert_eq!(AuthMethod::choose(&all, &AuthorizationServer::default()).unwrap(), AuthMethod::ClientSecretBasic);
    }
}
