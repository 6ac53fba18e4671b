//! Clients that act for people: those of their own key or secret, those of a key in their document, and public ones.
//!
//! A client with registered addresses is an agent that has a way to authenticate, and must use it. A client that states
//! itself in a document authenticates with a key if the document names one. Otherwise it is public: it holds nothing that
//! shows who it is, so that it proves possession of a key instead, and its codes and tokens are bound to that, unless its
//! agent may use bearer tokens.

use std::sync::Arc;

use chancery_model::{BearerUse, ClientKind, problem};

use super::{Client, JWT_BEARER, Method};
use crate::authenticator::Authenticator;
use crate::directory::SessionSlot;
use crate::token::{Call, OauthError};

/// An authenticated client with the `client_id` by which people's answers are kept.
pub(crate) struct Known {
    pub(crate) client: Client,
    /// An agent's id, or the URL of a document.
    pub(crate) id: String,
}

impl Known {
    /// Did it show nothing of who it is?
    pub(crate) fn is_public(&self) -> bool {
        self.client.method == Method::Public
    }

    /// Is this session the client's to end? An agent that authenticates ends those in whose chain it stands; whoever shows
    /// less, those that a person allowed through this very client.
    pub(crate) fn may_end(&self, session: &SessionSlot) -> bool {
        match self.client.method {
            Method::Public | Method::DocumentKey => session.session().client.as_ref() == Some(&self.id),
            _ => self.client.stands_in(session),
        }
    }
}

impl Authenticator {
    /// The client that sends this request: authenticated, or public and with a proof of a key.
    pub(crate) async fn known_client(&self, call: &Call<'_>) -> Result<Known, OauthError> {
        let known = self.identified_client(call).await?;
        let bearer = known.client.slot.agent().bearer == BearerUse::Allowed;
        if known.client.method == Method::Public && call.proof.is_none() && !bearer {
            let why = "send a `DPoP` header: a public client proves possession of a key";
            return Err(OauthError::new(problem::BAD_PROOF, "invalid_dpop_proof", why));
        }
        Ok(known)
    }

    /// The client that sends this request: authenticated, or public and nothing but named.
    pub(crate) async fn identified_client(&self, call: &Call<'_>) -> Result<Known, OauthError> {
        let form = &call.form;
        let (assertion, kind) = (form.one("client_assertion")?, form.one("client_assertion_type")?);
        let silent = form.one("client_secret")?.is_none() && call.request.authorization.is_none();
        match (assertion, form.one("client_id")?) {
            (Some(assertion), id) if silent && kind == Some(JWT_BEARER) && self.is_of_document(assertion) => {
                self.by_document_key(assertion, id).await
            }
            (None, Some(id)) if silent && call.request.certificate.is_none() => self.public(id).await,
            _ => {
                let client = self.client(call).await?;
                let id = client.slot.agent().id.to_string();
                Ok(Known { client, id })
            }
        }
    }

    async fn public(&self, id: &str) -> Result<Known, OauthError> {
        let stated = self.stated(id).await?;
        if stated.client.kind == ClientKind::Registered || stated.keys.is_some() {
            let why = "this client authenticates: send its assertion or secret";
            return Err(OauthError::new(problem::BAD_CLIENT, "invalid_client", why));
        }
        self.acting(&stated.client, Method::Public)
    }

    /// The client, if its agent may act.
    pub(super) fn acting(&self, client: &chancery_model::Client, method: Method) -> Result<Known, OauthError> {
        let refuse = |why: &str| OauthError::new(problem::BAD_CLIENT, "invalid_client", why);
        let slot = self.directory.agent_of(&client.agent).ok_or_else(|| refuse("the client's agent is gone"))?;
        let active = slot.demand_active(self.clock.now());
        active.map_err(|reason| OauthError::new(reason.row, "invalid_client", reason.why))?;
        Ok(Known { client: Client { slot, method }, id: client.id.clone() })
    }

    /// The client of a `client_id` that was kept.
    pub(crate) async fn known_as(&self, id: &str) -> Result<Arc<chancery_model::Client>, OauthError> {
        // A device's client need not send people anywhere, so that it need not have addresses.
        match self.client_of(id).await {
            Ok(client) => Ok(client),
            Err(e) => self.without_addresses(id).ok_or(e),
        }
    }

    fn without_addresses(&self, id: &str) -> Option<Arc<chancery_model::Client>> {
        let agent = self.directory.agent_of(&id.parse().ok()?)?.agent();
        Some(Arc::new(chancery_model::Client {
            id: agent.id.to_string(),
            agent: agent.id.clone(),
            kind: ClientKind::Registered,
            redirect_uris: Vec::new(),
            claimed_name: None,
            created_at: agent.created_at,
            removed_at: None,
        }))
    }
}
