//! The agent's side of the token endpoint and of the resource, without any IO: what to send, and what an answer means.
//! Whoever does the IO (the bridge, the command line, tests) sends what it is given and hands the answer back.

use std::sync::Arc;

use chancery_model::{Random, Secret, Span, Timestamp};
use serde::Deserialize;

use crate::client::{AgentKey, ProofFor};
use crate::clients::BEFORE_START;
use crate::jose::KeyRefused;

/// A token this close to its end is renewed first.
const EARLY: Span = Span::seconds(20);

/// What an agent holds for one resource: its key, its newest token, its session, and the server's nonces.
#[derive(Debug)]
pub struct Wallet {
    key: Arc<AgentKey>,
    client_id: String,
    issuer: String,
    resource: String,
    held: Option<Held>,
    sid: Option<String>,
    instance: Option<String>,
    manifest: Option<String>,
    bearer: bool,
    /// The newest nonce. One server is both token endpoint and resource here, so one nonce does for both.
    nonce: Option<String>,
}

#[derive(Debug)]
struct Held {
    token: Secret,
    renew_at: Timestamp,
}

/// A token request: `POST` this form to this URL with this `DPoP` header.
#[derive(Debug)]
pub struct TokenCall {
    /// The token endpoint.
    pub url: String,
    /// `application/x-www-form-urlencoded`.
    pub form: String,
    /// The proof; none where the agent asks for a bearer token.
    pub dpop: Option<String>,
}

/// The headers that admit a request.
#[derive(Debug)]
pub struct Headers {
    /// `Authorization`.
    pub authorization: Secret,
    /// `DPoP`; none for a bearer token.
    pub dpop: Option<String>,
}

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It stands.
    Done,
    /// Ask again: the server wanted a newer nonce, and now it is known.
    Again,
    /// Get a new token, then ask again.
    Renew,
    /// Ask again in a second: the server started a moment ago.
    Later,
}

/// A token that was not issued.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// The token endpoint said no.
    #[error("no token was issued: {error}: {description}")]
    Refused {
        /// The OAuth error code.
        error: String,
        /// The deciding fact.
        description: String,
    },
    /// The answer is not one of a token endpoint.
    #[error("the token endpoint's answer is not understood (status {0})")]
    Unreadable(u16),
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: i64,
    sid: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Wallet {
    /// For one agent (by name or id) at one resource. `issuer` is what the server's metadata says.
    pub fn new(key: Arc<AgentKey>, client_id: &str, issuer: &str, resource: &str) -> Self {
        Self {
            key,
            client_id: client_id.to_owned(),
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            held: None,
            sid: None,
            instance: None,
            manifest: None,
            bearer: false,
            nonce: None,
        }
    }

    /// Asks for tokens without a proof from now on. The server refuses that unless the agent may.
    #[must_use]
    pub fn bearer(self) -> Self {
        Self { bearer: true, ..self }
    }

    /// Names the running copy: the name stands in tokens and in the record.
    #[must_use]
    pub fn instance(self, name: &str) -> Self {
        Self { instance: Some(name.to_owned()), ..self }
    }

    /// States what the agent is made of: a manifest as JSON, or its digest.
    #[must_use]
    pub fn manifest(self, stated: &str) -> Self {
        Self { manifest: Some(stated.to_owned()), ..self }
    }

    /// Goes on with this session.
    #[must_use]
    pub fn within(self, sid: &str) -> Self {
        Self { sid: Some(sid.to_owned()), ..self }
    }

    /// The resource its tokens are for.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The session its tokens belong to, once there is one.
    pub fn session(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Whether a token must be fetched before the next request.
    pub fn is_empty(&self, now: Timestamp) -> bool {
        self.held.as_ref().is_none_or(|held| now >= held.renew_at)
    }

    /// The token request to send.
    pub fn ask(&self, now: Timestamp, random: &dyn Random) -> Result<TokenCall, KeyRefused> {
        let url = format!("{}/oauth/token", self.issuer);
        let assertion = self.key.assertion(&self.client_id, &self.issuer, now, random)?;
        let mut form = format!(
            "grant_type=client_credentials\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={assertion}&resource={}",
            encoded(&self.resource)
        );
        let more = [("sid", &self.sid), ("instance", &self.instance), ("manifest", &self.manifest)];
        for (name, value) in more {
            if let Some(value) = value {
                form.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let dpop = (!self.bearer).then(|| self.proof("POST", &url, None, now, random)).transpose()?;
        Ok(TokenCall { url, form, dpop })
    }

    /// Takes the token endpoint's answer: its status, its `DPoP-Nonce` header, its body.
    pub fn take(&mut self, status: u16, nonce: Option<&str>, body: &[u8], now: Timestamp) -> Result<Next, NotIssued> {
        let renewed = self.note(nonce);
        if let Ok(issued) = serde_json::from_slice::<Issued>(body) {
            let renew_at = now + Span::seconds(issued.expires_in) - EARLY;
            self.held = Some(Held { token: Secret::new(issued.access_token), renew_at });
            self.sid = issued.sid;
            return Ok(Next::Done);
        }
        let refusal: Refusal = serde_json::from_slice(body).map_err(|_| NotIssued::Unreadable(status))?;
        match refusal.error.as_str() {
            "use_dpop_nonce" if renewed => Ok(Next::Again),
            "invalid_client" if refusal.error_description == BEFORE_START => Ok(Next::Later),
            // The session is over: the next request opens a new one.
            "invalid_grant" if self.sid.take().is_some() => Ok(Next::Again),
            _ => Err(NotIssued::Refused { error: refusal.error, description: refusal.error_description }),
        }
    }

    /// The headers for one request to the resource. `url` is without query and fragment.
    pub fn headers(&self, method: &str, url: &str, now: Timestamp, random: &dyn Random) -> Result<Headers, KeyRefused> {
        let held = self.held.as_ref().ok_or(KeyRefused("used: there is no token yet"))?;
        let token = held.token.expose();
        if self.bearer {
            return Ok(Headers { authorization: Secret::new(format!("Bearer {token}")), dpop: None });
        }
        let dpop = self.proof(method, url, Some(token), now, random)?;
        Ok(Headers { authorization: Secret::new(format!("DPoP {token}")), dpop: Some(dpop) })
    }

    /// Takes the resource's answer: its status, its `DPoP-Nonce` and `WWW-Authenticate` headers. Asking again helps
    /// once: whoever asked twice hands the second answer on.
    pub fn answered(&mut self, status: u16, nonce: Option<&str>, challenge: Option<&str>) -> Next {
        let renewed = self.note(nonce);
        let says = |error: &str| challenge.is_some_and(|c| c.contains(&format!("error=\"{error}\"")));
        match status {
            401 if says("use_dpop_nonce") && renewed => Next::Again,
            401 if says("invalid_token") => {
                self.held = None;
                Next::Renew
            }
            _ => Next::Done,
        }
    }

    /// The token itself, for tests that steal it.
    pub fn token(&self) -> Option<&Secret> {
        self.held.as_ref().map(|held| &held.token)
    }

    /// Keeps the newest nonce; says whether it is a new one.
    fn note(&mut self, nonce: Option<&str>) -> bool {
        let Some(nonce) = nonce else { return false };
        let fresh = self.nonce.as_deref() != Some(nonce);
        self.nonce = Some(nonce.to_owned());
        fresh
    }

    fn proof(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, KeyRefused> {
        self.key.proof(ProofFor { method, url, token, nonce: self.nonce.as_deref() }, now, random)
    }
}

/// A text as a form's value.
fn encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixed;

    const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

    fn wallet() -> Wallet {
        let key = Arc::new(AgentKey::generate().unwrap());
        Wallet::new(key, "crm-assistant", "http://127.0.0.1:1", "http://127.0.0.1:1/mcp/crm")
    }

    #[test]
    fn a_token_is_held_until_shortly_before_its_end() {
        let mut wallet = wallet();
        assert!(wallet.is_empty(NOW));
        let body = br#"{"access_token":"t","token_type":"DPoP","expires_in":300,"sid":"ses_x"}"#;
        assert_eq!(wallet.take(200, Some("n"), body, NOW).unwrap(), Next::Done);
        assert!(!wallet.is_empty(NOW + Span::seconds(279)));
        assert!(wallet.is_empty(NOW + Span::seconds(280)));
        assert_eq!(wallet.session(), Some("ses_x"));
        let headers = wallet.headers("POST", "http://127.0.0.1:1/mcp/crm", NOW, &Fixed(1)).unwrap();
        assert_eq!(headers.authorization.expose(), "DPoP t");
        assert!(headers.dpop.is_some());
    }

    #[test]
    fn a_nonce_is_asked_for_once_and_then_known() {
        let mut wallet = wallet();
        let body = br#"{"error":"use_dpop_nonce","error_description":"x"}"#;
        assert_eq!(wallet.take(400, Some("n1"), body, NOW).unwrap(), Next::Again);
        assert!(wallet.take(400, Some("n1"), body, NOW).is_err());
        let challenge = Some(r#"DPoP error="use_dpop_nonce""#);
        assert_eq!(wallet.answered(401, Some("n2"), challenge), Next::Again);
        assert_eq!(wallet.answered(401, Some("n2"), challenge), Next::Done);
    }

    #[test]
    fn a_refused_token_is_thrown_away() {
        let mut wallet = wallet();
        let body = br#"{"access_token":"t","expires_in":300}"#;
        wallet.take(200, None, body, NOW).unwrap();
        assert_eq!(wallet.answered(401, None, Some(r#"DPoP error="invalid_token""#)), Next::Renew);
        assert!(wallet.is_empty(NOW));
    }

    #[test]
    fn a_server_that_just_started_is_asked_later() {
        let body = format!(r#"{{"error":"invalid_client","error_description":"{BEFORE_START}"}}"#);
        assert_eq!(wallet().take(401, None, body.as_bytes(), NOW).unwrap(), Next::Later);
        assert!(wallet().take(401, None, br#"{"error":"invalid_client"}"#, NOW).is_err());
    }

    #[test]
    fn a_session_that_is_over_is_not_asked_for_again() {
        let mut wallet = wallet();
        wallet.take(200, None, br#"{"access_token":"t","expires_in":300,"sid":"ses_x"}"#, NOW).unwrap();
        assert!(wallet.ask(NOW, &Fixed(1)).unwrap().form.contains("&sid=ses_x"));
        let over = br#"{"error":"invalid_grant","error_description":"the session was ended"}"#;
        assert_eq!(wallet.take(400, None, over, NOW).unwrap(), Next::Again);
        assert!(!wallet.ask(NOW, &Fixed(1)).unwrap().form.contains("&sid="));
        assert!(wallet.take(400, None, over, NOW).is_err());
    }
}
