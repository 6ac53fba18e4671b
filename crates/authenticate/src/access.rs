//! Our access tokens (RFC 9068).

use std::sync::Arc;

use chancery_model::{Agent, Session, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::directory::{AgentSlot, Directory, SessionSlot};
use crate::jose::{Compact, KeyRefused, NumericDate, Text, claims, decode_array};
use crate::keys::TokenKeys;
use crate::refused::Reason;

/// The `typ` of an access token.
pub(crate) const TYP: &str = "at+jwt";

/// What goes into a token.
#[derive(Serialize)]
pub(crate) struct Issue<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    nbf: i64,
    jti: &'a str,
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirm<'a>>,
}

#[derive(Serialize)]
struct Confirm<'a> {
    jkt: &'a str,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
    #[serde(borrow)]
    sub: Text<'a>,
    #[serde(borrow)]
    aud: Text<'a>,
    exp: NumericDate,
    nbf: NumericDate,
    #[serde(borrow)]
    jti: Text<'a>,
    #[serde(borrow)]
    sid: Text<'a>,
    #[serde(borrow, default)]
    cnf: Option<Confirmation<'a>>,
}

#[derive(Deserialize)]
struct Confirmation<'a> {
    #[serde(borrow)]
    jkt: Text<'a>,
}

/// What one token is about.
pub(crate) struct Terms<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) agent: &'a Agent,
    pub(crate) session: &'a Session,
    pub(crate) id: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) expires: Timestamp,
    /// Thumbprint of the key its use must be proved with; none for a bearer token.
    pub(crate) jkt: Option<&'a str>,
}

impl Terms<'_> {
    /// The signed token.
    pub(crate) fn sign(&self, keys: &TokenKeys) -> Result<String, KeyRefused> {
        let claims = Issue {
            iss: self.issuer,
            sub: self.agent.id.as_str(),
            client_id: self.agent.id.as_str(),
            aud: self.audience,
            exp: self.expires.seconds(),
            iat: self.now.seconds(),
            nbf: self.now.seconds(),
            jti: self.id,
            sid: self.session.id.as_str(),
            cnf: self.jkt.map(|jkt| Confirm { jkt }),
        };
        keys.signing.sign_jws(&keys.header, &claims)
    }
}

/// A token whose signature and claims were verified once. What can change since is behind the slots.
pub(crate) struct Access {
    pub(crate) id: Arc<str>,
    pub(crate) audience: String,
    pub(crate) not_before: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) jkt: Option<[u8; 32]>,
    pub(crate) agent: Arc<AgentSlot>,
    pub(crate) session: Arc<SessionSlot>,
}

impl Access {
    /// Verifies a token of ours.
    pub(crate) fn verify(token: &str, keys: &TokenKeys, issuer: &str, directory: &Directory) -> Result<Self, Reason> {
        let bad = |e: crate::jose::JoseError| Reason::token(e.to_string());
        let jws = Compact::parse(token).map_err(bad)?;
        let header = jws.header().map_err(bad)?;
        header.demand_type(TYP).map_err(bad)?;
        header.refuse_jwk().map_err(bad)?;
        let kid = header.kid.as_deref().unwrap_or("");
        let key = keys.verifying(kid).ok_or_else(|| Reason::token("it was not signed by a current key of ours"))?;
        let payload = jws.verify(&header, key).map_err(bad)?;
        let claims: Claims<'_> = claims(&payload).map_err(bad)?;
        if &*claims.iss != issuer {
            return Err(Reason::token("another issuer made it"));
        }
        Self::of(&claims, directory)
    }

    fn of(claims: &Claims<'_>, directory: &Directory) -> Result<Self, Reason> {
        let agent = directory.agent(&claims.sub).ok_or_else(|| Reason::token("its agent is unknown"))?;
        let sid = claims.sid.parse::<SessionId>().map_err(|_| Reason::token("its session is not one"))?;
        let session = directory.session(&sid).filter(|slot| slot.session().agent == agent.agent().id);
        let session = session.ok_or_else(|| Reason::session("the session is over"))?;
        let jkt = claims.cnf.as_ref().map(|cnf| decode_array::<32>(&cnf.jkt)).transpose();
        Ok(Self {
            id: (&*claims.jti).into(),
            audience: claims.aud.to_string(),
            not_before: claims.nbf.timestamp(),
            expires: claims.exp.timestamp(),
            jkt: jkt.map_err(|_| Reason::token("its `cnf` is not a thumbprint"))?,
            agent,
            session,
        })
    }
}
