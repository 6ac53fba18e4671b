//! A set of other issuers' public keys (RFC 7517, section 5).

use std::sync::Arc;

use chancery_model::{Limits, parse_strict};
use serde_json::Value;

use crate::jose::{Jwk, Policy, PublicKey};

/// How many keys of a set are looked at.
const MOST: usize = 100;

/// Public keys by the names that their issuer gives them.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<(Option<String>, Arc<PublicKey>)>,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify here (other types and curves, for encryption) are left out; a set
    /// without one that can is refused.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let set =
            parse_strict(json, Limits { depth: 8, keys: 5_000 }).map_err(|e| format!("not acceptable JSON: {e}"))?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or("not a JWK set: `keys` is missing")?;
        if listed.len() > MOST {
            return Err(format!("more than {MOST} keys"));
        }
        let keys: Vec<_> = listed.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err("no key in it can be used: ES256, EdDSA and RS256 (2048 bits and more) can".to_owned());
        }
        Ok(Self { keys })
    }

    /// The key of this name for this algorithm. Without a name, the only key there is.
    pub(super) fn key(&self, kid: Option<&str>, alg: &str) -> Option<Arc<PublicKey>> {
        let Some(kid) = kid else {
            return match self.keys.as_slice() {
                [(_, only)] => Some(only.clone()),
                _ => None,
            };
        };
        let named = |(name, key): &&(Option<String>, Arc<PublicKey>)| {
            name.as_deref() == Some(kid) && key.algorithm().check(alg).is_ok()
        };
        self.keys.iter().find(named).map(|(_, key)| key.clone())
    }
}

fn key(jwk: &Value) -> Option<(Option<String>, Arc<PublicKey>)> {
    let text = jwk.to_string();
    let jwk = Jwk::parse(&text).ok()?;
    let key = PublicKey::from_jwk(&jwk, Policy::Issuers).ok()?;
    Some((jwk.kid.as_deref().map(str::to_owned), Arc::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::PrivateKey;

    fn set(kids: &[Option<&str>]) -> Result<KeySet, String> {
        let keys = kids.iter().map(|kid| {
            let key = PrivateKey::generate_p256().unwrap();
            let mut jwk: Value = serde_json::from_str(key.public().canonical_jwk()).unwrap();
            jwk["kid"] = (*kid).into();
            if kid.is_none() {
                jwk.as_object_mut().unwrap().remove("kid");
            }
            jwk
        });
        let set = serde_json::json!({ "keys": keys.collect::<Vec<_>>() });
        KeySet::read(set.to_string().as_bytes())
    }

    #[test]
    fn keys_are_found_by_name_and_algorithm() {
        let two = set(&[Some("a"), Some("b")]).unwrap();
        assert!(two.key(Some("a"), "ES256").is_some());
        for (kid, alg) in
            [(Some("a"), "RS256"), (Some("a"), "HS256"), (Some("a"), "none"), (Some("c"), "ES256"), (None, "ES256")]
        {
            assert!(two.key(kid, alg).is_none(), "{kid:?} {alg}");
        }
        assert!(set(&[None]).unwrap().key(None, "ES256").is_some());
        assert!(set(&[None]).unwrap().key(Some("a"), "ES256").is_none());
    }

    #[test]
    fn sets_without_a_usable_key_are_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":{}}"#,
            r#"{"keys":[],"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}"#,
            r#"{"keys":[{"kty":"EC","crv":"P-384","x":"","y":""}]}"#,
            r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        ] {
            assert!(KeySet::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
