//! `grant_type=client_credentials` (OAuth 2.1 draft, section 4.2): an agent that acts for itself, or goes on with a
//! session of its own, whoever stands at its root.

use super::{Call, OauthError, TokenBody, Wanted};
use crate::authenticator::Authenticator;
use crate::sessions::Opening;

pub(super) const GRANT: &str = "client_credentials";

impl Authenticator {
    /// Opens a session, or goes on with the one that `sid` names.
    pub(super) async fn client_credentials(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let audience = self.resource(&call.form)?;
        let (sid, instance) = (call.form.one("sid")?, call.form.instance()?);
        let (limits, purpose, manifest) = (call.form.limits()?, call.form.purpose()?, call.form.manifest()?);
        let client = self.client(call)?;
        let binding = self.binding(call, &client)?;
        let session = match sid {
            Some(sid) => self.continue_session(&client.slot, sid, manifest.as_ref()).await?,
            None => {
                let manifest = manifest.as_ref();
                let detail = client.detail();
                let opening = Opening { instance, manifest, purpose, limits, detail, ..Opening::of(&client.slot) };
                self.open_session(opening).await?
            }
        };
        self.issue(&session, &Wanted { audience, binding, until: None, may_act: None })
    }
}
