//! The token endpoint (RFC 6749 section 4.4, RFC 7523, RFC 8707, RFC 9449 section 5).

use std::sync::Arc;

use chancery_model::problem::{self, Row};
use chancery_model::{Agent, BearerUse, Secret, Session};
use serde::Serialize;

use crate::access::Terms;
use crate::authenticator::Authenticator;
use crate::directory::AgentSlot;
use crate::dpop::{Asked, Proof, ProofRefused};
use crate::jose::encode;
use crate::replay::Replayed;
use crate::sessions::SessionError;

/// The only way a client authenticates here.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A token request, read once. A `DPoP` header that came twice must be refused before this.
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// The form's pairs as they came, decoded.
    pub form: &'a [(String, String)],
    /// The `DPoP` header.
    pub dpop: Option<&'a str>,
    /// The token endpoint's URL as the outside knows it: what the proof's `htu` must say.
    pub url: &'a str,
}

/// A token, and the nonce for the next proof (`DPoP-Nonce` header). To be sent with `Cache-Control: no-store`.
#[derive(Debug)]
pub struct TokenResponse {
    /// The JSON body.
    pub body: TokenBody,
    /// The nonce for the next proof.
    pub dpop_nonce: Option<Arc<str>>,
}

/// The JSON body of a token response (RFC 6749, section 5.1).
#[derive(Debug)]
pub struct TokenBody {
    /// The token. Only its receiver may see it.
    pub access_token: Secret,
    /// `DPoP` or `Bearer`.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// The session it belongs to: send it as `sid` to get the next token of the same session.
    pub sid: String,
}

impl Serialize for TokenBody {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut body = serializer.serialize_struct("TokenBody", 4)?;
        body.serialize_field("access_token", self.access_token.expose())?;
        body.serialize_field("token_type", self.token_type)?;
        body.serialize_field("expires_in", &self.expires_in)?;
        body.serialize_field("sid", &self.sid)?;
        body.end()
    }
}

/// An error answer of the token endpoint (RFC 6749, section 5.2).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}: {description}")]
pub struct OauthError {
    /// The row of the error table. Its status is the one of our own API; see [`OauthError::status`].
    pub row: Row,
    /// The OAuth error code.
    pub error: &'static str,
    /// The deciding fact.
    pub description: String,
    /// The nonce for the next proof (`DPoP-Nonce` header).
    pub dpop_nonce: Option<Arc<str>>,
}

impl OauthError {
    pub(crate) fn new(row: Row, error: &'static str, description: impl Into<String>) -> Self {
        Self { row, error, description: description.into(), dpop_nonce: None }
    }

    /// The HTTP status to answer with: 401 for `invalid_client`, 503 when we are to blame, else 400.
    pub fn status(&self) -> u16 {
        match self.error {
            "invalid_client" => 401,
            "temporarily_unavailable" => 503,
            _ => 400,
        }
    }
}

/// The parameters that are read.
struct Form<'a> {
    resource: &'a str,
    assertion: &'a str,
    client_id: Option<&'a str>,
    sid: Option<&'a str>,
    instance: Option<&'a str>,
}

impl Authenticator {
    /// Answers a token request: client credentials, for exactly one resource, bound to the key of the DPoP proof.
    /// Opens a session, or goes on with the one that `sid` names. The session is durable before the token exists.
    pub async fn token(&self, request: TokenRequest<'_>) -> Result<TokenResponse, OauthError> {
        let issued = self.issue(&request).await;
        let dpop_nonce = self.dpop.nonce();
        match issued {
            Ok(body) => Ok(TokenResponse { body, dpop_nonce }),
            Err(e) => Err(OauthError { dpop_nonce, ..e }),
        }
    }

    async fn issue(&self, request: &TokenRequest<'_>) -> Result<TokenBody, OauthError> {
        let form = Form::read(request.form)?;
        if !self.config.audiences.iter().any(|known| known == form.resource) {
            return Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", "the `resource` is none of ours"));
        }
        // The proof is judged before the assertion is used up, so that a client that must fetch a nonce keeps it.
        let asked = Asked { method: "POST", url: request.url, token: None };
        let proof = request.dpop.map(|proof| self.dpop.check(proof, asked)).transpose().map_err(bad_proof)?;
        let slot = self.client(form.assertion, form.client_id)?;
        let agent = slot.agent();
        self.possession_or_bearer(&agent, proof.as_ref())?;
        let session = self.session_for(&slot, &form).await?;
        self.sign(&agent, &session, &form, proof.as_ref())
    }

    fn possession_or_bearer(&self, agent: &Agent, proof: Option<&Proof>) -> Result<(), OauthError> {
        match (proof, agent.bearer) {
            (Some(proof), _) => self.dpop.take(proof).map_err(bad_proof),
            (None, BearerUse::Allowed) => Ok(()),
            (None, BearerUse::Refused) => Err(OauthError::new(
                problem::BAD_PROOF,
                "invalid_dpop_proof",
                "send a `DPoP` header: bearer tokens are not issued to this agent",
            )),
        }
    }

    async fn session_for(&self, slot: &AgentSlot, form: &Form<'_>) -> Result<Session, OauthError> {
        let session = match form.sid {
            Some(sid) => self.continue_session(&slot.agent(), sid).await,
            None => self.open_session(slot, form.instance).await,
        };
        session.map_err(|e| match e {
            SessionError::Store(e) => OauthError::new(problem::STORE_FAILED, "temporarily_unavailable", e.to_string()),
            SessionError::TooMany { .. } => {
                OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", e.to_string())
            }
            other => OauthError::new(problem::SESSION_OVER, "invalid_grant", other.to_string()),
        })
    }

    fn sign(
        &self,
        agent: &Agent,
        session: &Session,
        form: &Form<'_>,
        proof: Option<&Proof>,
    ) -> Result<TokenBody, OauthError> {
        let now = self.clock.now();
        let jkt = proof.map(|proof| proof.key.thumbprint_text());
        let terms = Terms {
            issuer: &self.config.issuer,
            audience: form.resource,
            agent,
            session,
            id: &encode(&self.random.bytes::<16>()),
            now,
            expires: now + self.config.token_lifetime,
            jkt: jkt.as_deref(),
        };
        let token = terms.sign(&self.keys.load());
        let token = token.map_err(|e| OauthError::new(problem::INTERNAL, "temporarily_unavailable", e.to_string()))?;
        Ok(TokenBody {
            access_token: Secret::new(token),
            token_type: if jkt.is_some() { "DPoP" } else { "Bearer" },
            expires_in: self.config.token_lifetime.as_seconds(),
            sid: session.id.to_string(),
        })
    }
}

impl<'a> Form<'a> {
    fn read(pairs: &'a [(String, String)]) -> Result<Self, OauthError> {
        match one(pairs, "grant_type")? {
            Some("client_credentials") => {}
            Some(_) => {
                let why = "`grant_type` must be `client_credentials`";
                return Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "unsupported_grant_type", why));
            }
            None => return Err(request("`grant_type` is missing")),
        }
        if one(pairs, "client_assertion_type")? != Some(ASSERTION_TYPE) || one(pairs, "client_secret")?.is_some() {
            let why = "authenticate with `private_key_jwt`: `client_assertion_type` and `client_assertion`";
            return Err(OauthError::new(problem::BAD_CLIENT, "invalid_client", why));
        }
        if one(pairs, "scope")?.is_some_and(|scope| !scope.trim().is_empty()) {
            let why = "there are no scopes here: rights come from grants and policies";
            return Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_scope", why));
        }
        Ok(Self {
            resource: exactly_one_resource(pairs)?,
            assertion: one(pairs, "client_assertion")?.ok_or_else(|| request("`client_assertion` is missing"))?,
            client_id: one(pairs, "client_id")?,
            sid: one(pairs, "sid")?,
            instance: one(pairs, "instance")?.filter(|name| name.len() <= 128),
        })
    }
}

/// A parameter that may come once (RFC 6749, section 3.2).
fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, OauthError> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = values.next();
    if values.next().is_some() { Err(request(format!("`{name}` came twice"))) } else { Ok(first) }
}

fn exactly_one_resource(pairs: &[(String, String)]) -> Result<&str, OauthError> {
    let mut values = pairs.iter().filter(|(key, _)| key == "resource").map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (Some(resource), None) => Ok(resource),
        _ => Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", "send exactly one `resource`")),
    }
}

fn request(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_request", why)
}

fn bad_proof(refused: ProofRefused) -> OauthError {
    match refused {
        ProofRefused::Nonce => OauthError::new(problem::NEEDS_NONCE, "use_dpop_nonce", refused.to_string()),
        ProofRefused::Replayed(Replayed::Full) => {
            OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", refused.to_string())
        }
        _ => OauthError::new(problem::BAD_PROOF, "invalid_dpop_proof", refused.to_string()),
    }
}
