//! A client that a platform vouches for (RFC 7523, section 2.2, with an assertion of another issuer): see
//! [`crate::federation`]. SVIDs are such tokens of a SPIFFE trust domain (draft-ietf-oauth-spiffe-client-auth).

use serde::Deserialize;

use super::{Client, Method};
use crate::authenticator::Authenticator;
use crate::federation::Attested;
use crate::jose::{Compact, Text, claims};
use crate::shown::ShownCertificates;
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
        let attested = match self.federation.is_svid(assertion) && !self.is_of_platform(assertion) {
            true => self.attested_by_jwt_svid(assertion, client_id).await?,
            false => self.attested(assertion, client_id).await?,
        };
        Ok(vouched(attested))
    }

    /// The agent that a JWT-SVID logs in.
    pub(super) async fn by_jwt_svid(&self, svid: &str, client_id: Option<&str>) -> Result<Client, OauthError> {
        self.attested_by_jwt_svid(svid, client_id).await.map(vouched).map_err(as_client)
    }

    /// The agent that the X.509-SVID of the connection logs in.
    pub(super) async fn by_x509_svid(&self, shown: &ShownCertificates, id: &str) -> Result<Client, OauthError> {
        let (attested, ends) = self.attested_by_x509_svid(shown, id).await.map_err(as_client)?;
        let method = Method::X509Svid { detail: attested.detail(), instance: attested.instance, ends };
        Ok(Client { slot: attested.slot, method })
    }
}

fn vouched(attested: Attested) -> Client {
    let method = Method::Platform { detail: attested.detail(), instance: attested.instance };
    Client { slot: attested.slot, method }
}

/// What is wrong with a grant is wrong with a client where it authenticates one.
pub(super) fn as_client(e: OauthError) -> OauthError {
    match e.error {
        "invalid_grant" => OauthError { error: "invalid_client", ..e },
        _ => e,
    }
}
