//! Pushed authorization requests (RFC 9126): the client states over its own connection what a person will be asked.

use chancery_model::{Change, Draft, Hash, Kind, Span, Who, problem};
use chancery_store::consents::{self, Pushed};
use serde::Serialize;

use super::asked::{READING, bad};
use super::stored;
use crate::authenticator::Authenticator;
use crate::jose::{encode, sha256};
use crate::token::{Call, Form, OauthError, TokenRequest, overtaken};

/// How long a request may wait until its person is shown it.
const LIFETIME: Span = Span::seconds(60);
/// How many of one client may wait.
const WAITING: u64 = 100;
/// What is in front of our own part (RFC 9126, section 2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// What a request may be made of. What authenticates the client is no part of it, and what nobody knows is not kept.
const KNOWN: [&str; 15] = [
    "acr_values",
    "authorization_details",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "max_age",
    "prompt",
    "redirect_uri",
    "request",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// The JSON body of the answer.
#[derive(Debug, Serialize)]
pub struct PushedBody {
    /// What to send the person with.
    pub request_uri: String,
    /// Seconds.
    pub expires_in: i64,
}

impl Authenticator {
    /// Takes an authorization request from its client. It is judged now and again when its person comes.
    ///
    /// # Errors
    /// As at the token endpoint (RFC 9126, section 2.3).
    pub async fn push(&self, request: &TokenRequest<'_>) -> Result<PushedBody, OauthError> {
        let answer = self.take_push(request).await;
        answer.map_err(|e| OauthError { dpop_nonce: self.dpop.nonce(), ..e })
    }

    async fn take_push(&self, request: &TokenRequest<'_>) -> Result<PushedBody, OauthError> {
        let form = Form(request.form);
        if form.one("request_uri")?.is_some() {
            return Err(bad("`request_uri` is what comes out of here: leave it out"));
        }
        let call = Call { form, request, proof: self.proof(request)? };
        let client = self.known_client(&call).await?;
        let known = request.form.iter().filter(|(name, _)| KNOWN.contains(&name.as_str()));
        let mut parameters: Vec<(String, String)> = known.cloned().collect();
        if form.one("client_id")?.is_none() {
            parameters.push(("client_id".into(), client.id.clone()));
        }
        self.bind_code(&call, &mut parameters)?;
        let asked = self.read_asked(Form(&parameters)).await.map_err(|refused| refused.error)?;
        if asked.client.id != client.id {
            return Err(bad("`client_id` is not the client that sends it"));
        }
        let now = self.clock.now();
        if consents::pushed_by(&self.store, &client.id, now).await.map_err(|e| stored(&e))? >= WAITING {
            let why = format!("{WAITING} requests of this client wait for their people");
            return Err(OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", why));
        }
        let name = encode(&self.random.bytes::<32>());
        let pushed =
            Pushed { hash: sha256(name.as_bytes()), client: client.id, form: parameters, expires_at: now + LIFETIME };
        let agent = asked.agent();
        let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
        let change = Change { noun: "consent".into(), id: agent.name.clone(), verb: "ask".into(), after: None };
        let draft = Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() };
        let write = self
            .store
            .write(draft, move |tx| Box::pin(async move { consents::push(tx, &pushed, now - READING).await }));
        write.await.map_err(|e| stored(&e))?;
        Ok(PushedBody { request_uri: format!("{PREFIX}{name}"), expires_in: LIFETIME.as_seconds() })
    }

    /// A proof that comes along binds the code to its key (RFC 9449, section 10.1).
    fn bind_code(&self, call: &Call<'_>, parameters: &mut Vec<(String, String)>) -> Result<(), OauthError> {
        let Some(proof) = &call.proof else { return Ok(()) };
        self.dpop.take(proof).map_err(crate::token::bad_proof)?;
        let thumbprint = encode(proof.key.thumbprint());
        match call.form.one("dpop_jkt")? {
            Some(named) if named != thumbprint => Err(bad("`dpop_jkt` is not the key of the proof")),
            Some(_) => Ok(()),
            None => {
                parameters.push(("dpop_jkt".into(), thumbprint));
                Ok(())
            }
        }
    }

    /// The parameters of a request that this client pushed, and that its person has been reading for so long at the most.
    /// It is used up by its answer, not by looking.
    pub(super) async fn pushed(
        &self,
        client_id: &str,
        uri: &str,
        read: Span,
    ) -> Result<(Hash, Vec<(String, String)>), OauthError> {
        let refused = |why| OauthError::new(problem::BAD_AUTHORIZATION_REQUEST, "invalid_request_uri", why);
        let name = uri.strip_prefix(PREFIX).ok_or_else(|| refused("the `request_uri` was not given out here"))?;
        let hash = sha256(name.as_bytes());
        let found = consents::pushed(&self.store, &hash, self.clock.now() - read).await.map_err(|e| stored(&e))?;
        let pushed = found.ok_or_else(|| refused("the `request_uri` is wrong, was answered, or expired"))?;
        // The name or the id of an agent is the same client.
        let client = self.client_of(client_id).await?;
        if client.id != pushed.client {
            return Err(refused("the `request_uri` is another client's"));
        }
        if let Some(slot) = self.directory.agent_of(&client.agent) {
            slot.refuse_older(pushed.expires_at - LIFETIME).map_err(overtaken)?;
        }
        Ok((hash, pushed.form))
    }
}
