//! How a client shows at the token endpoint that it is itself: one file a method, exactly one method a request.

use std::sync::Arc;

use chancery_model::problem;

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

/// `client_assertion_type` of RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

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
            Method::Platform { detail, .. } => Some(detail.clone()),
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
            Method::Platform { instance, .. } => instance.as_deref(),
            _ => None,
        }
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
            return self.by_certificate(shown, client_id.unwrap_or(""));
        }
        let client = match (assertion, kind, secret, authorization) {
            (Some(assertion), Some(JWT_BEARER), None, None) if self.is_of_platform(assertion) => {
                self.by_platform(assertion, client_id).await.map_err(|e| match e.error {
                    "invalid_grant" => OauthError { error: "invalid_client", ..e },
                    _ => e,
                })?
            }
            (Some(assertion), Some(JWT_BEARER), None, None) => {
                Client { slot: self.by_assertion(assertion, client_id)?, method: Method::Key }
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
