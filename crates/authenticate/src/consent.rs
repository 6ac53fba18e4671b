//! What people allow agents to do in their name: the question a client asks, the person's answer, and what is kept of it
//! until the client redeems it for a session.
//!
//! A person can only take away: from what was asked, and from the time it lasts. Whether they may let this agent act at
//! all is for the rules about delegation, which are asked before a code exists.

use std::sync::Arc;

use chancery_model::{
    Agent, Change, Client, Consent, Covered, Draft, Hash, Kind, Limit, Span, Timestamp, Who, canonical, problem,
};
use chancery_store::consents::Code;
use chancery_store::{StoreError, consents};

use crate::authenticator::Authenticator;
use crate::delegation::{Handing, Principal};
use crate::directory::AgentSlot;
use crate::jose::{encode, sha256};
use crate::people::SignedIn;
use crate::token::OauthError;

mod asked;
mod backchannel;
mod device;
mod pushed;

pub(crate) use asked::ACR;
pub use asked::{AskRefused, Asked};
pub use backchannel::{BackchannelAsked, BackchannelBody};
pub use device::{DeviceAsked, DeviceBody};
pub(crate) use device::{Guesses, LIFETIME as DEVICE_CODE, Polls};
pub use pushed::PushedBody;

/// How long a code is good.
pub(crate) const CODE: Span = Span::seconds(60);
/// How codes begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-code-";

/// What a person may take away from what was asked.
#[derive(Debug, Clone)]
pub struct Narrowed {
    /// Which of the details stay, by their place.
    pub keep: Vec<usize>,
    /// How long it lasts at the most.
    pub lasts: Span,
}

/// What is asked of a person, whichever way it came.
pub(crate) struct Question<'a> {
    pub(crate) slot: &'a Arc<AgentSlot>,
    pub(crate) client: &'a Client,
    pub(crate) resource: &'a str,
    pub(crate) limits: &'a [Limit],
}

impl Authenticator {
    /// May this person let this agent act for them at all?
    ///
    /// # Errors
    /// Why not.
    pub fn may_consent(&self, by: &SignedIn, agent: &Agent) -> Result<(), OauthError> {
        let denied = |why| OauthError::new(problem::MAY_NOT_DELEGATE, "access_denied", why);
        let slot = self.directory.agent_of(&agent.id).ok_or_else(|| denied("the agent is gone".to_owned()))?;
        slot.demand_active(self.clock.now()).map_err(|reason| denied(reason.why))?;
        let link = Handing { from: Principal::Human(&by.person.name), to: &agent.name, depth: 1, human: true };
        self.delegations.load().may_delegate(&link).map_err(denied)
    }

    /// The person says yes: the address that the browser goes back to, with a code. What they allow is on the disk before.
    ///
    /// # Errors
    /// [`AskRefused`] if the rules do not let them, if nothing is left of what was asked, or if the pushed request was
    /// answered already.
    pub async fn allow(&self, asked: &Asked, by: &SignedIn, narrowed: &Narrowed) -> Result<String, AskRefused> {
        let consent = self.consent(&asked.question(), by, narrowed).map_err(|e| asked.refuse(e))?;
        let now = self.clock.now();
        let text = format!("{PREFIX}{}", encode(&self.random.bytes::<32>()));
        let code = Code {
            hash: sha256(text.as_bytes()),
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            key: asked.key,
            expires_at: now + CODE,
            failures: 0,
            used_at: None,
            session: None,
            consent,
        };
        let draft = draft(now, by, &asked.question(), Some(&code.consent));
        self.answered(asked, draft, Some(code)).await?;
        Ok(asked.back(&[("code", &text)]))
    }

    /// The person says no.
    ///
    /// # Errors
    /// [`AskRefused`] if the pushed request was answered already, or the answer could not be kept.
    pub async fn deny(&self, asked: &Asked, by: &SignedIn) -> Result<String, AskRefused> {
        let draft = draft(self.clock.now(), by, &asked.question(), None);
        self.answered(asked, draft, None).await?;
        let why = OauthError::new(problem::NOT_ALLOWED_YET, "access_denied", "the person did not allow it");
        Ok(asked.back_with(&why))
    }

    async fn answered(&self, asked: &Asked, draft: Draft, code: Option<Code>) -> Result<(), AskRefused> {
        let (now, pushed) = (self.clock.now(), asked.pushed);
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if let Some(hash) = pushed
                    && !consents::use_pushed(tx, &hash, now).await?
                {
                    return Err(StoreError::refuse(AnsweredBefore));
                }
                match &code {
                    Some(code) => consents::insert(tx, code, now).await,
                    None => Ok(()),
                }
            })
        });
        write.await.map(drop).map_err(|e| AskRefused::shown(answered_before(e)))
    }

    /// What is kept of a yes. The rules are asked, and what was asked can only become less.
    pub(crate) fn consent(
        &self,
        question: &Question<'_>,
        by: &SignedIn,
        narrowed: &Narrowed,
    ) -> Result<Consent, OauthError> {
        let (agent, now) = (question.slot.agent(), self.clock.now());
        self.may_consent(by, &agent)?;
        let kept = question.limits.iter().enumerate().filter(|(at, _)| narrowed.keep.contains(at));
        let limits: Vec<Limit> = kept.map(|(_, limit)| limit.clone()).collect();
        let server = self.server_of(question.resource);
        if limits.is_empty() || !server.is_some_and(|server| Limit::cover(&limits, Covered::Server(server))) {
            let why = "nothing is left of what the agent asked for at the server it wants to reach";
            return Err(OauthError::new(problem::BAD_LIMITS, "access_denied", why));
        }
        Ok(Consent {
            agent: agent.id.clone(),
            agent_epoch: question.slot.epoch(),
            client: question.client.id.clone(),
            person: by.person.id.clone(),
            person_epoch: by.person.epoch,
            login: by.login.clone(),
            present_at: by.present_at(),
            resource: question.resource.to_owned(),
            limits,
            until: now + Span(narrowed.lasts.0.clamp(0, self.config.sessions.maximum.0)),
        })
    }

    /// The upstream server that one of our resources is; nothing for another resource.
    pub(crate) fn server_of<'a>(&self, resource: &'a str) -> Option<&'a str> {
        let known = self.config.audiences.iter().any(|known| known == resource);
        resource.strip_prefix(&self.config.issuer)?.strip_prefix("/mcp/").filter(|_| known)
    }
}

/// A pushed request or device code that somebody answered in the meantime.
#[derive(Debug, thiserror::Error)]
#[error("it was answered already")]
pub(crate) struct AnsweredBefore;

pub(crate) fn answered_before(e: StoreError) -> OauthError {
    match e.refusal::<AnsweredBefore>() {
        Ok(before) => OauthError::new(problem::BAD_AUTHORIZATION_REQUEST, "invalid_request", before.to_string()),
        Err(e) => stored(&e),
    }
}

pub(crate) fn stored(e: &StoreError) -> OauthError {
    OauthError::new(problem::STORE_FAILED, "temporarily_unavailable", e.to_string())
}

/// The entry of an answer: who said what to whom.
pub(crate) fn draft(now: Timestamp, by: &SignedIn, question: &Question<'_>, consent: Option<&Consent>) -> Draft {
    let agent = question.slot.agent();
    let limits = consent.map_or(question.limits, |consent| &consent.limits);
    let after = serde_json::json!({
        "client": question.client.id, "resource": question.resource, "limits": limits, "login": by.login,
        "until": consent.map(|consent| consent.until.rfc3339()),
    });
    let change = Change {
        noun: "consent".into(),
        id: agent.name.clone(),
        verb: if consent.is_some() { "allow" } else { "deny" }.into(),
        after: canonical(&after).ok().map(|json| String::from_utf8_lossy(&json).into_owned()),
    };
    let who = Who {
        human: Some(by.person.name.clone()),
        agent: Some(agent.id.to_string()),
        name: Some(agent.name.clone()),
        ..Who::default()
    };
    Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }
}

/// The S256 transformation (RFC 7636, section 4.2).
pub(crate) fn challenge_of(verifier: &str) -> String {
    encode(&sha256(verifier.as_bytes()))
}

/// A thumbprint as it stands in `dpop_jkt`.
pub(crate) fn thumbprint(text: &str) -> Option<Hash> {
    crate::jose::decode_array(text).ok()
}
