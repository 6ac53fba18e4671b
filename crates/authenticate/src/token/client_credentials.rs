//! `grant_type=client_credentials` (OAuth 2.1 draft, section 4.2): an agent that acts for itself, or goes on with a
//! session of its own, whoever stands at its root.

use chancery_model::{Limit, Stated};

use super::form::request;
use super::{Call, OauthError, TokenBody, Wanted};
use crate::authenticator::Authenticator;
use crate::clients::Client;
use crate::sessions::Opening;

pub(super) const GRANT: &str = "client_credentials";

/// What an agent asks for itself, read before anything is used up.
pub(super) struct Own<'a> {
    audience: &'a str,
    scope: Option<String>,
    sid: Option<&'a str>,
    instance: Option<&'a str>,
    purpose: Option<&'a str>,
    limits: Vec<Limit>,
    manifest: Option<Stated>,
}

impl Authenticator {
    /// Opens a session, or goes on with the one that `sid` names.
    pub(super) async fn client_credentials(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let own = self.own_request(call)?;
        let client = self.client(call).await?;
        self.for_itself(call, own, client).await
    }

    pub(super) fn own_request<'a>(&'a self, call: &Call<'a>) -> Result<Own<'a>, OauthError> {
        let form = &call.form;
        if form.one("sid")?.is_some() && (!form.limits()?.is_empty() || form.purpose()?.is_some()) {
            return Err(request(
                "`sid` goes on with a session as it is: exchange a token of it to open a narrower task",
            ));
        }
        let (audience, scope) = self.scoped(form)?;
        Ok(Own {
            audience,
            scope,
            sid: form.one("sid")?,
            instance: form.instance()?,
            purpose: form.purpose()?,
            limits: form.limits()?,
            manifest: form.manifest()?,
        })
    }

    pub(super) async fn for_itself(
        &self,
        call: &Call<'_>,
        own: Own<'_>,
        client: Client,
    ) -> Result<TokenBody, OauthError> {
        let binding = self.binding(call, &client)?;
        let session = match own.sid {
            Some(sid) => self.continue_session(&client.slot, sid, own.manifest.as_ref()).await?,
            None => {
                let opening = Opening {
                    instance: own.instance.or(client.instance()),
                    purpose: own.purpose,
                    limits: own.limits,
                    manifest: own.manifest.as_ref(),
                    detail: client.detail(),
                    ..Opening::of(&client.slot)
                };
                self.open_session(opening).await?
            }
        };
        let wanted = Wanted { audience: own.audience, binding, until: client.until(), may_act: None, scope: own.scope };
        self.issue(&session, &wanted)
    }
}
