//! The token endpoint (OAuth 2.1 draft section 3.2, RFC 8707, RFC 9449 section 5): one file a grant type. Each ends in
//! `Authenticator::issue`: the session is durable before its token exists.

use std::sync::Arc;

use chancery_model::problem::{self, Row};
use chancery_model::{AgentId, BearerUse, Limit, Secret, Timestamp};
use serde::Serialize;

use crate::access::{Binding, Terms};
use crate::authenticator::Authenticator;
use crate::clients::Client;
use crate::directory::SessionSlot;
use crate::dpop::{Asked, Proof, ProofRefused};
use crate::jose::{encode, sha256};
use crate::lineage::Lineage;
use crate::replay::Replayed;
use crate::sessions::SessionError;
use crate::shown::ShownCertificates;

mod authorization_code;
mod client_credentials;
mod elsewhere;
mod exchange;
mod form;
mod identity_assertion;
mod jwt_bearer;
mod polled;
mod refresh_token;
mod scope;

pub(crate) use authorization_code::overtaken;
pub use elsewhere::{Partner, Transactions};
pub(crate) use form::{Form, request};
pub(crate) use identity_assertion::PROFILE;
pub use identity_assertion::Provider;
use polled::Polled;

/// Every grant type there is here.
pub(crate) const GRANTS: &[&str] = &[
    client_credentials::GRANT,
    exchange::GRANT,
    jwt_bearer::GRANT,
    authorization_code::GRANT,
    refresh_token::GRANT,
    Polled::DEVICE,
    Polled::BACKCHANNEL,
];

/// A token request, read once. A `DPoP` header that came twice must be refused before this.
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// The form's pairs as they came, decoded.
    pub form: &'a [(String, String)],
    /// The `Authorization` header: client authentication with `Basic`.
    pub authorization: Option<&'a str>,
    /// The `DPoP` header.
    pub dpop: Option<&'a str>,
    /// The certificates the client showed when the connection was made.
    pub certificate: Option<&'a ShownCertificates>,
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

/// The JSON body of a token response (RFC 6749, section 5.1; RFC 8693, section 2.2.1; RFC 9396, section 7).
#[derive(Debug, Serialize)]
pub struct TokenBody {
    /// The token. Only its receiver may see it.
    #[serde(serialize_with = "shown")]
    pub access_token: Secret,
    /// `DPoP`, `Bearer`, or `N_A` for what is no access token.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// The session it belongs to: send it as `sid` to get the next token of the same session.
    pub sid: String,
    /// What kind of token it is, in the answer to an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
    /// What the session is narrowed to, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<Arc<[Limit]>>,
    /// What the token may be used for, at a resource that has scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// For the next token, where the grant has one. Used up by its use.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if")]
    pub refresh_token: Option<Secret>,
}

pub(crate) fn shown<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn shown_if<S: serde::Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => shown(secret, serializer),
        None => serializer.serialize_none(),
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

/// A token request whose form was read and whose proof was judged. The proof is not used up yet.
pub(crate) struct Call<'a> {
    pub(crate) form: Form<'a>,
    pub(crate) request: &'a TokenRequest<'a>,
    pub(crate) proof: Option<Proof>,
}

/// What a token is to be.
pub(crate) struct Wanted<'a> {
    pub(crate) audience: &'a str,
    pub(crate) binding: Option<Binding>,
    /// Not later than this.
    pub(crate) until: Option<Timestamp>,
    pub(crate) may_act: Option<&'a AgentId>,
    /// What it may be used for, at a resource that has scopes.
    pub(crate) scope: Option<String>,
}

impl Authenticator {
    /// Answers a token request, for exactly one resource, bound to the key of the DPoP proof.
    pub async fn token(&self, request: TokenRequest<'_>) -> Result<TokenResponse, OauthError> {
        let issued = self.answer(&request).await;
        let dpop_nonce = self.dpop.nonce();
        match issued {
            Ok(body) => Ok(TokenResponse { body, dpop_nonce }),
            Err(e) => Err(OauthError { dpop_nonce, ..e }),
        }
    }

    async fn answer(&self, request: &TokenRequest<'_>) -> Result<TokenBody, OauthError> {
        let form = Form(request.form);
        let grant = form.needed("grant_type")?;
        // These two may be for a resource that has scopes, and look at them themselves.
        if !matches!(grant, client_credentials::GRANT | jwt_bearer::GRANT) {
            form.refuse_scope()?;
        }
        let call = Call { form, request, proof: self.proof(request)? };
        match grant {
            client_credentials::GRANT => self.client_credentials(&call).await,
            exchange::GRANT => self.exchange(&call).await,
            jwt_bearer::GRANT => self.jwt_bearer(&call).await,
            authorization_code::GRANT => self.authorization_code(&call).await,
            Polled::DEVICE => self.polled(Polled::Device, &call).await,
            Polled::BACKCHANNEL => self.polled(Polled::Backchannel, &call).await,
            refresh_token::GRANT => self.refresh_token(&call).await,
            _ => {
                let why = "the `grant_type` is none of those in the metadata";
                Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "unsupported_grant_type", why))
            }
        }
    }

    /// The proof that came along, judged before an assertion or code is used up, so that a client that must fetch a nonce
    /// keeps it.
    pub(crate) fn proof(&self, request: &TokenRequest<'_>) -> Result<Option<Proof>, OauthError> {
        let asked = Asked { method: "POST", url: request.url, token: None };
        request.dpop.map(|proof| self.dpop.check(proof, asked)).transpose().map_err(bad_proof)
    }

    /// Is this one of our resources?
    pub(crate) fn resource<'a>(&self, form: &Form<'a>) -> Result<&'a str, OauthError> {
        let resource = form.resource()?;
        if self.config.audiences.iter().any(|known| known == resource) {
            return Ok(resource);
        }
        Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", "the `resource` is none of ours"))
    }

    /// What the tokens of this client are to be bound to: uses up the proof. Only an agent that may use bearer tokens
    /// gets one without a binding.
    pub(crate) fn binding(&self, call: &Call<'_>, client: &Client) -> Result<Option<Binding>, OauthError> {
        let certificate = call.request.certificate.filter(|_| client.is_by_certificate());
        match (&call.proof, certificate, client.slot.agent().bearer) {
            (Some(proof), ..) => {
                self.dpop.take(proof).map_err(bad_proof)?;
                Ok(Some(Binding::Key(*proof.key.thumbprint())))
            }
            (None, Some(shown), _) => Ok(Some(Binding::Certificate(sha256(shown.leaf())))),
            (None, None, BearerUse::Allowed) => Ok(None),
            (None, None, BearerUse::Refused) => Err(OauthError::new(
                problem::BAD_PROOF,
                "invalid_dpop_proof",
                "send a `DPoP` header: bearer tokens are not issued to this agent",
            )),
        }
    }

    /// Signs a token of a session that is in force.
    pub(crate) fn issue(&self, session: &SessionSlot, wanted: &Wanted<'_>) -> Result<TokenBody, OauthError> {
        let now = self.clock.now();
        let latest = session.session().ends_at.min(wanted.until.unwrap_or(Timestamp(i64::MAX)));
        let expires = (now + self.config.token_lifetime).min(latest);
        let terms = Terms {
            issuer: &self.config.issuer,
            audience: wanted.audience,
            session,
            id: &encode(&self.random.bytes::<16>()),
            now,
            expires,
            binding: wanted.binding,
            may_act: wanted.may_act,
            scope: wanted.scope.as_deref(),
        };
        let token = terms.sign(&self.keys.load());
        let token = token.map_err(|e| OauthError::new(problem::INTERNAL, "temporarily_unavailable", e.to_string()))?;
        Ok(TokenBody {
            access_token: Secret::new(token),
            token_type: if matches!(wanted.binding, Some(Binding::Key(_))) { "DPoP" } else { "Bearer" },
            expires_in: (expires - now).as_seconds(),
            sid: session.session().id.to_string(),
            issued_token_type: None,
            authorization_details: Lineage::of(session).limits.first().cloned(),
            scope: wanted.scope.clone(),
            refresh_token: None,
        })
    }
}

impl From<SessionError> for OauthError {
    fn from(e: SessionError) -> Self {
        match e {
            SessionError::Store(e) => Self::new(problem::STORE_FAILED, "temporarily_unavailable", e.to_string()),
            SessionError::Contained(why) => Self::new(problem::CONTAINED, "invalid_grant", why),
            SessionError::Manifest(why) => Self::new(problem::MANIFEST_UNAPPROVED, "unauthorized_client", why),
            SessionError::TooDeep(_) => Self::new(problem::BAD_LIMITS, "invalid_request", e.to_string()),
            SessionError::TooMany { .. } => Self::new(problem::TOO_BUSY, "temporarily_unavailable", e.to_string()),
            other => Self::new(problem::SESSION_OVER, "invalid_grant", other.to_string()),
        }
    }
}

pub(crate) fn bad_proof(refused: ProofRefused) -> OauthError {
    match refused {
        ProofRefused::Nonce => OauthError::new(problem::NEEDS_NONCE, "use_dpop_nonce", refused.to_string()),
        ProofRefused::Replayed(Replayed::Full) => {
            OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", refused.to_string())
        }
        _ => OauthError::new(problem::BAD_PROOF, "invalid_dpop_proof", refused.to_string()),
    }
}
