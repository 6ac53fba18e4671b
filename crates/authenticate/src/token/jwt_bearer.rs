//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523, section 2.1): a platform's token for one of ours,
//! without any secret (MCP SEP-1933, workload identity federation). What an identity provider says of a person is judged in
//! [`super::identity_assertion`].

use chancery_model::problem;

use super::identity_assertion::is_identity_assertion;
use super::{Call, OauthError, TokenBody};
use crate::authenticator::Authenticator;

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl Authenticator {
    /// The assertion says who asks; `client_id` may say it too.
    pub(super) async fn jwt_bearer(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let form = &call.form;
        let assertion = form.needed("assertion")?;
        if is_identity_assertion(assertion) {
            form.refuse_scope()?;
            return self.identity_asserted(call, assertion).await;
        }
        let other = form.one("client_assertion")?.is_some() || form.one("client_secret")?.is_some();
        if other || call.request.authorization.is_some() {
            let why = "the platform's token is all that is needed: send no other authentication beside it";
            return Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_request", why));
        }
        let own = self.own_request(call)?;
        let client = self.by_platform(assertion, form.one("client_id")?).await?;
        self.for_itself(call, own, client).await
    }
}
