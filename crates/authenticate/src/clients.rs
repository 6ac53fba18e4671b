//! How a client shows at the token endpoint that it is itself: one file a method, exactly one method a request.

use std::sync::Arc;

use chancery_model::{Timestamp, problem};

use crate::authenticator::Authenticator;
use crate::directory::{AgentSlot, SessionSlot};
use crate::token::{Call, OauthError};

mod assertion;
mod certificate;
mod known;
mod metadata_document;
mod platform;
mod secret;

pub(crate) use assertion::BEFORE_START;
pub(crate) use known::Known;
pub(crate) use metadata_document::Clients;
use platform::as_client;

/// `client_assertion_type` of RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// `client_assertion_type` of draft-ietf-oauth-spiffe-client-auth, section 3.1.
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// An authenticated client.
pub(crate) struct Client {
    pub(crate) slot: Arc<AgentSlot>,
    pub(crate) method: Method,
}

/// By what it was authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// An assertion signed with its enrolled key.
    Key,
    /// A secret it shares with us.
    Secret,
    /// The certificate of its connection.
    Certificate,
    /// A key of its document.
    DocumentKey,
    /// The X.509-SVID of its connection, which a trust source is about.
    X509Svid {
        /// Which source, and of whom.
        detail: String,
        /// What the trust domain calls the running copy.
        instance: Option<String>,
        /// From then on it is nothing.
        ends: Timestamp,
    },
    /// Nothing: a public client.
    Public,
    /// A token of a platform that a trust source is about.
    Platform {
        /// Which source, and of whom.
        detail: String,
        /// What the platform calls the running copy.
        instance: Option<String>,
    },
}

impl Client {
    /// For the record of what was done with it; nothing for the usual way.
    pub(crate) fn detail(&self) -> Option<String> {
        match &self.method {
            Method::Key => None,
            Method::Platform { detail, .. } | Method::X509Svid { detail, .. } => Some(detail.clone()),
            Method::Secret => Some("authenticated by a shared secret".to_owned()),
            Method::Certificate => Some("authenticated by its certificate".to_owned()),
            Method::DocumentKey => Some("authenticated by a key of its document".to_owned()),
            Method::Public => Some("a public client".to_owned()),
        }
    }

    /// Is its agent one of those who act in this session?
    pub(crate) fn stands_in(&self, session: &SessionSlot) -> bool {
        let own = &self.slot.agent().id;
        session.line().any(|link| link.session().agent == *own)
    }

    /// The running copy, where what authenticated it says which.
    pub(crate) fn instance(&self) -> Option<&str> {
        match &self.method {
            Method::Platform { instance, .. } | Method::X509Svid { instance, .. } => instance.as_deref(),
            _ => None,
        }
    }

    /// Not longer than this are its tokens good.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        match &self.method {
            Method::X509Svid { ends, .. } => Some(*ends),
            _ => None,
        }
    }

    /// Was it the certificate of the connection that authenticated it?
    pub(crate) fn is_by_certificate(&self) -> bool {
        matches!(self.method, Method::Certificate | Method::X509Svid { .. })
    }
}

impl Authenticator {
    /// The client that sends this request. An assertion is used up by it.
    pub(crate) async fn client(&self, call: &Call<'_>) -> Result<Client, OauthError> {
        let form = &call.form;
        let (assertion, kind) = (form.one("client_assertion")?, form.one("client_assertion_type")?);
        let (secret, client_id) = (form.one("client_secret")?, form.one("client_id")?);
        let authorization = call.request.authorization;
        if let (None, None, None, None, Some(shown)) =
            (assertion, kind, secret, authorization, call.request.certificate)
        {
            let named = client_id.unwrap_or("");
            return match named.starts_with("spiffe://") {
                true => self.by_x509_svid(shown, named).await,
                false => self.by_certificate(shown, named),
            };
        }
        let client = match (assertion, kind, secret, authorization) {
            (Some(assertion), Some(JWT_BEARER), None, None) if self.is_of_platform(assertion) => {
                self.by_platform(assertion, client_id).await.map_err(as_client)?
            }
            (Some(svid), Some(JWT_SPIFFE), None, None) => self.by_jwt_svid(svid, client_id).await?,
            (Some(assertion), Some(JWT_BEARER), None, None) => {
                Client { slot: self.by_assertion(assertion, client_id).await?, method: Method::Key }
            }
            (None, None, None, Some(header)) => self.by_basic(header, client_id)?,
            (None, None, Some(secret), None) => self.by_secret(client_id.unwrap_or(""), secret)?,
            _ => {
                let why = "authenticate in exactly one way: `private_key_jwt` (`client_assertion_type` and \
                           `client_assertion`), a client secret where the agent has one, or its certificate at the TLS door";
                return Err(OauthError::new(problem::BAD_CLIENT, "invalid_client", why));
            }
        };
        Ok(client)
    }
}
