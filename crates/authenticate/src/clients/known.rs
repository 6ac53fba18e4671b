//! Clients that act for people: those of their own key or secret, and public ones.
//!
//! A client with registered addresses is an agent that has a way to authenticate, and must use it. A client that states
//! itself in a document is public: it holds nothing that shows who it is, so that it proves possession of a key instead,
//! and its codes and tokens are bound to that.

use std::sync::Arc;

use chancery_model::{ClientKind, problem};

use super::{Client, Method};
use crate::authenticator::Authenticator;
use crate::token::{Call, OauthError};

/// An authenticated client with the `client_id` by which people's answers are kept.
pub(crate) struct Known {
    pub(crate) client: Client,
    /// An agent's id, or the URL of a document.
    pub(crate) id: String,
}

impl Authenticator {
    /// The client that sends this request: authenticated, or public and with a proof of a key.
    pub(crate) async fn known_client(&self, call: &Call<'_>) -> Result<Known, OauthError> {
        let form = &call.form;
        let silent = form.one("client_assertion")?.is_none()
            && form.one("client_secret")?.is_none()
            && call.request.authorization.is_none();
        match form.one("client_id")? {
            Some(id) if silent && call.request.certificate.is_none() => self.public(call, id).await,
            _ => {
                let client = self.client(call).await?;
                let id = client.slot.agent().id.to_string();
                Ok(Known { client, id })
            }
        }
    }

    async fn public(&self, call: &Call<'_>, id: &str) -> Result<Known, OauthError> {
        let refuse = |why: &str| OauthError::new(problem::BAD_CLIENT, "invalid_client", why);
        let known = self.client_of(id).await?;
        if known.kind != ClientKind::MetadataDocument {
            return Err(refuse("this client authenticates: send its assertion or secret"));
        }
        let slot = self.directory.agent_of(&known.agent).ok_or_else(|| refuse("the client's agent is gone"))?;
        let active = slot.demand_active(self.clock.now());
        active.map_err(|reason| OauthError::new(reason.row, "invalid_client", reason.why))?;
        if call.proof.is_none() {
            let why = "send a `DPoP` header: a public client proves possession of a key";
            return Err(OauthError::new(problem::BAD_PROOF, "invalid_dpop_proof", why));
        }
        Ok(Known { client: Client { slot, method: Method::Document }, id: known.id.clone() })
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
