//! A client that a platform vouches for (RFC 7523, section 2.2, with an assertion of another issuer): see
//! [`crate::federation`].

use serde::Deserialize;

use super::{Client, Method};
use crate::authenticator::Authenticator;
use crate::jose::{Compact, Text, claims};
use crate::token::OauthError;

#[derive(Deserialize)]
struct Hearsay<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
}

impl Authenticator {
    /// Does this say that it is from an issuer that a trust source is about? Agents write their own name there.
    pub(super) fn is_of_platform(&self, assertion: &str) -> bool {
        let Ok(payload) = Compact::parse(assertion).and_then(|jws| jws.hearsay()) else { return false };
        claims::<Hearsay<'_>>(&payload).is_ok_and(|named| !self.federation.sources.of_issuer(&named.iss).is_empty())
    }

    /// The agent that the platform's token speaks for.
    pub(crate) async fn by_platform(&self, assertion: &str, client_id: Option<&str>) -> Result<Client, OauthError> {
        let attested = self.attested(assertion, client_id).await?;
        let method = Method::Platform { detail: attested.detail(), instance: attested.instance };
        Ok(Client { slot: attested.slot, method })
    }
}
