//! `grant_type=urn:ietf:params:oauth:grant-type:device_code` (RFC 8628, section 3.4): a device asks whether its person
//! answered.

use chancery_model::problem;
use chancery_store::{StoreError, device_codes};

use super::authorization_code::{Redeemed, holds, overtaken, refused};
use super::{Call, OauthError, TokenBody};
use crate::authenticator::Authenticator;
use crate::consent::{DEVICE_CODE, stored};
use crate::jose::sha256;
use crate::sessions::Beside;

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl Authenticator {
    /// Opens the session that a person allowed, or says how far they are.
    pub(super) async fn device_code(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let now = self.clock.now();
        let hash = sha256(call.form.needed("device_code")?.as_bytes());
        let known = self.known_client(call).await?;
        let found = device_codes::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
        let code = found.filter(|code| code.client == known.id);
        let code = code.ok_or_else(|| refused("the device code is wrong, or another client's"))?;
        holds(call, code.key.as_ref())?;
        if let Some(session) = &code.session {
            self.end_family(session, "a device code was used twice").await?;
            return Err(refused("it was used before: the session that it opened is ended"));
        }
        let not_yet = |error, why: &str| Err(OauthError::new(problem::NOT_ALLOWED_YET, error, why));
        if self.polls.too_early(&hash, now) {
            return not_yet("slow_down", "wait five seconds longer between two questions");
        }
        let (answered, allowed) = (code.answered_at.is_some(), code.consent);
        if now >= code.expires_at {
            return not_yet("expired_token", "nobody allowed it in time: start again");
        }
        let consent = match allowed {
            Some(consent) => consent,
            None if answered => return not_yet("access_denied", "the person did not allow it"),
            None => return not_yet("authorization_pending", "the person has not answered yet"),
        };
        known.client.slot.refuse_older(code.expires_at - DEVICE_CODE).map_err(overtaken)?;
        let resource = self.granted_resource(call, &consent)?;
        let binding = self.binding(call, &known.client)?;
        let redeem: Beside = Box::new(move |tx, session| {
            let id = session.id.clone();
            Box::pin(async move {
                match device_codes::redeem(tx, &hash, &id).await? {
                    true => Ok(()),
                    false => Err(StoreError::refuse(Redeemed)),
                }
            })
        });
        let opened = self.open_allowed(call, &known, &consent, resource, binding, redeem).await;
        if opened.is_err() {
            let now = device_codes::get(&self.store, &hash).await.map_err(|e| stored(&e))?;
            self.end_taken(now.and_then(|code| code.session)).await?;
        }
        opened
    }
}
