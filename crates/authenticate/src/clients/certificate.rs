//! `self_signed_tls_client_auth` and `tls_client_auth` (RFC 8705, section 2): the connection shows who the client is.

use chancery_model::problem;

use super::{Client, Method};
use crate::authenticator::Authenticator;
use crate::certificates::is_meant;
use crate::shown::ShownCertificates;
use crate::token::OauthError;

impl Authenticator {
    /// The agent of this name, if the connection's certificate is its own.
    pub(super) fn by_certificate(&self, shown: &ShownCertificates, name: &str) -> Result<Client, OauthError> {
        let now = self.clock.now();
        let roots = self.config.clients.as_ref().map(|clients| clients.roots.as_slice()).unwrap_or_default();
        let slot = self.directory.agent(name);
        let known = slot.as_ref().and_then(|slot| self.directory.certificate(&slot.agent().id));
        // One answer for all that can be wrong: it tells nothing of who exists.
        let slot = match (slot, known) {
            (Some(slot), Some(known)) if is_meant(shown, &known.rule, roots, now) => slot,
            _ => {
                let why = "the certificate of this connection is not the one of an agent of that name";
                return Err(OauthError::new(problem::BAD_CLIENT, "invalid_client", why));
            }
        };
        slot.demand_active(now).map_err(|reason| OauthError::new(reason.row, "invalid_client", reason.why))?;
        Ok(Client { slot, method: Method::Certificate })
    }
}
