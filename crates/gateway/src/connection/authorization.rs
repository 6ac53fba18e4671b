//! The authorization code flow (OAuth 2.1, section 4.1): where a person is sent, and what may come back.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_authenticate::client::AgentKey;
use chancery_authenticate::jose::sha256;
use chancery_model::Secret;

use super::client::Client;
use super::error::ConnectError;
use super::form::Form;
use super::metadata::AuthorizationServer;
use super::scopes;

/// A flow that was begun and waits for its response. It takes one.
pub(super) struct Flow {
    pub(super) server: AuthorizationServer,
    pub(super) client: Client,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    pub(super) callback: String,
    pub(super) verifier: Secret,
    /// The key that tokens are to be bound to.
    pub(super) key: Option<Arc<AgentKey>>,
}

/// What the browser brought back (RFC 6749, sections 4.1.2 and 4.1.2.1; RFC 9207, section 2).
#[derive(Clone, Debug, Default)]
pub struct AuthorizationResponse {
    /// The code, if it was granted.
    pub code: Option<Secret>,
    /// The issuer that says it sends this.
    pub iss: Option<String>,
    /// Why it was not granted.
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
}

impl Flow {
    /// The address to open. Whoever opens it is a person with a browser: nothing here starts one.
    pub(super) fn url(&self, state: &str) -> Result<String, ConnectError> {
        let endpoint = self.server.authorization_endpoint()?;
        let challenge = URL_SAFE_NO_PAD.encode(sha256(self.verifier.expose().as_bytes()));
        let parameters = Form::default()
            .and("response_type", "code")
            .and("client_id", &self.client.id)
            .and("redirect_uri", &self.callback)
            .and("state", state)
            .and("code_challenge", challenge)
            .and("code_challenge_method", "S256")
            .and("resource", &self.resource)
            .and_some("scope", scopes::parameter(&self.scopes))
            .and_some("dpop_jkt", self.key.as_ref().map(|key| key.thumbprint()));
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{}", parameters.to_text()))
    }

    /// The code of a response, if the response comes from the server that was asked. Issuers are compared letter by
    /// letter (RFC 9207, section 2.4), before anything else of the response is believed.
    pub(super) fn code(&self, response: AuthorizationResponse) -> Result<Secret, ConnectError> {
        match &response.iss {
            Some(iss) if *iss != self.server.issuer => {
                let why = format!("the response says it is from `{iss}`, and `{}` was asked", self.server.issuer);
                return Err(ConnectError::response(why));
            }
            None if self.server.authorization_response_iss_parameter_supported => {
                let why = format!("`{}` names itself in its responses, and this one names nobody", self.server.issuer);
                return Err(ConnectError::response(why));
            }
            _ => {}
        }
        if let Some(error) = response.error {
            let more = response.error_description.map(|text| format!(": {text}")).unwrap_or_default();
            return Err(ConnectError::refused(format!("`{}` did not authorize: {error}{more}", self.server.issuer)));
        }
        response.code.ok_or_else(|| ConnectError::response("the response has no code"))
    }

    /// The token request for a code.
    pub(super) fn form(&self, code: &Secret) -> Form {
        Form::of("authorization_code")
            .and("code", code.expose())
            .and("redirect_uri", &self.callback)
            .and("code_verifier", self.verifier.expose())
            .and("resource", &self.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::client::ClientProof;

    fn flow(iss: bool) -> Flow {
        let server = AuthorizationServer {
            authorization_response_iss_parameter_supported: iss,
            ..AuthorizationServer::by_custom("https://as.example")
        };
        Flow {
            server,
            client: Client { id: "us".into(), proof: ClientProof::None },
            resource: "https://crm.example".into(),
            scopes: vec!["a".into(), "b".into()],
            callback: "http://127.0.0.1:1/connections/callback".into(),
            verifier: Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into()),
            key: None,
        }
    }

    fn response(iss: Option<&str>) -> AuthorizationResponse {
        AuthorizationResponse {
            code: Some(Secret::new("the-code".into())),
            iss: iss.map(str::to_owned),
            ..AuthorizationResponse::default()
        }
    }

    /// The challenge is that of RFC 7636, appendix B.
    #[test]
    fn the_address_says_what_is_asked_for() {
        let url = flow(true).url("st").unwrap();
        assert_eq!(
            url,
            "https://as.example/authorize?response_type=code&client_id=us\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fconnections%2Fcallback&state=st\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
             &resource=https%3A%2F%2Fcrm.example&scope=a%20b"
        );
    }

    #[test]
    fn a_response_from_another_issuer_is_not_believed() {
        for other in ["https://evil.example", "https://as.example/", "https://AS.example", ""] {
            for advertised in [true, false] {
                let error = flow(advertised).code(response(Some(other))).unwrap_err();
                assert!(error.why.contains("says it is from"), "{error}");
            }
        }
        assert!(flow(true).code(response(None)).unwrap_err().why.contains("names nobody"));
        assert!(flow(false).code(response(None)).is_ok());
        assert!(flow(true).code(response(Some("https://as.example"))).is_ok());
    }

    #[test]
    fn an_error_of_a_stranger_is_not_believed_either() {
        let error = AuthorizationResponse { error: Some("access_denied".into()), ..response(Some("https://evil")) };
        assert!(flow(true).code(error).unwrap_err().why.contains("says it is from"));
        let error =
            AuthorizationResponse { error: Some("access_denied".into()), ..response(Some("https://as.example")) };
        assert!(flow(true).code(error).unwrap_err().why.contains("access_denied"));
    }
}
