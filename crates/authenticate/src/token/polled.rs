//! Grants whose client asks again and again whether a person has answered:
//! `urn:ietf:params:oauth:grant-type:device_code` (RFC 8628, section 3.4) and `urn:openid:params:grant-type:ciba` (OpenID
//! CIBA Core 1.0, sections 10.1 and 11).

use chancery_model::{Consent, Hash, SessionId, Timestamp, problem};
use chancery_store::{Store, StoreError, Tx, backchannel, device_codes};

use super::authorization_code::{Redeemed, holds, overtaken, refused};
use super::{Call, OauthError, TokenBody};
use crate::authenticator::Authenticator;
use crate::consent::{DEVICE_CODE, stored};
use crate::jose::sha256;
use crate::sessions::Beside;

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Polled {
    Device,
    Backchannel,
}

/// What is known of a question, whichever it is.
struct Asked {
    client: String,
    key: Option<Hash>,
    at: Timestamp,
    expires_at: Timestamp,
    answered: bool,
    consent: Option<Consent>,
    session: Option<SessionId>,
}

impl Polled {
    pub(super) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    pub(super) const BACKCHANNEL: &str = "urn:openid:params:grant-type:ciba";

    /// The parameter that names the question.
    fn parameter(self) -> &'static str {
        match self {
            Self::Device => "device_code",
            Self::Backchannel => "auth_req_id",
        }
    }

    fn twice(self) -> &'static str {
        match self {
            Self::Device => "a device code was used twice",
            Self::Backchannel => "an auth_req_id was used twice",
        }
    }

    async fn find(self, store: &Store, hash: &Hash) -> Result<Option<Asked>, StoreError> {
        Ok(match self {
            Self::Device => device_codes::get(store, hash).await?.map(|found| Asked {
                client: found.client,
                key: found.key,
                at: found.expires_at - DEVICE_CODE,
                expires_at: found.expires_at,
                answered: found.answered_at.is_some(),
                consent: found.consent,
                session: found.session,
            }),
            Self::Backchannel => backchannel::get(store, hash).await?.map(|found| Asked {
                client: found.client,
                key: found.key,
                at: found.created_at,
                expires_at: found.expires_at,
                answered: found.answered_at.is_some(),
                consent: found.consent,
                session: found.session,
            }),
        })
    }

    async fn redeem(self, tx: &mut Tx, hash: &Hash, session: &SessionId) -> Result<(), StoreError> {
        let first = match self {
            Self::Device => device_codes::redeem(tx, hash, session).await?,
            Self::Backchannel => backchannel::redeem(tx, hash, session).await?,
        };
        if first { Ok(()) } else { Err(StoreError::refuse(Redeemed)) }
    }
}

impl Authenticator {
    /// Opens the session that a person allowed, or says how far they are.
    pub(super) async fn polled(&self, polled: Polled, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let (now, name) = (self.clock.now(), polled.parameter());
        let hash = sha256(call.form.needed(name)?.as_bytes());
        let known = self.known_client(call).await?;
        let found = polled.find(&self.store, &hash).await.map_err(|e| stored(&e))?;
        let asked = found.filter(|asked| asked.client == known.id);
        let asked = asked.ok_or_else(|| refused(format!("the `{name}` is wrong, or another client's")))?;
        holds(call, asked.key.as_ref())?;
        if let Some(session) = &asked.session {
            self.end_family(session, polled.twice()).await?;
            return Err(refused("it was used before: the session that it opened is ended"));
        }
        let not_yet = |error, why: &str| Err(OauthError::new(problem::NOT_ALLOWED_YET, error, why));
        if self.polls.too_early(&hash, now) {
            return not_yet("slow_down", "wait five seconds longer between two questions");
        }
        if now >= asked.expires_at {
            return not_yet("expired_token", "nobody allowed it in time: start again");
        }
        let consent = match asked.consent {
            Some(consent) => consent,
            None if asked.answered => return not_yet("access_denied", "the person did not allow it"),
            None => return not_yet("authorization_pending", "the person has not answered yet"),
        };
        known.client.slot.refuse_older(asked.at).map_err(overtaken)?;
        let resource = self.granted_resource(call, &consent)?;
        let binding = self.binding(call, &known.client)?;
        let redeem: Beside = Box::new(move |tx, session| {
            let id = session.id.clone();
            Box::pin(async move { polled.redeem(tx, &hash, &id).await })
        });
        let opened = self.open_allowed(call, &known, &consent, resource, binding, redeem).await;
        if opened.is_err() {
            let now = polled.find(&self.store, &hash).await.map_err(|e| stored(&e))?;
            self.end_taken(now.and_then(|asked| asked.session)).await?;
        }
        opened
    }
}
