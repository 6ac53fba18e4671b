//! What the configuration says about a connection.

use std::path::PathBuf;

use serde::Deserialize;

use super::address::Address;
use super::client::AuthMethod;

/// The credential of an upstream server is obtained and renewed by OAuth.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// How tokens are obtained.
    pub mode: OAuthMode,
    /// The only authorization server that is taken. Without it, the one that the server names first is remembered.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The client that was registered by hand.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The name of the stored secret that is the client's.
    #[serde(default)]
    pub secret: Option<String>,
    /// The name of the stored secret that is the client's private key: PKCS #8 in PEM, on one line. Without it,
    /// `private_key_jwt` is done with a key of our own.
    #[serde(default)]
    pub key: Option<String>,
    /// How the client authenticates; found out from the metadata, if not given.
    #[serde(default)]
    pub auth: Option<AuthMethod>,
    /// The address of our client id metadata document, if it is not served by this server itself.
    #[serde(default)]
    pub metadata_document: Option<String>,
    /// What is asked for, and no more than that. Without it, what the server says it needs.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Whether tokens are bound to a key (RFC 9449).
    #[serde(default)]
    pub dpop: Dpop,
    /// The name of the stored secret that is the assertion of `jwt_bearer`.
    #[serde(default)]
    pub assertion: Option<String>,
    /// The file that holds it; read anew each time.
    #[serde(default)]
    pub assertion_file: Option<PathBuf>,
    /// Where `identity_assertion` gets its assertion.
    #[serde(default)]
    pub identity_provider: Option<IdentityProvider>,
    /// Takes servers of MCP 2025-03-26, which publish no metadata of the resource.
    #[serde(default)]
    pub legacy: bool,
}

/// How tokens are obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OAuthMode {
    /// A person authorizes it once with a browser (OAuth 2.1, section 4.1).
    AuthorizationCode,
    /// As ourselves (OAuth 2.1, section 4.2).
    ClientCredentials,
    /// With an assertion that somebody else gave us (RFC 7523, section 2.1), for instance a workload's.
    JwtBearer,
    /// With an assertion that an identity provider makes of an ID token (enterprise-managed authorization, ID-JAG).
    IdentityAssertion,
}

/// Whether tokens are bound to a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dpop {
    /// Where the authorization server says that it can.
    #[default]
    Auto,
    /// Always: others are not connected to.
    Required,
    /// Never.
    Off,
}

/// An identity provider that exchanges ID tokens for identity assertions (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// Its issuer.
    pub issuer: String,
    /// Our client there.
    pub client_id: String,
    /// The name of the stored secret that is that client's.
    #[serde(default)]
    pub secret: Option<String>,
    /// The name of the stored secret that is the ID token.
    pub subject: String,
}

impl OAuth {
    /// What cannot be meant.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        self.check_client()?;
        self.check_mode()?;
        let provider = self.identity_provider.as_ref().map(|provider| &provider.issuer);
        let urls = [("issuer", self.issuer.as_ref()), ("identity_provider.issuer", provider)];
        let documents = [("metadata_document", self.metadata_document.as_ref())];
        for (key, url) in urls.into_iter().chain(documents) {
            if let Some(url) = url {
                Address::read(key, url).map_err(|e| e.why)?;
            }
        }
        Ok(())
    }

    fn check_client(&self) -> Result<(), String> {
        let proves = self.secret.is_some() || self.key.is_some() || self.auth.is_some();
        if self.client_id.is_none() && (proves || self.mode != OAuthMode::AuthorizationCode) {
            return Err("`client_id` is missing: a client that was registered by hand has one".to_owned());
        }
        if self.secret.is_some() && self.key.is_some() {
            return Err("`secret` and `key` exclude each other".to_owned());
        }
        match self.auth {
            Some(AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost) if self.secret.is_none() => {
                Err("`auth` needs a `secret`".to_owned())
            }
            Some(AuthMethod::PrivateKeyJwt) if self.secret.is_some() => Err("`auth` needs no `secret`".to_owned()),
            _ => Ok(()),
        }
    }

    fn check_mode(&self) -> Result<(), String> {
        let assertions = usize::from(self.assertion.is_some()) + usize::from(self.assertion_file.is_some());
        if assertions != usize::from(self.mode == OAuthMode::JwtBearer) {
            return Err("`assertion` or `assertion_file`: one of them for `jwt_bearer`, none otherwise".to_owned());
        }
        if self.identity_provider.is_some() != (self.mode == OAuthMode::IdentityAssertion) {
            return Err("`identity_provider` belongs to `identity_assertion`".to_owned());
        }
        let proves = self.secret.is_some() || self.key.is_some() || self.auth == Some(AuthMethod::PrivateKeyJwt);
        if self.mode == OAuthMode::ClientCredentials && !proves {
            return Err("`client_credentials` needs a `secret`, a `key`, or `auth = \"private_key_jwt\"`".to_owned());
        }
        Ok(())
    }
}

impl OAuthMode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "jwt_bearer",
            Self::IdentityAssertion => "identity_assertion",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: serde_json::Value) -> Result<(), String> {
        serde_json::from_value::<OAuth>(value).map_err(|e| e.to_string())?.check()
    }

    #[test]
    fn each_mode_has_what_it_needs_and_nothing_else() {
        for good in [
            json!({"mode": "authorization_code"}),
            json!({"mode": "authorization_code", "client_id": "x", "secret": "s", "issuer": "https://as.example"}),
            json!({"mode": "client_credentials", "client_id": "x", "auth": "private_key_jwt"}),
            json!({"mode": "jwt_bearer", "client_id": "x", "assertion_file": "/var/run/token"}),
        ] {
            check(good.clone()).unwrap_or_else(|e| panic!("{good}: {e}"));
        }
        for bad in [
            json!({"mode": "password"}),
            json!({"mode": "authorization_code", "secret": "s"}),
            json!({"mode": "authorization_code", "scope": []}),
            json!({"mode": "authorization_code", "issuer": "http://as.example"}),
            json!({"mode": "authorization_code", "metadata_document": "javascript:x"}),
            json!({"mode": "client_credentials", "client_id": "x"}),
            json!({"mode": "client_credentials", "client_id": "x", "secret": "s", "key": "k"}),
            json!({"mode": "client_credentials", "client_id": "x", "key": "k", "auth": "client_secret_post"}),
            json!({"mode": "jwt_bearer", "client_id": "x"}),
            json!({"mode": "jwt_bearer", "client_id": "x", "assertion": "a", "assertion_file": "b"}),
            json!({"mode": "identity_assertion", "client_id": "x", "secret": "s"}),
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }
}
