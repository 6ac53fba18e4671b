//! People who are somewhere else (OpenID Client-Initiated Backchannel Authentication Core 1.0, poll mode): an agent names
//! the person it wants to act for; they are told, look at it with a browser of their own, and answer with a passkey.
//!
//! What comes of a yes is what comes of one in the browser: a consent, kept until the client redeems it.

use std::sync::Arc;

use chancery_model::{Agent, AskId, Change, Client, Draft, Kind, Limit, Person, Secret, Span, Who, canonical, problem};
use chancery_store::backchannel::{self, Backchannel};
use chancery_store::{StoreError, persons};
use serde::Serialize;

use super::{AnsweredBefore, Narrowed, Question, answered_before, draft, stored};
use crate::authenticator::Authenticator;
use crate::delegation::{Handing, Principal};
use crate::directory::AgentSlot;
use crate::jose::{encode, sha256};
use crate::people::SignedIn;
use crate::token::{Call, Form, OauthError, TokenRequest};

/// How long a person has, at the most and where nothing is said.
const LIFETIME: Span = super::DEVICE_CODE;
/// How long a client waits between two questions, at the least.
const INTERVAL: Span = Span::seconds(5);
/// How many of one client may wait.
const WAITING: u64 = 100;
/// How many may wait for one person: more would be read by nobody.
const ASKED: usize = 5;
/// How an `auth_req_id` begins, so that a leaked one is recognised.
const PREFIX: &str = "chy-ciba-";
/// The longest `binding_message`, in characters: it is to be read beside another one.
const MESSAGE: usize = 128;
/// How old the proof of a passkey may be.
const PROOF: Span = Span::minutes(5);

/// The JSON body of the answer to the client (section 7.3).
#[derive(Debug, Serialize)]
pub struct BackchannelBody {
    /// What the client asks with. Only it may see it.
    #[serde(serialize_with = "crate::token::shown")]
    pub auth_req_id: Secret,
    /// Seconds.
    pub expires_in: i64,
    /// Seconds between two questions.
    pub interval: i64,
}

/// A client's question, put to its person.
pub struct BackchannelAsked {
    slot: Arc<AgentSlot>,
    client: Arc<Client>,
    asked: Backchannel,
}

impl BackchannelAsked {
    /// Who is to act.
    pub fn agent(&self) -> Arc<Agent> {
        self.slot.agent()
    }

    /// The client that asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it asks for. Never empty.
    pub fn limits(&self) -> &[Limit] {
        &self.asked.limits
    }

    /// What the client shows its user at the same time.
    pub fn message(&self) -> Option<&str> {
        self.asked.message.as_deref()
    }

    fn question(&self) -> Question<'_> {
        Question { slot: &self.slot, client: &self.client, resource: &self.asked.resource, limits: &self.asked.limits }
    }
}

impl std::fmt::Debug for BackchannelAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackchannelAsked({})", self.asked.id)
    }
}

impl Authenticator {
    /// Takes a client's question to a person.
    ///
    /// # Errors
    /// Those of section 13.
    pub async fn backchannel(&self, request: &TokenRequest<'_>) -> Result<BackchannelBody, OauthError> {
        let answer = self.take_backchannel(request).await;
        answer.map_err(|e| OauthError { dpop_nonce: self.dpop.nonce(), ..e })
    }

    async fn take_backchannel(&self, request: &TokenRequest<'_>) -> Result<BackchannelBody, OauthError> {
        let form = Form(request.form);
        let call = Call { form, request, proof: self.proof(request)? };
        let client = self.known_client(&call).await?;
        if client.is_public() {
            let why = "a client that asks a person who is somewhere else authenticates: send its assertion or secret";
            return Err(OauthError::new(problem::BAD_CLIENT, "invalid_client", why));
        }
        form.refuse_scope()?;
        let message = plain(form)?;
        let resource = self.resource(&form)?;
        let limits = self.wanted_limits(&form, resource)?;
        let lasts = lasts(form)?;
        let agent = client.client.slot.agent();
        let person = self.hinted(form, &agent).await?;
        let now = self.clock.now();
        let waiting = backchannel::waiting(&self.store, &person.id, now).await.map_err(|e| stored(&e))?.len();
        if waiting >= ASKED
            || backchannel::waiting_of(&self.store, &client.id, now).await.map_err(|e| stored(&e))? >= WAITING
        {
            let why = "too many questions wait for their people";
            return Err(OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", why));
        }
        let key = call.proof.as_ref().map(|proof| {
            self.dpop.take(proof).map_err(crate::token::bad_proof)?;
            Ok::<_, OauthError>(*proof.key.thumbprint())
        });
        let name = format!("{PREFIX}{}", encode(&self.random.bytes::<32>()));
        let asked = Backchannel {
            id: AskId::new(now, &*self.random),
            hash: sha256(name.as_bytes()),
            client: client.id,
            agent: agent.id.clone(),
            person: person.id.clone(),
            resource: resource.to_owned(),
            limits,
            message,
            key: key.transpose()?,
            created_at: now,
            expires_at: now + lasts,
            answered_at: None,
            consent: None,
            session: None,
        };
        let draft = asking(&asked, &agent, &person);
        let write = self.store.write(draft, move |tx| Box::pin(async move { backchannel::insert(tx, &asked).await }));
        write.await.map_err(|e| stored(&e))?;
        Ok(BackchannelBody {
            auth_req_id: Secret::new(name),
            expires_in: lasts.as_seconds(),
            interval: INTERVAL.as_seconds(),
        })
    }

    /// The person that `login_hint` names (section 7.1): exactly one hint, and that one. Nobody is asked who may not let
    /// this agent act for them.
    async fn hinted(&self, form: Form<'_>, agent: &Agent) -> Result<Arc<Person>, OauthError> {
        for other in ["login_hint_token", "id_token_hint"] {
            if form.one(other)?.is_some() {
                return Err(crate::token::request(format!("`{other}` is not taken here: send `login_hint` alone")));
            }
        }
        let hint = form.needed("login_hint")?;
        let unknown = || OauthError::new(problem::UNKNOWN_USER, "unknown_user_id", "`login_hint` names nobody here");
        let person = persons::by_name(&self.store, hint).await.map_err(|e| stored(&e))?;
        let person = person.filter(Person::is_active).ok_or_else(unknown)?;
        let link = Handing { from: Principal::Human(&person.name), to: &agent.name, depth: 1, human: true };
        let may = self.delegations.load().may_delegate(&link);
        may.map_err(|why| OauthError::new(problem::MAY_NOT_DELEGATE, "access_denied", why))?;
        Ok(Arc::new(person))
    }

    /// The questions that wait for this person, the oldest first.
    pub async fn backchannel_waiting(&self, by: &SignedIn) -> Result<Vec<(AskId, BackchannelAsked)>, OauthError> {
        let found = backchannel::waiting(&self.store, &by.person.id, self.clock.now()).await;
        let mut waiting = Vec::new();
        for asked in found.map_err(|e| stored(&e))? {
            let Some(slot) = self.directory.agent_of(&asked.agent) else { continue };
            let client = self.known_as(&asked.client).await?;
            waiting.push((asked.id.clone(), BackchannelAsked { slot, client, asked }));
        }
        Ok(waiting)
    }

    /// One of them. Those of others are none.
    ///
    /// # Errors
    /// There is none of this name for this person, or somebody answered it, or it expired.
    pub async fn backchannel_asked(&self, id: &str, by: &SignedIn) -> Result<BackchannelAsked, OauthError> {
        let found = self.backchannel_waiting(by).await?.into_iter().find(|(known, _)| known.as_str() == id);
        let why = "there is none of this name that waits for you: it was answered, or expired";
        found.map(|(_, asked)| asked).ok_or_else(|| OauthError::new(problem::NO_QUESTION, "access_denied", why))
    }

    /// Has this person shown a passkey so lately that a yes of theirs counts?
    pub fn may_answer_backchannel(&self, by: &SignedIn) -> bool {
        by.is_proved(self.clock.now(), PROOF)
    }

    /// The person answers: yes with what stays of the question, or no. A yes takes a passkey.
    ///
    /// # Errors
    /// The rules do not let them, no passkey was shown, or they answered already.
    pub async fn answer_backchannel(
        &self,
        asked: &BackchannelAsked,
        by: &SignedIn,
        narrowed: Option<&Narrowed>,
    ) -> Result<(), OauthError> {
        let (question, now, hash) = (asked.question(), self.clock.now(), asked.asked.hash);
        if asked.asked.person != by.person.id {
            return Err(OauthError::new(problem::NO_QUESTION, "access_denied", "it is put to somebody else"));
        }
        if narrowed.is_some() && !self.may_answer_backchannel(by) {
            let why = "no passkey was shown within the last five minutes";
            return Err(OauthError::new(problem::NEEDS_PASSKEY, "access_denied", why));
        }
        let consent = narrowed.map(|narrowed| self.consent(&question, by, narrowed)).transpose()?;
        let draft = draft(now, by, &question, consent.as_ref());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                match backchannel::answer(tx, &hash, consent.as_ref(), now).await? {
                    true => Ok(()),
                    false => Err(StoreError::refuse(AnsweredBefore)),
                }
            })
        });
        write.await.map(drop).map_err(answered_before)
    }
}

/// What the person sees beside what the client shows its user (section 7.1). A text of a stranger: short, and of characters
/// that show.
fn plain(form: Form<'_>) -> Result<Option<String>, OauthError> {
    let bad = |why| OauthError::new(problem::BAD_BINDING_MESSAGE, "invalid_binding_message", why);
    let Some(text) = form.one("binding_message")? else { return Ok(None) };
    if text.chars().count() > MESSAGE {
        return Err(bad(format!("`binding_message` is longer than {MESSAGE} characters")));
    }
    let visible = |c: char| c == ' ' || c.is_alphanumeric() || c.is_ascii_graphic() || "–—‘’“”„€£…".contains(c);
    if let Some(hidden) = text.chars().find(|c| !visible(*c)) {
        return Err(bad(format!("`binding_message` has the character {}", hidden.escape_unicode())));
    }
    Ok(Some(text.to_owned()))
}

/// `requested_expiry`, not longer than people have.
fn lasts(form: Form<'_>) -> Result<Span, OauthError> {
    let Some(text) = form.one("requested_expiry")? else { return Ok(LIFETIME) };
    let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    let seconds =
        seconds.ok_or_else(|| crate::token::request("`requested_expiry` is not a positive number of seconds"))?;
    Ok(Span(Span::seconds(seconds.into()).0.min(LIFETIME.0)))
}

/// The entry of a question.
fn asking(asked: &Backchannel, agent: &Agent, person: &Person) -> Draft {
    let after = serde_json::json!({
        "agent": agent.name, "client": asked.client, "expires_at": asked.expires_at.rfc3339(), "limits": asked.limits,
        "message": asked.message, "person": person.name, "resource": asked.resource,
    });
    let change = Change {
        noun: "consent".into(),
        id: asked.id.to_string(),
        verb: "ask_elsewhere".into(),
        after: canonical(&after).ok().map(|json| String::from_utf8_lossy(&json).into_owned()),
    };
    let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
    Draft { kind: Kind::Change, at: asked.created_at, who, change: Some(change), ..Draft::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Result<Option<String>, OauthError> {
        plain(Form(&[("binding_message".to_owned(), text.to_owned())]))
    }

    #[test]
    fn a_message_is_short_and_shows() {
        assert_eq!(message("Überweisung W4SCT – 12.50 €").unwrap().as_deref(), Some("Überweisung W4SCT – 12.50 €"));
        for hidden in ["a\u{202e}b", "a\nb", "a\u{200b}b", "a\0b"] {
            assert_eq!(message(hidden).unwrap_err().error, "invalid_binding_message", "{hidden:?}");
        }
        assert!(message(&"x".repeat(MESSAGE)).is_ok() && message(&"x".repeat(MESSAGE + 1)).is_err());
    }

    #[test]
    fn nobody_has_longer_than_people_have() {
        let expiry = |text: &str| lasts(Form(&[("requested_expiry".to_owned(), text.to_owned())])).ok();
        assert_eq!(expiry("30"), Some(Span::seconds(30)));
        assert_eq!(expiry("86400"), Some(LIFETIME));
        assert_eq!([expiry("0"), expiry("-1"), expiry("soon")], [None, None, None]);
    }
}
