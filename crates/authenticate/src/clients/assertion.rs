//! `private_key_jwt` (RFC 7523, section 2.2): an agent proves at the token endpoint that it is itself, with its enrolled
//! key; or a client that states itself, with a key of its document.

use std::sync::Arc;

use chancery_fetch::Target;
use chancery_model::{Timestamp, problem};
use serde::Deserialize;

use super::{Known, Method};
use crate::authenticator::Authenticator;
use crate::directory::AgentSlot;
use crate::federation::{Missing, Untaken, busy};
use crate::jose::{Algorithm, Compact, Header, Jwk, NumericDate, Policy, PublicKey, Text, claims, sha256};
use crate::replay::Replayed;
use crate::token::OauthError;

/// The longest `jti` that is taken, in bytes.
const LONGEST_JTI: usize = 256;
/// What helps is to ask again, a few seconds after the server's start.
pub(crate) const BEFORE_START: &str = "`iat` is from before the server's start: make a new assertion";

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
    #[serde(borrow)]
    sub: Text<'a>,
    #[serde(borrow)]
    aud: Text<'a>,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(borrow)]
    jti: Text<'a>,
}

/// Only who it says it is from, to find the key it has to be verified with.
#[derive(Deserialize)]
struct Hearsay<'a> {
    #[serde(borrow)]
    sub: Text<'a>,
}

impl Authenticator {
    /// The agent that signed this assertion. The assertion is used up.
    pub(super) async fn by_assertion(
        &self,
        assertion: &str,
        client_id: Option<&str>,
    ) -> Result<Arc<AgentSlot>, OauthError> {
        let now = self.clock.now();
        let jws = Compact::parse(assertion).map_err(|e| refuse(e.to_string()))?;
        let header = jws.header().map_err(|e| refuse(e.to_string()))?;
        check_header(&header)?;
        let (slot, key) = self.key_of(&named(&jws)?).ok_or_else(unknown)?;
        if header.kid.as_deref().is_some_and(|kid| kid != key.thumbprint_text()) {
            return Err(unknown());
        }
        let payload = jws.verify(&header, &key).map_err(|_| unknown())?;
        let claims: Claims<'_> = claims(&payload).map_err(|e| refuse(e.to_string()))?;
        self.check_claims(&claims, client_id, now)?;
        slot.demand_active(now).map_err(|reason| OauthError::new(reason.row, "invalid_client", reason.why))?;
        self.use_up(slot.agent().id.as_str(), &claims, now).await?;
        Ok(slot)
    }

    /// Does this say that it is from a client that states itself in a document?
    pub(super) fn is_of_document(&self, assertion: &str) -> bool {
        Compact::parse(assertion).is_ok_and(|jws| {
            named(&jws).is_ok_and(|name| Target::parse(&name).is_ok() && !self.is_of_platform(assertion))
        })
    }

    /// The client whose document names the key that signed this assertion. The assertion is used up.
    pub(super) async fn by_document_key(&self, assertion: &str, client_id: Option<&str>) -> Result<Known, OauthError> {
        let jws = Compact::parse(assertion).map_err(|e| refuse(e.to_string()))?;
        let header = jws.header().map_err(|e| refuse(e.to_string()))?;
        check_header(&header)?;
        let stated = self.stated(&named(&jws)?).await?;
        let origin = stated.keys.as_ref().ok_or_else(|| refuse("this client's document names no key: it is public"))?;
        let key = self.clients.keys.key(origin, header.kid.as_deref(), &header.alg).await.map_err(|e| match e {
            Missing::Unknown => refuse("the assertion is not signed by a key of the client's document"),
            Missing::Unavailable(why) => OauthError::new(problem::BAD_CLIENT_DOCUMENT, "invalid_client", why),
        })?;
        // Of other issuers RS256 is taken besides. Clients sign as agents do.
        if key.algorithm() == Algorithm::Rs256 {
            return Err(refuse("client assertions are signed with ES256 or EdDSA"));
        }
        let payload = jws.verify(&header, &key);
        let payload = payload.map_err(|_| refuse("the assertion is not signed by a key of the client's document"))?;
        let (claims, now): (Claims<'_>, _) = (claims(&payload).map_err(|e| refuse(e.to_string()))?, self.clock.now());
        self.check_claims(&claims, client_id, now)?;
        let known = self.acting(&stated.client, Method::DocumentKey)?;
        self.use_up(&known.id, &claims, now).await?;
        Ok(known)
    }

    fn key_of(&self, name: &str) -> Option<(Arc<AgentSlot>, Arc<PublicKey>)> {
        let slot = self.directory.agent(name)?;
        let agent = slot.agent();
        let text = agent.public_jwk.as_deref()?;
        let digest = sha256(text.as_bytes());
        if let Some(known) = self.enrolled.get(&digest) {
            return Some((slot, known));
        }
        let key = Arc::new(PublicKey::from_jwk(&Jwk::parse(text).ok()?, Policy::Agents).ok()?);
        self.enrolled.put(digest, key.clone());
        Some((slot, key))
    }

    fn check_claims(&self, claims: &Claims<'_>, client_id: Option<&str>, now: Timestamp) -> Result<(), OauthError> {
        let skew = self.config.skew;
        let (made, expires) = (claims.iat.timestamp(), claims.exp.timestamp());
        let wrong = if *claims.iss != *claims.sub || client_id.is_some_and(|id| id != &*claims.sub) {
            "`iss`, `sub` and `client_id` must be the same"
        } else if *claims.aud != *self.config.issuer {
            "`aud` must be the issuer, alone and letter by letter"
        } else if now >= expires + skew {
            "it expired"
        } else if expires > now + self.config.assertion_lifetime + skew {
            "`exp` is more than 5 minutes ahead"
        } else if made > now + skew || claims.nbf.is_some_and(|nbf| nbf.timestamp() > now + skew) {
            "`iat` or `nbf` is in the future"
        } else if made + self.config.assertion_lifetime < expires {
            "`exp` is more than 5 minutes after `iat`"
        } else if self.is_from_before(made, skew) {
            BEFORE_START
        } else if claims.jti.is_empty() || claims.jti.len() > LONGEST_JTI {
            "`jti` is empty or longer than 256 bytes"
        } else {
            return Ok(());
        };
        Err(refuse(wrong))
    }

    async fn use_up(&self, client: &str, claims: &Claims<'_>, now: Timestamp) -> Result<(), OauthError> {
        let dies = claims.exp.timestamp() + self.config.skew;
        self.take_once(&sha256(client.as_bytes()), &claims.jti, dies, now).await.map_err(|untaken| match untaken {
            Untaken::Replayed(Replayed::Full) => busy(Replayed::Full.to_string()),
            Untaken::Replayed(replayed) => refuse(format!("the client assertion cannot be taken: {replayed}")),
            Untaken::Store(why) => busy(why),
        })
    }
}

/// Who it says it is from. Nothing of it is believed yet.
fn named(jws: &Compact<'_>) -> Result<String, OauthError> {
    let hearsay = jws.hearsay().map_err(|e| refuse(e.to_string()))?;
    let named: Hearsay<'_> = claims(&hearsay).map_err(|e| refuse(e.to_string()))?;
    Ok(named.sub.to_string())
}

/// What is wrong whoever it is from. It is said before anybody is looked up, so that it tells nothing of who exists.
fn check_header(header: &Header<'_>) -> Result<(), OauthError> {
    header.refuse_jwk().map_err(|e| refuse(e.to_string()))?;
    let typ = header.typ.as_deref().unwrap_or("JWT");
    if !typ.eq_ignore_ascii_case("JWT") && typ != "client-authentication+jwt" {
        return Err(refuse("its `typ` is not that of a client assertion"));
    }
    Ok(())
}

fn refuse(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_CLIENT, "invalid_client", why.into())
}

/// One answer for "no such agent", "never enrolled" and "wrong key".
fn unknown() -> OauthError {
    refuse("the assertion is not signed by the enrolled key of an agent of that name")
}
