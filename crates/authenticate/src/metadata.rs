//! What clients read before they come: RFC 8414, RFC 9728 and our public keys.

use serde::Serialize;

use crate::authenticator::Authenticator;
use crate::config::ByCertificate;
use crate::jose::PublicKey;
use crate::token::{GRANTS, PROFILE};

/// Authorization server metadata (RFC 8414).
#[derive(Debug, Clone, Serialize)]
pub struct AuthorizationServer {
    /// Our name.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where our public keys are.
    pub jwks_uri: String,
    /// Where people are asked.
    pub authorization_endpoint: String,
    /// Where that is asked for beforehand (RFC 9126, section 5).
    pub pushed_authorization_request_endpoint: String,
    /// Whether it has to be.
    pub require_pushed_authorization_requests: bool,
    /// Where clients register themselves, if they may (RFC 7591).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Where devices ask (RFC 8628, section 4).
    pub device_authorization_endpoint: String,
    /// Where clients ask for people who are somewhere else (OpenID CIBA Core 1.0, section 4).
    pub backchannel_authentication_endpoint: String,
    /// `poll`.
    pub backchannel_token_delivery_modes_supported: [&'static str; 1],
    /// Never: a person answers with a passkey.
    pub backchannel_user_code_parameter_supported: bool,
    /// `code`.
    pub response_types_supported: [&'static str; 1],
    /// `query`.
    pub response_modes_supported: [&'static str; 1],
    /// `S256`; never `plain`.
    pub code_challenge_methods_supported: [&'static str; 1],
    /// Every answer says who gives it (RFC 9207, section 3).
    pub authorization_response_iss_parameter_supported: bool,
    /// How people show who they are (RFC 9470).
    pub acr_values_supported: [&'static str; 1],
    /// What `prompt` may be.
    pub prompt_values_supported: [&'static str; 3],
    /// See `crates/authenticate/src/token/`, one file each.
    pub grant_types_supported: Vec<&'static str>,
    /// `urn:ietf:params:oauth:grant-profile:id-jag`, where an identity provider's word is taken
    /// (draft-ietf-oauth-identity-assertion-authz-grant, section 7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_grant_profiles_supported: Vec<&'static str>,
    /// See `crates/authenticate/src/clients/`, one file each.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Where tokens are asked about (RFC 7662).
    pub introspection_endpoint: String,
    /// As at the token endpoint.
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Where tokens are given back (RFC 7009).
    pub revocation_endpoint: String,
    /// As at the token endpoint. `none`: public clients only say which one they are.
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Types of authorization details (RFC 9396, section 10).
    pub authorization_details_types_supported: [&'static str; 4],
    /// Algorithms of client assertions.
    pub token_endpoint_auth_signing_alg_values_supported: [&'static str; 2],
    /// Algorithms of DPoP proofs (RFC 9449, section 5.1).
    pub dpop_signing_alg_values_supported: [&'static str; 2],
    /// Clients may be named by the URL of their metadata document (draft-ietf-oauth-client-id-metadata-document, section 5).
    pub client_id_metadata_document_supported: bool,
    /// Whether tokens can be bound to the certificate of a connection (RFC 8705, section 3.3).
    pub tls_client_certificate_bound_access_tokens: bool,
    /// The endpoints at the door where certificates are shown, if there is one (RFC 8705, section 5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls_endpoint_aliases: Option<Aliases>,
    /// The scopes of the resources that have some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<&'static str>,
    /// The resources tokens can be asked for (RFC 9728, section 4).
    pub protected_resources: Vec<String>,
}

/// Endpoints at the door where certificates are shown.
#[derive(Debug, Clone, Serialize)]
pub struct Aliases {
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where tokens are asked about.
    pub introspection_endpoint: String,
    /// Where tokens are given back.
    pub revocation_endpoint: String,
}

/// Protected resource metadata (RFC 9728).
#[derive(Debug, Clone, Serialize)]
pub struct ProtectedResource {
    /// The resource: the `aud` of its tokens.
    pub resource: String,
    /// Us.
    pub authorization_servers: [String; 1],
    /// Tokens come in the `Authorization` header only.
    pub bearer_methods_supported: [&'static str; 1],
    /// Algorithms of DPoP proofs.
    pub dpop_signing_alg_values_supported: [&'static str; 2],
    /// Whether every token must be bound. False: a bearer token passes where the agent is allowed one.
    pub dpop_bound_access_tokens_required: bool,
    /// The scopes of its tokens, if it has some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<&'static str>,
}

/// Our public keys (RFC 7517, section 5).
#[derive(Debug, Clone, Serialize)]
pub struct JwkSet {
    /// One JWK each.
    pub keys: Vec<serde_json::Value>,
}

const CLIENTS: [&str; 4] = ["private_key_jwt", "client_secret_basic", "client_secret_post", "spiffe_jwt"];
/// Besides, where there is a door with TLS.
const BY_CERTIFICATE: [&str; 3] = ["self_signed_tls_client_auth", "tls_client_auth", "spiffe_x509"];
const ALGS: [&str; 2] = ["ES256", "EdDSA"];

impl Authenticator {
    /// The authorization server metadata.
    pub fn metadata(&self) -> AuthorizationServer {
        AuthorizationServer {
            issuer: self.config.issuer.clone(),
            token_endpoint: self.config.token_endpoint(),
            jwks_uri: self.config.jwks_uri(),
            authorization_endpoint: self.config.authorization_endpoint(),
            pushed_authorization_request_endpoint: self.config.pushed_request_endpoint(),
            require_pushed_authorization_requests: self.config.require_pushed,
            registration_endpoint: self.config.registration.then(|| self.config.registration_endpoint()),
            device_authorization_endpoint: self.config.device_endpoint(),
            backchannel_authentication_endpoint: self.config.backchannel_endpoint(),
            backchannel_token_delivery_modes_supported: ["poll"],
            backchannel_user_code_parameter_supported: false,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            code_challenge_methods_supported: ["S256"],
            authorization_response_iss_parameter_supported: true,
            acr_values_supported: [crate::consent::ACR],
            prompt_values_supported: ["none", "login", "consent"],
            grant_types_supported: GRANTS.to_vec(),
            authorization_grant_profiles_supported: match self.config.providers.is_empty() {
                true => Vec::new(),
                false => vec![PROFILE],
            },
            token_endpoint_auth_methods_supported: self.methods_and_none(),
            introspection_endpoint: self.config.introspection_endpoint(),
            introspection_endpoint_auth_methods_supported: self.client_methods(),
            revocation_endpoint: self.config.revocation_endpoint(),
            revocation_endpoint_auth_methods_supported: self.methods_and_none(),
            authorization_details_types_supported: ["mcp_tool", "mcp_resource", "mcp_prompt", "identity_assertion"],
            token_endpoint_auth_signing_alg_values_supported: ALGS,
            dpop_signing_alg_values_supported: ALGS,
            client_id_metadata_document_supported: true,
            tls_client_certificate_bound_access_tokens: self.config.clients.is_some(),
            mtls_endpoint_aliases: self.config.clients.as_ref().map(Aliases::at),
            scopes_supported: self.config.scoped.iter().flat_map(|scoped| scoped.scopes).copied().collect(),
            protected_resources: self.config.audiences.clone(),
        }
    }

    /// How clients may authenticate.
    fn client_methods(&self) -> Vec<&'static str> {
        let by_certificate = self.config.clients.is_some().then_some(BY_CERTIFICATE);
        CLIENTS.into_iter().chain(by_certificate.into_iter().flatten()).collect()
    }

    /// The same where clients may be public.
    fn methods_and_none(&self) -> Vec<&'static str> {
        self.client_methods().into_iter().chain(["none"]).collect()
    }

    /// The metadata of one of our resources; nothing if it is none of ours.
    pub fn resource_metadata(&self, resource: &str) -> Option<ProtectedResource> {
        let resource = self.config.audiences.iter().find(|known| *known == resource)?;
        Some(ProtectedResource {
            resource: resource.clone(),
            authorization_servers: [self.config.issuer.clone()],
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: ALGS,
            dpop_bound_access_tokens_required: false,
            scopes_supported: self.scopes_of(resource).to_vec(),
        })
    }

    fn scopes_of(&self, resource: &str) -> &'static [&'static str] {
        self.config.scoped.iter().find(|scoped| scoped.resource == resource).map_or(&[], |scoped| scoped.scopes)
    }

    /// The public keys our tokens are verified with.
    pub fn jwks(&self) -> JwkSet {
        let keys = self.keys.load();
        JwkSet { keys: keys.verifying.iter().filter_map(|(kid, key)| jwk(kid, key)).collect() }
    }
}

/// A public key as it is published.
pub(crate) fn jwk(kid: &str, key: &PublicKey) -> Option<serde_json::Value> {
    let mut jwk: serde_json::Value = serde_json::from_str(key.canonical_jwk()).ok()?;
    jwk["kid"] = kid.into();
    jwk["alg"] = key.algorithm().name().into();
    jwk["use"] = "sig".into();
    Some(jwk)
}

impl Aliases {
    fn at(clients: &ByCertificate) -> Self {
        let at = |path| format!("{}/oauth/{path}", clients.url);
        Self {
            token_endpoint: at("token"),
            introspection_endpoint: at("introspect"),
            revocation_endpoint: at("revoke"),
        }
    }
}

/// The path under which the metadata of a resource is found (RFC 9728, section 3.1).
pub fn resource_metadata_path(resource: &str) -> String {
    let path = resource.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let slash = if path.is_empty() { "" } else { "/" };
    format!("/.well-known/oauth-protected-resource{slash}{path}")
}

pub(crate) fn resource_metadata_url(issuer: &str, resource: &str) -> String {
    format!("{issuer}{}", resource_metadata_path(resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_goes_between_host_and_path() {
        for (resource, path) in [
            ("http://127.0.0.1:8420/mcp/crm", "/.well-known/oauth-protected-resource/mcp/crm"),
            ("http://127.0.0.1:8420", "/.well-known/oauth-protected-resource"),
        ] {
            assert_eq!(resource_metadata_path(resource), path);
        }
    }
}
