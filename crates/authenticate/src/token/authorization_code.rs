//! `grant_type=authorization_code` (OAuth 2.1 draft, section 4.1.3; RFC 7636, section 4.6; RFC 9449, section 10).
//!
//! A code is redeemed once, for the session that opens with it, in one commit. Whoever redeems it has to be the client it
//! was given to, know the verifier, and hold the key it is bound to. All of that is checked before anything happens to the
//! code, so that a thief who lacks one of them cannot use it up for its owner; a few wrong verifiers are the end of it all
//! the same. Whoever has all of them and comes a second time shows that two hold what one should: the session ends.

use chancery_model::{Change, Consent, Covered, Draft, Kind, Limit, SessionId, Who, problem};
use chancery_store::StoreError;
use chancery_store::consents::{self, Code};

use super::refresh_token::Fresh;
use super::{Call, OauthError, TokenBody, Wanted};
use crate::access::Binding;
use crate::authenticator::Authenticator;
use crate::clients::Known;
use crate::consent::{CODE, challenge_of, stored};
use crate::jose::sha256;
use crate::refused::Reason;
use crate::sessions::{Beside, Opening, SessionError};

pub(super) const GRANT: &str = "authorization_code";

/// How many wrong verifiers a code survives.
const FAILURES: u64 = 4;

/// The code was redeemed by somebody else in this very moment.
#[derive(Debug, thiserror::Error)]
#[error("it was redeemed already")]
pub(super) struct Redeemed;

impl Authenticator {
    /// Opens the session that a person allowed.
    pub(super) async fn authorization_code(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let (form, now) = (&call.form, self.clock.now());
        let (text, verifier) = (form.needed("code")?, form.needed("code_verifier")?);
        let known = self.known_client(call).await?;
        let hash = sha256(text.as_bytes());
        let found = consents::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
        let code = found.filter(|code| code.consent.client == known.id).ok_or_else(unknown)?;
        self.verify(&code, verifier, &known).await?;
        if form.one("redirect_uri")?.is_some_and(|uri| uri != code.redirect_uri) {
            return Err(refused("`redirect_uri` is not the one that the code was sent to"));
        }
        holds(call, code.key.as_ref())?;
        if let Some(session) = &code.session {
            self.end_family(session, "a code was used twice").await?;
            return Err(refused("it was used before: the session that it opened is ended"));
        }
        if now >= code.expires_at {
            return Err(unknown());
        }
        known.client.slot.refuse_older(code.expires_at - CODE).map_err(overtaken)?;
        let resource = self.granted_resource(call, &code.consent)?;
        let binding = self.binding(call, &known.client)?;
        let redeem: Beside = Box::new(move |tx, session| {
            let id = session.id.clone();
            Box::pin(async move {
                match consents::redeem(tx, &hash, &id, now).await? {
                    true => Ok(()),
                    false => Err(StoreError::refuse(Redeemed)),
                }
            })
        });
        let opened = self.open_allowed(call, &known, &code.consent, resource, binding, redeem).await;
        if opened.is_err() {
            // Two at the same moment: what the first opened ends here too.
            let now = consents::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
            self.end_taken(now.and_then(|code| code.session)).await?;
        }
        opened
    }

    /// Ends the session of whoever was first.
    pub(super) async fn end_taken(&self, session: Option<SessionId>) -> Result<(), OauthError> {
        match session {
            Some(session) => self.end_family(&session, "a code was used twice at the same moment").await,
            None => Ok(()),
        }
    }

    /// The session of a person's yes, and its first token and refresh token.
    pub(super) async fn open_allowed(
        &self,
        call: &Call<'_>,
        known: &Known,
        consent: &Consent,
        resource: &str,
        binding: Option<Binding>,
        redeem: Beside,
    ) -> Result<TokenBody, OauthError> {
        let person = self.directory.person(&consent.person).map(|slot| slot.person());
        let person = person.filter(|person| person.is_active() && person.epoch == consent.person_epoch);
        let person = person.ok_or_else(|| refused("the person who allowed it is not active any more"))?;
        let slot = &known.client.slot;
        // A document may have been adopted for another agent since.
        if slot.agent().id != consent.agent || slot.epoch() != consent.agent_epoch {
            return Err(refused("the agent changed since it was allowed"));
        }
        let manifest = call.form.manifest()?;
        let fresh = Fresh::new(self, &known.id, binding, resource);
        let stored = fresh.as_ref().map(|fresh| fresh.stored.clone());
        let beside: Beside = Box::new(move |tx, session| {
            Box::pin(async move {
                redeem(&mut *tx, session).await?;
                match stored {
                    Some(fresh) => fresh.insert(tx, session).await,
                    None => Ok(()),
                }
            })
        });
        let opening = Opening {
            instance: call.form.instance()?,
            manifest: manifest.as_ref(),
            purpose: call.form.purpose()?,
            human: Some(person),
            client: Some(known.id.clone()),
            limits: consent.limits.clone(),
            until: Some(consent.until),
            present_at: Some(consent.present_at),
            detail: known.client.detail(),
            beside: Some(beside),
            ..Opening::of(slot)
        };
        let session = self.open_session(opening).await.map_err(redeemed)?;
        let wanted = Wanted { audience: resource, binding, until: None, may_act: None, scope: None };
        let body = self.issue(&session, &wanted)?;
        Ok(TokenBody { refresh_token: fresh.map(|fresh| fresh.token), ..body })
    }

    async fn verify(&self, code: &Code, verifier: &str, known: &Known) -> Result<(), OauthError> {
        let well_formed = (43..=128).contains(&verifier.len())
            && verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if code.failures > FAILURES {
            return Err(unknown());
        }
        if well_formed && challenge_of(verifier) == code.challenge {
            return Ok(());
        }
        let (agent, hash) = (known.client.slot.agent(), code.hash);
        let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
        let verb = "refuse_verifier".to_owned();
        let change = Change { noun: "consent".into(), id: agent.name.clone(), verb, after: None };
        let draft = Draft { kind: Kind::Change, at: self.clock.now(), who, change: Some(change), ..Draft::default() };
        let write = self.store.write(draft, move |tx| Box::pin(async move { consents::fail(tx, &hash).await }));
        write.await.map_err(|e| stored(&e))?;
        Err(refused("`code_verifier` does not belong to the code"))
    }

    /// The resource of the token: the one that was asked for, or another that the person's limits reach.
    pub(super) fn granted_resource<'a>(&self, call: &Call<'a>, consent: &'a Consent) -> Result<&'a str, OauthError> {
        let resource = match call.form.one("resource")? {
            Some(_) => self.resource(&call.form)?,
            None => consent.resource.as_str(),
        };
        self.refuse_unreached(resource, &consent.limits)?;
        Ok(resource)
    }

    /// A resource that was not granted cannot be asked for later.
    pub(super) fn refuse_unreached(&self, resource: &str, limits: &[Limit]) -> Result<(), OauthError> {
        let covered = |server| Limit::cover(limits, Covered::Server(server));
        if self.server_of(resource).is_some_and(covered) {
            return Ok(());
        }
        let why = "the person did not allow this `resource`";
        Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", why))
    }

    /// Ends a session because what it was opened or went on with was used twice.
    pub(super) async fn end_family(&self, session: &SessionId, why: &'static str) -> Result<(), OauthError> {
        let who = Who { human: Some("system".into()), ..Who::default() };
        self.end(session, who, Some(why)).await.map(drop).map_err(OauthError::from)
    }
}

/// The proof is by the key that the code is bound to.
pub(super) fn holds(call: &Call<'_>, key: Option<&[u8; 32]>) -> Result<(), OauthError> {
    let Some(key) = key else { return Ok(()) };
    if call.proof.as_ref().is_some_and(|proof| proof.key.thumbprint() == key) {
        return Ok(());
    }
    let why = "it is bound to another key than the proof's";
    Err(OauthError::new(problem::BAD_PROOF, "invalid_grant", why))
}

fn redeemed(e: SessionError) -> OauthError {
    match e {
        SessionError::Store(e) => match e.refusal::<Redeemed>() {
            Ok(redeemed) => refused(redeemed.to_string()),
            Err(e) => stored(&e),
        },
        other => other.into(),
    }
}

fn unknown() -> OauthError {
    refused("the code is wrong, expired, or another client's")
}

pub(super) fn refused(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_GRANT_TOKEN, "invalid_grant", why)
}

/// Something stopped what was to be exchanged for a token.
pub(crate) fn overtaken(reason: Reason) -> OauthError {
    let row = if reason.row == problem::CONTAINED { reason.row } else { problem::BAD_GRANT_TOKEN };
    OauthError::new(row, "invalid_grant", reason.why)
}
