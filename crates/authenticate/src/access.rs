//! Our access tokens (RFC 9068), with the chain of those who act (RFC 8693, section 4.1).

use std::sync::Arc;

use chancery_model::{AgentId, Limit, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::directory::{Directory, SessionSlot};
use crate::jose::{Compact, KeyRefused, NumericDate, Text, claims, decode_array, encode};
use crate::keys::TokenKeys;
use crate::lineage::{Act, Lineage};
use crate::refused::Reason;

/// The `typ` of an access token.
pub(crate) const TYP: &str = "at+jwt";

/// What goes into a token.
#[derive(Serialize)]
struct Issue<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    nbf: i64,
    jti: &'a str,
    sid: &'a str,
    /// The running copy, as the agent named it: the record has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
    #[serde(skip_serializing_if = "Option::is_none")]
    may_act: Option<Sub>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<&'a [Limit]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirm>,
}

/// Somebody by id.
#[derive(Debug, Serialize)]
pub(crate) struct Sub {
    pub(crate) sub: String,
}

/// The `cnf` claim (RFC 7800): `jkt` of RFC 9449, section 6.1, or `x5t#S256` of RFC 8705, section 3.1.
#[derive(Debug, Serialize)]
pub(crate) struct Confirm {
    #[serde(skip_serializing_if = "Option::is_none")]
    jkt: Option<String>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    aud: Text<'a>,
    exp: NumericDate,
    nbf: NumericDate,
    #[serde(borrow)]
    jti: Text<'a>,
    #[serde(borrow)]
    sid: Text<'a>,
    #[serde(borrow, default)]
    may_act: Option<MayAct<'a>>,
    #[serde(borrow, default)]
    scope: Option<Text<'a>>,
    #[serde(borrow, default)]
    cnf: Option<Confirmation<'a>>,
}

#[derive(Deserialize)]
struct MayAct<'a> {
    #[serde(borrow)]
    sub: Text<'a>,
}

#[derive(Deserialize)]
struct Confirmation<'a> {
    #[serde(borrow, default)]
    jkt: Option<Text<'a>>,
    #[serde(borrow, default, rename = "x5t#S256")]
    certificate: Option<Text<'a>>,
}

/// What the use of a token must be proved with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// The key with this RFC 7638 thumbprint, by a DPoP proof.
    Key([u8; 32]),
    /// The certificate of this SHA-256, by the connection it comes over.
    Certificate([u8; 32]),
}

/// What one token is about.
pub(crate) struct Terms<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) session: &'a SessionSlot,
    pub(crate) id: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) expires: Timestamp,
    /// What its use must be proved with; none for a bearer token.
    pub(crate) binding: Option<Binding>,
    /// The agent that may exchange it to act for the session's.
    pub(crate) may_act: Option<&'a AgentId>,
    /// What it may be used for, at a resource that has scopes.
    pub(crate) scope: Option<&'a str>,
}

impl Terms<'_> {
    /// The signed token.
    pub(crate) fn sign(&self, keys: &TokenKeys) -> Result<String, KeyRefused> {
        let (session, lineage) = (self.session.session(), Lineage::of(self.session));
        let claims = Issue {
            iss: self.issuer,
            sub: lineage.subject(),
            client_id: session.agent.as_str(),
            aud: self.audience,
            exp: self.expires.seconds(),
            iat: self.now.seconds(),
            nbf: self.now.seconds(),
            jti: self.id,
            sid: session.id.as_str(),
            instance: session.instance.as_deref(),
            act: lineage.act(),
            may_act: self.may_act.map(|agent| Sub { sub: agent.to_string() }),
            authorization_details: lineage.limits.first().map(|limits| &**limits),
            scope: self.scope,
            cnf: self.binding.map(Confirm::from),
        };
        keys.signing.sign_jws(&keys.header, &claims)
    }
}

impl From<Binding> for Confirm {
    fn from(binding: Binding) -> Self {
        match binding {
            Binding::Key(jkt) => Self { jkt: Some(encode(&jkt)), certificate: None },
            Binding::Certificate(digest) => Self { jkt: None, certificate: Some(encode(&digest)) },
        }
    }
}

/// A token whose signature and claims were verified once. What can change since is behind the slots.
pub(crate) struct Access {
    /// The key that signed it: the token is worth nothing once that key verifies no more.
    pub(crate) kid: Box<str>,
    pub(crate) id: Arc<str>,
    pub(crate) audience: String,
    pub(crate) not_before: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) binding: Option<Binding>,
    /// The agent that may exchange it to act for the session's.
    pub(crate) may_act: Option<AgentId>,
    /// What it may be used for, at a resource that has scopes.
    pub(crate) scope: Option<Arc<str>>,
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
        Self::of(kid, &claims, directory)
    }

    fn of(kid: &str, claims: &Claims<'_>, directory: &Directory) -> Result<Self, Reason> {
        let sid = claims.sid.parse::<SessionId>().map_err(|_| Reason::token("its session is not one"))?;
        let session = directory.session(&sid).filter(|slot| slot.session().agent.as_str() == &*claims.client_id);
        let may_act = claims.may_act.as_ref().map(|may| may.sub.parse()).transpose();
        Ok(Self {
            kid: kid.into(),
            id: (&*claims.jti).into(),
            audience: claims.aud.to_string(),
            not_before: claims.nbf.timestamp(),
            expires: claims.exp.timestamp(),
            binding: claims.cnf.as_ref().map(binding).transpose()?,
            may_act: may_act.map_err(|_| Reason::token("its `may_act` is not an agent"))?,
            scope: claims.scope.as_ref().map(|scope| (&**scope).into()),
            session: session.ok_or_else(|| Reason::session("the session is over"))?,
        })
    }
}

fn binding(cnf: &Confirmation<'_>) -> Result<Binding, Reason> {
    let bad = |_| Reason::token("its `cnf` is not a thumbprint");
    match (&cnf.jkt, &cnf.certificate) {
        (Some(jkt), None) => decode_array(jkt).map(Binding::Key).map_err(bad),
        (None, Some(digest)) => decode_array(digest).map(Binding::Certificate).map_err(bad),
        _ => Err(Reason::token("its `cnf` is neither a key nor a certificate")),
    }
}
