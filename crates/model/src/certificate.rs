//! The certificate that an agent authenticates with in TLS (RFC 8705).

use serde::{Deserialize, Serialize};

use crate::{AgentId, Hash, Timestamp};

/// Which certificate is the agent's. Everything in it is compared letter by letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum CertificateRule {
    /// This one and no other, whoever issued it (`self_signed_tls_client_auth`, section 2.2): SHA-256 of its DER.
    Exact(#[serde(with = "hex")] Hash),
    /// One that leads to a root of the configuration and has this DNS name (`tls_client_auth`, section 2.1).
    Dns(String),
    /// The same with this URI.
    Uri(String),
}

/// An agent's certificate. It has one at the most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Whose.
    pub agent: AgentId,
    /// Which.
    pub rule: CertificateRule,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was removed. Those that are stored have none: this tells observers.
    pub removed_at: Option<Timestamp>,
}

impl CertificateRule {
    /// Its kind and its value, as they are stored and shown.
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Exact(hash) => ("exact", hex::text(hash)),
            Self::Dns(name) => ("dns", name.clone()),
            Self::Uri(uri) => ("uri", uri.clone()),
        }
    }

    /// What [`CertificateRule::parts`] wrote.
    pub fn of_parts(kind: &str, value: &str) -> Option<Self> {
        match kind {
            "exact" => hex::read(value).map(Self::Exact),
            "dns" => Some(Self::Dns(value.to_owned())),
            "uri" => Some(Self::Uri(value.to_owned())),
            _ => None,
        }
    }
}

/// SHA-256 values as 64 hexadecimal digits, as `openssl x509 -fingerprint` has them but for the colons.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Hash;

    pub(super) fn text(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn read(text: &str) -> Option<Hash> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        (self::text(&hash) == text).then_some(hash)
    }

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        read(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for rule in [
            CertificateRule::Exact([0xa7; 32]),
            CertificateRule::Dns("billing.acme.example".into()),
            CertificateRule::Uri("spiffe://acme.example/x".into()),
        ] {
            let (kind, value) = rule.parts();
            assert_eq!(CertificateRule::of_parts(kind, &value).as_ref(), Some(&rule));
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<CertificateRule>(&json).unwrap(), rule);
        }
        for (kind, value) in [("exact", "a7"), ("exact", &"A7".repeat(32)), ("exact", &"é".repeat(32)), ("cn", "x")] {
            assert_eq!(CertificateRule::of_parts(kind, value), None, "{kind} {value}");
        }
    }
}
