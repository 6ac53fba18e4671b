//! Clients that register themselves (RFC 7591): with a one-time code that names the agent, never without.
//!
//! What comes out is an ordinary public client of that agent. Names, logos and links are checked and then left: they are
//! what an impostor would bring.

use chancery_fetch::Target;
use chancery_model::{Client, ClientKind, Secret, Timestamp};
use chancery_store::enrolments::code_hash;
use chancery_store::registration_codes::{self, RegistrationCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::RegisterError;
use crate::clients::redirects;
use crate::code::{LONG, secret};
use crate::registrar::{By, Registrar};

/// How codes begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-register-";
/// How clients' ids begin. No agent's name or id does.
const CLIENT: &str = "chy-client-";
/// What such a client may use.
pub const DYNAMIC_GRANTS: &[&str] =
    &["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];

/// A new code. It can be shown this once.
#[derive(Debug)]
pub struct NewRegistrationCode {
    /// The code: the initial access token of RFC 7591.
    pub code: Secret,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

/// Client metadata (RFC 7591, section 2), as far as it is looked at.
#[derive(Debug, Deserialize)]
pub struct ClientMetadata {
    #[serde(default)]
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
    application_type: Option<String>,
    #[serde(default)]
    grant_types: Vec<String>,
    #[serde(default)]
    response_types: Vec<String>,
    client_uri: Option<Value>,
    logo_uri: Option<Value>,
    policy_uri: Option<Value>,
    tos_uri: Option<Value>,
    jwks_uri: Option<Value>,
}

impl Registrar {
    /// Makes a code with which one client registers itself for this agent. It voids the one before.
    pub async fn registration_code(&self, name_or_id: &str, actor: &str) -> Result<NewRegistrationCode, RegisterError> {
        if !self.config.registration {
            return Err(RegisterError::RegistrationOff);
        }
        let (now, agent) = (self.clock.now(), self.agent(name_or_id).await?);
        let made = NewRegistrationCode {
            code: secret::<LONG>(PREFIX, &*self.random),
            expires_at: now + self.config.code_lifetime,
        };
        let kept =
            RegistrationCode { hash: code_hash(made.code.expose()), agent: agent.id, expires_at: made.expires_at };
        let by = By { actor, verb: "new_registration_code", reason: None };
        let draft = by.draft(now, "agent", &agent.name, &json!({"expires_at": made.expires_at}));
        let write = self
            .store
            .write(draft, move |tx| Box::pin(async move { registration_codes::insert(tx, &kept, now).await }));
        write.await?;
        Ok(made)
    }

    /// Registers the client that shows this code, and uses the code up. Wrong metadata do not.
    pub async fn register_client(&self, code: &Secret, wanted: &ClientMetadata) -> Result<Client, RegisterError> {
        if !self.config.registration {
            return Err(RegisterError::RegistrationOff);
        }
        let (now, hash) = (self.clock.now(), code_hash(code.expose()));
        let agent = registration_codes::agent_of(&self.store, &hash, now).await?;
        let agent = self.agent(agent.ok_or(RegisterError::BadRegistrationCode)?.as_str()).await?;
        let redirect_uris = wanted.check()?;
        let id = secret::<LONG>(CLIENT, &*self.random).expose().to_owned();
        let client = Client { redirect_uris, ..self.client(id, ClientKind::Dynamic, &agent) };
        let actor = format!("a registration code for {}", agent.name);
        let by = By { actor: &actor, verb: "register", reason: None };
        self.put_client(client, agent, &by, Some(hash)).await
    }
}

impl ClientMetadata {
    /// Its redirect addresses, if all else is what a public client may say.
    fn check(&self) -> Result<Vec<String>, RegisterError> {
        let refused = |error| move |why: String| RegisterError::BadMetadata { error, why };
        let (bad, bad_uri) = (refused("invalid_client_metadata"), refused("invalid_redirect_uri"));
        if self.token_endpoint_auth_method.as_deref().is_some_and(|method| method != "none") {
            return Err(bad("`token_endpoint_auth_method` must be `none`: whoever has a key is an agent".to_owned()));
        }
        if let Some(grant) = self.grant_types.iter().find(|grant| !DYNAMIC_GRANTS.contains(&grant.as_str())) {
            return Err(bad(format!("the grant type `{}` is not for public clients", shown(grant))));
        }
        if self.response_types.iter().any(|kind| kind != "code") {
            return Err(bad("`response_types` must be `code`".to_owned()));
        }
        let links = [
            ("client_uri", &self.client_uri),
            ("logo_uri", &self.logo_uri),
            ("policy_uri", &self.policy_uri),
            ("tos_uri", &self.tos_uri),
            ("jwks_uri", &self.jwks_uri),
        ];
        for (name, link) in links {
            let is_https = |uri: &str| Target::parse(uri).is_ok_and(|target| target.is_https());
            if link.as_ref().is_some_and(|link| !link.as_str().is_some_and(is_https)) {
                return Err(bad(format!("`{name}` is not an https address")));
            }
        }
        let local = |uri: &String| Target::parse(uri).is_ok_and(|target| target.is_loopback());
        match self.application_type.as_deref() {
            None | Some("native") => {}
            Some("web") if !self.redirect_uris.iter().any(local) => {}
            Some("web") => return Err(bad_uri("a `web` client has no address on the person's own machine".to_owned())),
            Some(_) => return Err(bad("`application_type` must be `native` or `web`".to_owned())),
        }
        redirects(&self.redirect_uris).map_err(|e| bad_uri(e.to_string()))
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: &[(&str, Value)]) -> Result<Vec<String>, RegisterError> {
        let mut metadata = json!({"redirect_uris": ["https://app.example/cb"], "client_name": "App", "x": {"y": 1}});
        for (name, value) in change {
            metadata[name] = value.clone();
        }
        serde_json::from_value::<ClientMetadata>(metadata).unwrap().check()
    }

    #[test]
    fn what_a_public_client_says_is_taken() {
        for fine in [
            vec![],
            vec![("token_endpoint_auth_method", json!("none")), ("response_types", json!(["code"]))],
            vec![("grant_types", json!(["authorization_code", "refresh_token"])), ("application_type", json!("web"))],
            vec![("redirect_uris", json!(["http://127.0.0.1/cb"])), ("application_type", json!("native"))],
            vec![("logo_uri", json!("https://app.example/logo.png"))],
        ] {
            assert!(check(&fine).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn what_a_browser_would_run_and_what_an_impostor_would_say_is_refused() {
        let odd = [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "http://app.example/",
            "https://a@b.example/",
            "https://*.app.example/",
            "//app.example/",
            "vbscript:x",
            "file:///etc/passwd",
            "",
        ];
        for uri in odd {
            for name in ["client_uri", "logo_uri", "policy_uri", "tos_uri", "jwks_uri"] {
                let refused = check(&[(name, json!(uri))]);
                assert!(
                    matches!(refused, Err(RegisterError::BadMetadata { error: "invalid_client_metadata", .. })),
                    "{name} {uri}"
                );
            }
            let refused = check(&[("redirect_uris", json!([uri]))]);
            assert!(matches!(refused, Err(RegisterError::BadMetadata { error: "invalid_redirect_uri", .. })), "{uri}");
        }
        for (name, value) in [
            ("logo_uri", json!(["https://app.example/"])),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("grant_types", json!(["client_credentials"])),
            ("grant_types", json!(["implicit"])),
            ("response_types", json!(["token"])),
            ("application_type", json!("desktop")),
            ("redirect_uris", json!([])),
        ] {
            assert!(check(&[(name, value.clone())]).is_err(), "{name} {value}");
        }
        let posing = [("application_type", json!("web")), ("redirect_uris", json!(["https://localhost/cb"]))];
        assert!(check(&posing).is_err());
    }
}
