//! JWT-SVIDs (JWT-SVID, sections 2 to 5).

use chancery_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::SvidRefused;
use super::bundle::Bundle;
use super::id::SpiffeId;
use crate::jose::{Compact, Header, JoseError, NumericDate, Text, claims};

/// How far the clock of who made it may be ahead of ours.
const SKEW: Span = Span::seconds(5);

/// A JWT-SVID that was verified.
#[derive(Debug, Clone)]
pub struct JwtSvid {
    /// Who it names.
    pub id: SpiffeId,
    /// Whom it is for.
    pub audience: Vec<String>,
    /// From then on it is nothing.
    pub expires: Timestamp,
    /// Its name, where it has one.
    pub token_id: Option<String>,
    /// Everything it says.
    pub claims: Map<String, Value>,
}

/// The claims of one that we make.
#[derive(Serialize)]
pub(super) struct Issue<'a> {
    pub(super) sub: &'a str,
    pub(super) aud: &'a [String],
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) jti: &'a str,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    sub: Text<'a>,
    aud: Audience,
    exp: NumericDate,
    #[serde(default)]
    iat: Option<NumericDate>,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    jti: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Verifies a JWT-SVID of the bundle's trust domain that is for `audience` and for nobody else: one that somebody
/// else could send on as well is none to log in with.
///
/// # Errors
/// [`SvidRefused`] says what is wrong with it, in words that may be sent to whoever presented it.
pub fn verify_jwt_svid(token: &str, bundle: &Bundle, audience: &str, now: Timestamp) -> Result<JwtSvid, SvidRefused> {
    let svid = verify(token, bundle, now)?;
    if svid.audience != [audience] {
        return Err(SvidRefused::new(format!("its `aud` is not `{audience}` alone")));
    }
    Ok(svid)
}

/// The same where being one of several audiences is enough (section 5.3).
pub(super) fn verify_among(
    token: &str,
    bundle: &Bundle,
    audience: &str,
    now: Timestamp,
) -> Result<JwtSvid, SvidRefused> {
    let svid = verify(token, bundle, now)?;
    if !svid.audience.iter().any(|one| one == audience) {
        return Err(SvidRefused::new("it is for another audience"));
    }
    Ok(svid)
}

fn verify(token: &str, bundle: &Bundle, now: Timestamp) -> Result<JwtSvid, SvidRefused> {
    let jws = Compact::parse(token).map_err(bad)?;
    let header = jws.header().map_err(bad)?;
    check_header(&header)?;
    let kid = header.kid.as_deref().ok_or_else(|| SvidRefused::new("its header has no `kid`"))?;
    let unknown = || SvidRefused::new(format!("the bundle of `{}` has no key for it", bundle.domain()));
    let payload = jws.verify(&header, bundle.jwt_key(kid).ok_or_else(unknown)?).map_err(bad)?;
    let read: Claims<'_> = claims(&payload).map_err(bad)?;
    check_times(&read, now)?;
    let id: SpiffeId = read.sub.parse().map_err(|e| SvidRefused::new(format!("its `sub` is no SPIFFE ID: {e}")))?;
    if !id.is_workload_of(bundle.domain()) {
        return Err(SvidRefused::new(format!("its `sub` is no workload of `{}`", bundle.domain())));
    }
    let audience = match read.aud {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    };
    let expires = read.exp.timestamp();
    Ok(JwtSvid { id, audience, expires, token_id: read.jti, claims: claims(&payload).map_err(bad)? })
}

/// Section 2: `typ` is `JWT` or `JOSE` if it is there at all.
fn check_header(header: &Header<'_>) -> Result<(), SvidRefused> {
    header.refuse_jwk().map_err(bad)?;
    match header.typ.as_deref() {
        None | Some("JWT" | "JOSE") => Ok(()),
        Some(_) => Err(SvidRefused::new("its `typ` is neither `JWT` nor `JOSE`")),
    }
}

fn check_times(claims: &Claims<'_>, now: Timestamp) -> Result<(), SvidRefused> {
    if now >= claims.exp.timestamp() {
        return Err(SvidRefused::new("it expired"));
    }
    let ahead = |date: Option<NumericDate>| date.is_some_and(|date| date.timestamp() > now + SKEW);
    if ahead(claims.iat) || ahead(claims.nbf) {
        return Err(SvidRefused::new("its `iat` or `nbf` is in the future"));
    }
    Ok(())
}

fn bad(error: JoseError) -> SvidRefused {
    SvidRefused::new(error.to_string())
}
