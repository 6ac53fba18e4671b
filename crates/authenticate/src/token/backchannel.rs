//! `grant_type=urn:openid:params:grant-type:ciba` (OpenID CIBA Core 1.0, sections 10.1 and 11): a client asks whether the
//! person it named has answered.

use chancery_model::problem;
use chancery_store::{StoreError, backchannel};

use super::authorization_code::{Redeemed, holds, overtaken, refused};
use super::{Call, OauthError, TokenBody};
use crate::authenticator::Authenticator;
use crate::consent::stored;
use crate::jose::sha256;
use crate::sessions::Beside;

pub(super) const GRANT: &str = "urn:openid:params:grant-type:ciba";

impl Authenticator {
    /// Opens the session that a person allowed, or says how far they are.
    pub(super) async fn backchannel_grant(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let now = self.clock.now();
        let hash = sha256(call.form.needed("auth_req_id")?.as_bytes());
        let known = self.known_client(call).await?;
        let found = backchannel::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
        let asked = found.filter(|asked| asked.client == known.id);
        let asked = asked.ok_or_else(|| refused("the `auth_req_id` is wrong, or another client's"))?;
        holds(call, asked.key.as_ref())?;
        if let Some(session) = &asked.session {
            self.end_family(session, "an auth_req_id was used twice").await?;
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
            None if asked.answered_at.is_some() => return not_yet("access_denied", "the person did not allow it"),
            None => return not_yet("authorization_pending", "the person has not answered yet"),
        };
        known.client.slot.refuse_older(asked.created_at).map_err(overtaken)?;
        let resource = self.granted_resource(call, &consent)?;
        let binding = self.binding(call, &known.client)?;
        let redeem: Beside = Box::new(move |tx, session| {
            let id = session.id.clone();
            Box::pin(async move {
                match backchannel::redeem(tx, &hash, &id).await? {
                    true => Ok(()),
                    false => Err(StoreError::refuse(Redeemed)),
                }
            })
        });
        let opened = self.open_allowed(call, &known, &consent, resource, binding, redeem).await;
        if opened.is_err() {
            let now = backchannel::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
            self.end_taken(now.and_then(|asked| asked.session)).await?;
        }
        opened
    }
}
