//! The two documents that discovery reads, and what must hold before anything of them is used.

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::error::ConnectError;

/// Protected resource metadata (RFC 9728, section 2).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ProtectedResource {
    pub(super) resource: String,
    #[serde(default)]
    pub(super) authorization_servers: Vec<String>,
    #[serde(default)]
    pub(super) scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) dpop_bound_access_tokens_required: bool,
}

/// Authorization server metadata (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuthorizationServer {
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint: String,
    #[serde(default)]
    pub(super) registration_endpoint: Option<String>,
    #[serde(default)]
    pub(super) revocation_endpoint: Option<String>,
    #[serde(default)]
    pub(super) scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) grant_types_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(super) client_id_metadata_document_supported: bool,
    #[serde(default)]
    pub(super) dpop_signing_alg_values_supported: Vec<String>,
}

impl AuthorizationServer {
    /// It is about the issuer it was asked for, letter by letter (RFC 8414, section 3.3), and every address in it can
    /// be used. A document about another issuer is not used for anything: that is how codes are sent to a stranger.
    pub(super) fn check(&self, issuer: &str) -> Result<(), ConnectError> {
        if self.issuer != issuer {
            let why = format!("the metadata of the issuer `{issuer}` says that it is `{}`", self.issuer);
            return Err(ConnectError::metadata(why));
        }
        Address::read("the token endpoint", &self.token_endpoint)?;
        let others = [
            ("the authorization endpoint", &self.authorization_endpoint),
            ("the registration endpoint", &self.registration_endpoint),
            ("the revocation endpoint", &self.revocation_endpoint),
        ];
        for (what, url) in others {
            if let Some(url) = url {
                Address::read(what, url)?;
            }
        }
        Ok(())
    }

    /// Where a person is sent. The server must say that it does PKCE with S256 (MCP, authorization code protection).
    pub(super) fn authorization_endpoint(&self) -> Result<&str, ConnectError> {
        let s256 = self.code_challenge_methods_supported.iter().flatten().any(|method| method == "S256");
        if !s256 {
            let why = format!("`{}` does not say that it supports PKCE with S256", self.issuer);
            return Err(ConnectError::metadata(why));
        }
        let missing = || ConnectError::metadata(format!("`{}` has no authorization endpoint", self.issuer));
        self.authorization_endpoint.as_deref().ok_or_else(missing)
    }

    /// Refuses a grant type that the server says it does not take. What it leaves out is code alone by RFC 8414, and
    /// anything in practice.
    pub(super) fn check_grant(&self, grant: &str) -> Result<(), ConnectError> {
        match &self.grant_types_supported {
            Some(known) if !known.iter().any(|one| one == grant) => {
                Err(ConnectError::metadata(format!("`{}` does not take the grant `{grant}`", self.issuer)))
            }
            _ => Ok(()),
        }
    }

    /// What a server of MCP 2025-03-26 without metadata is taken to have: fixed paths at its own origin.
    pub(super) fn by_custom(origin: &str) -> Self {
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: Some(format!("{origin}/authorize")),
            token_endpoint: format!("{origin}/token"),
            registration_endpoint: Some(format!("{origin}/register")),
            code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> AuthorizationServer {
        AuthorizationServer::by_custom("https://as.example")
    }

    #[test]
    fn a_document_about_another_issuer_is_not_used() {
        server().check("https://as.example").unwrap();
        for other in ["https://as.example/", "https://AS.example", "https://evil.example"] {
            assert!(server().check(other).unwrap_err().why.contains(other), "{other}");
        }
    }

    #[test]
    fn endpoints_that_are_no_web_addresses_are_refused() {
        for bad in ["javascript:alert(1)", "http://as.example/x", "file:///etc/passwd"] {
            let with = |change: fn(&mut AuthorizationServer, String)| {
                let mut changed = server();
                change(&mut changed, bad.to_owned());
                changed.check("https://as.example")
            };
            assert!(with(|s, url| s.authorization_endpoint = Some(url)).is_err(), "{bad}");
            assert!(with(|s, url| s.registration_endpoint = Some(url)).is_err(), "{bad}");
            assert!(with(|s, url| s.revocation_endpoint = Some(url)).is_err(), "{bad}");
            assert!(with(|s, url| s.token_endpoint = url).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_pkce_nobody_is_sent_anywhere() {
        for methods in [None, Some(vec![]), Some(vec!["plain".to_owned()])] {
            let server = AuthorizationServer { code_challenge_methods_supported: methods, ..server() };
            assert!(server.authorization_endpoint().unwrap_err().why.contains("PKCE"));
        }
    }
}
