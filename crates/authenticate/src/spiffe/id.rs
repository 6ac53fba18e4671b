//! SPIFFE IDs (SPIFFE-ID, section 2): `spiffe://trust-domain/path`, in their one spelling.

use std::fmt;
use std::str::FromStr;

/// The longest SPIFFE ID, in bytes (section 2.3).
const LONGEST_ID: usize = 2048;
/// The longest name of a trust domain, in bytes.
const LONGEST_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// Why a text is no SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Another scheme, or none.
    #[error("it does not begin with `spiffe://`")]
    Scheme,
    /// Longer than 2048 bytes, or a trust domain longer than 255.
    #[error("it is longer than {LONGEST_ID} bytes, or its trust domain than {LONGEST_DOMAIN}")]
    TooLong,
    /// The trust domain is empty or has other letters.
    #[error("its trust domain is not made of `a-z`, `0-9`, `.`, `-` and `_`")]
    TrustDomain,
    /// A segment of the path is empty, `.` or `..`, or has other letters.
    #[error("a segment of its path is empty, `.`, `..`, or not made of `A-Z`, `a-z`, `0-9`, `.`, `-` and `_`")]
    Path,
}

/// The name of a trust domain (section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

/// The name of a workload, or of a trust domain itself if it has no path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: String,
    /// Where the path begins in `text`; its length if there is none.
    path: usize,
}

impl TrustDomain {
    /// The name alone, for instance `acme.example`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID of the trust domain itself: without a path.
    pub fn id(&self) -> SpiffeId {
        let text = format!("{SCHEME}{}", self.0);
        SpiffeId { path: text.len(), text }
    }

    /// The SPIFFE ID with these segments as its path.
    pub fn workload(&self, segments: &[&str]) -> Result<SpiffeId, IdError> {
        segments.iter().try_for_each(|one| segment(one))?;
        format!("{SCHEME}{}/{}", self.0, segments.join("/")).parse()
    }
}

impl SpiffeId {
    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its trust domain.
    pub fn domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path]
    }

    /// Its path with the leading slash; empty for a trust domain.
    pub fn path(&self) -> &str {
        &self.text[self.path..]
    }

    /// Is it a workload of this trust domain?
    pub fn is_workload_of(&self, domain: &TrustDomain) -> bool {
        self.domain() == domain.0 && !self.path().is_empty()
    }
}

impl FromStr for TrustDomain {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        if name.len() > LONGEST_DOMAIN {
            return Err(IdError::TooLong);
        }
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || !name.bytes().all(fine) {
            return Err(IdError::TrustDomain);
        }
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for SpiffeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > LONGEST_ID {
            return Err(IdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(IdError::Scheme)?;
        let end = rest.find('/').unwrap_or(rest.len());
        rest[..end].parse::<TrustDomain>()?;
        if let Some(path) = rest[end..].strip_prefix('/') {
            path.split('/').try_for_each(segment)?;
        }
        Ok(Self { text: text.to_owned(), path: SCHEME.len() + end })
    }
}

fn segment(text: &str) -> Result<(), IdError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    match text {
        "" | "." | ".." => Err(IdError::Path),
        other if other.bytes().all(fine) => Ok(()),
        _ => Err(IdError::Path),
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_has_one_spelling() {
        let id: SpiffeId = "spiffe://acme.example/agent/billing".parse().unwrap();
        assert_eq!((id.domain(), id.path()), ("acme.example", "/agent/billing"));
        let domain: SpiffeId = "spiffe://acme.example".parse().unwrap();
        assert_eq!((domain.domain(), domain.path()), ("acme.example", ""));
        let long = format!("spiffe://d/{}", "a".repeat(LONGEST_ID - 11));
        assert_eq!(long.len(), LONGEST_ID);
        assert!(long.parse::<SpiffeId>().is_ok());
        for (text, why) in [
            ("", IdError::Scheme),
            ("SPIFFE://acme.example/a", IdError::Scheme),
            ("https://acme.example/a", IdError::Scheme),
            ("spiffe:///a", IdError::TrustDomain),
            ("spiffe://Acme.example/a", IdError::TrustDomain),
            ("spiffe://acme.example:8443/a", IdError::TrustDomain),
            ("spiffe://user@acme.example/a", IdError::TrustDomain),
            ("spiffe://acme%2eexample/a", IdError::TrustDomain),
            ("spiffe://acme.example?x=1", IdError::TrustDomain),
            ("spiffe://acmé.example/a", IdError::TrustDomain),
            ("spiffe://acme.example/", IdError::Path),
            ("spiffe://acme.example/a/", IdError::Path),
            ("spiffe://acme.example//a", IdError::Path),
            ("spiffe://acme.example/a/./b", IdError::Path),
            ("spiffe://acme.example/a/../b", IdError::Path),
            ("spiffe://acme.example/a%2fb", IdError::Path),
            ("spiffe://acme.example/a b", IdError::Path),
            ("spiffe://acme.example/a?x=1", IdError::Path),
            ("spiffe://acme.example/a#b", IdError::Path),
            (&format!("{long}a"), IdError::TooLong),
            (&format!("spiffe://{}/a", "d".repeat(256)), IdError::TooLong),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(why), "{text}");
        }
    }

    #[test]
    fn a_workload_belongs_to_one_domain() {
        let ours: TrustDomain = "acme.example".parse().unwrap();
        assert!(ours.workload(&["agent", "billing"]).unwrap().is_workload_of(&ours));
        assert!(!ours.id().is_workload_of(&ours), "a trust domain is no workload");
        for other in ["spiffe://acme.example.evil/agent/billing", "spiffe://acme.exampl/agent/billing"] {
            assert!(!other.parse::<SpiffeId>().unwrap().is_workload_of(&ours), "{other}");
        }
        assert!(ours.workload(&["agent", "a/b"]).is_err(), "a segment is one");
        assert!(ours.workload(&["agent", ""]).is_err());
    }
}
