//! `client_secret_basic` and `client_secret_post` (RFC 6749, section 2.3.1), for agents that cannot hold a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_model::problem;

use super::{Client, Method};
use crate::authenticator::Authenticator;
use crate::jose::sha256;
use crate::token::OauthError;

impl Authenticator {
    /// `Authorization: Basic`: both halves are form-encoded before they are joined.
    pub(super) fn by_basic(&self, header: &str, client_id: Option<&str>) -> Result<Client, OauthError> {
        let unreadable = || refuse("the `Authorization` header is not `Basic` with a client id and a secret");
        let (scheme, text) = header.split_once(' ').ok_or_else(unreadable)?;
        let bytes = STANDARD.decode(text.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unreadable)?;
        let (name, secret) = text.split_once(':').ok_or_else(unreadable)?;
        // Ids, names and secrets of ours have nothing in them that form encoding changes, but for the colon of a URL.
        if client_id.is_some_and(|id| id != name) {
            return Err(refuse("`client_id` is not the one of the `Authorization` header"));
        }
        self.by_secret(name, secret)
    }

    /// The agent of this name, if the secret is a live one of its own.
    pub(super) fn by_secret(&self, name: &str, secret: &str) -> Result<Client, OauthError> {
        let (now, hash) = (self.clock.now(), sha256(secret.as_bytes()));
        let known = self.directory.secret(&hash).filter(|known| known.is_live(now));
        let slot = self.directory.agent(name);
        // One answer for all that can be wrong: it tells nothing of who exists.
        let slot = match (slot, known) {
            (Some(slot), Some(known)) if slot.agent().id == known.agent => slot,
            _ => return Err(refuse("the secret is not a live one of an agent of that name")),
        };
        slot.demand_active(now).map_err(|reason| OauthError::new(reason.row, "invalid_client", reason.why))?;
        Ok(Client { slot, method: Method::Secret })
    }
}

fn refuse(why: &str) -> OauthError {
    OauthError::new(problem::BAD_CLIENT, "invalid_client", why)
}
