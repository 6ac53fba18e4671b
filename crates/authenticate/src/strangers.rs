//! Whom a refused caller claims to be, where nobody here is called so. Nothing of it is verified, and nothing follows from
//! it but a line in the inventory.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::authenticator::Authenticator;
use crate::token::TokenRequest;

/// The longest token that is looked into, in bytes.
const LONGEST: usize = 16 * 1024;

/// A name, and who is said to vouch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The name.
    pub name: String,
    /// The issuer of the token it stood in, where it is a token of somebody else.
    pub issuer: Option<String>,
}

impl Authenticator {
    /// Whom a token request claims to be of, if nobody here is called so.
    pub fn claimed_by_request(&self, request: &TokenRequest<'_>) -> Option<Claimed> {
        let of = |wanted: &str| request.form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let basic = || {
            let bytes = STANDARD.decode(request.authorization?.split_once(' ')?.1.trim()).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            text.split_once(':').map(|(name, _)| name.to_owned())
        };
        if let Some(claims) = of("client_assertion").and_then(claims) {
            return self.unknown(&claims);
        }
        let name = of("client_id").map(str::to_owned).or_else(basic)?;
        self.is_nobody(&name).then_some(Claimed { name, issuer: None })
    }

    /// Whom the token of a call claims to be of, if nobody here is called so.
    pub fn claimed_by_token(&self, authorization: &str) -> Option<Claimed> {
        let (scheme, token) = authorization.split_once(' ')?;
        let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop");
        self.unknown(&claims(token.trim()).filter(|_| known)?)
    }

    fn unknown(&self, claims: &Value) -> Option<Claimed> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = text("client_id").or_else(|| text("azp")).or_else(|| text("sub")).or_else(|| text("iss"))?;
        let issuer = text("iss").filter(|issuer| *issuer != name && *issuer != self.config().issuer);
        self.is_nobody(name).then(|| Claimed { name: name.to_owned(), issuer: issuer.map(str::to_owned) })
    }

    fn is_nobody(&self, name: &str) -> bool {
        !name.is_empty() && self.agent(name).is_none()
    }
}

/// What a token says, whoever signed it.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok().filter(|_| token.len() <= LONGEST)?;
    serde_json::from_slice(&bytes).ok()
}
