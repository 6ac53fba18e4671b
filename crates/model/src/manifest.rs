//! What an agent is made of, in a form that can be compared: model, prompt, tools.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Hash, Limits, Timestamp, canonical, parse_strict};

/// How digests begin.
const PREFIX: &str = "sha256:";
/// The longest name of a model or version, in characters.
const LONGEST: usize = 200;

/// A SHA-256 as people and programs write it: `sha256:` and 64 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub Hash);

/// What an agent is made of. Its digest is the SHA-256 of its canonical JSON (RFC 8785), absent members left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model and its exact version, as its maker names it.
    pub model: String,
    /// The digest of the prompt.
    pub prompt_digest: Digest,
    /// The digest of the list of tools.
    pub tools_digest: Digest,
    /// How its maker calls this state of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What an agent says it is made of: the whole manifest, or only its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stated {
    /// All of it.
    Whole(Manifest),
    /// Its digest.
    Digest(Digest),
}

/// A manifest that was stated and is not the approved one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its digest.
    pub digest: Digest,
    /// The manifest, where the agent stated all of it.
    pub manifest: Option<Manifest>,
    /// The name of the agent that stated it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A text that is neither a manifest nor the digest of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadManifest(String);

impl Manifest {
    /// Reads JSON, strictly: no unknown member, none twice, none empty.
    pub fn parse(text: &str) -> Result<Self, BadManifest> {
        let value = parse_strict(text.as_bytes(), Limits::default()).map_err(|e| BadManifest(e.to_string()))?;
        let manifest: Self = serde_json::from_value(value).map_err(|e| BadManifest(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Do its texts say something, and no more than fits a line?
    pub fn check(&self) -> Result<(), BadManifest> {
        let said = |text: &str| {
            text.chars().any(char::is_alphanumeric)
                && text.chars().count() <= LONGEST
                && !text.chars().any(char::is_control)
        };
        if said(&self.model) && self.version.as_deref().is_none_or(said) {
            return Ok(());
        }
        Err(BadManifest(format!("`model` and `version` are texts of 1 to {LONGEST} characters in one line")))
    }

    /// Its canonical JSON.
    pub fn canonical(&self) -> String {
        let json = serde_json::to_value(self).ok().and_then(|value| canonical(&value).ok());
        json.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its digest. This crate computes no hashes: `sha256` is handed in.
    pub fn digest(&self, sha256: fn(&[u8]) -> Hash) -> Digest {
        Digest(sha256(self.canonical().as_bytes()))
    }

    /// The names of the members in which another one differs.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let members = [
            ("model", self.model == other.model),
            ("prompt_digest", self.prompt_digest == other.prompt_digest),
            ("tools_digest", self.tools_digest == other.tools_digest),
            ("version", self.version == other.version),
        ];
        members.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

impl Stated {
    /// Reads what an agent states: a JSON object, or a digest.
    pub fn parse(text: &str) -> Result<Self, BadManifest> {
        let text = text.trim();
        if text.starts_with('{') { Manifest::parse(text).map(Self::Whole) } else { text.parse().map(Self::Digest) }
    }

    /// The digest of what is stated.
    pub fn digest(&self, sha256: fn(&[u8]) -> Hash) -> Digest {
        match self {
            Self::Whole(manifest) => manifest.digest(sha256),
            Self::Digest(digest) => *digest,
        }
    }

    /// The manifest, where all of it was stated.
    pub fn whole(&self) -> Option<&Manifest> {
        match self {
            Self::Whole(manifest) => Some(manifest),
            Self::Digest(_) => None,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = BadManifest;

    fn from_str(text: &str) -> Result<Self, BadManifest> {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        let bad = || BadManifest(format!("`{shown}` is not `sha256:` and 64 hex digits in lower case"));
        let hex = text.strip_prefix(PREFIX).filter(|hex| hex.len() == 64).ok_or_else(bad)?;
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = Hash::default();
        for (place, pair) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let [high, low] = pair else { return Err(bad()) };
            *place = digit(*high).ok_or_else(bad)? << 4 | digit(*low).ok_or_else(bad)?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Digest {
    type Error = BadManifest;
    fn try_from(text: String) -> Result<Self, BadManifest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn text(model: &str, prompt: &str, tools: &str, more: &str) -> String {
        format!(r#"{{"prompt_digest":"{prompt}", "model":"{model}", "tools_digest":"{tools}"{more}}}"#)
    }

    #[test]
    fn a_manifest_has_one_form() {
        let manifest = Manifest::parse(&text("gpt-x-2026-10-01", A, B, "")).unwrap();
        let canonical = format!(r#"{{"model":"gpt-x-2026-10-01","prompt_digest":"{A}","tools_digest":"{B}"}}"#);
        assert_eq!(manifest.canonical(), canonical);
        let versioned = Manifest::parse(&text("gpt-x-2026-10-01", A, B, r#","version":"7""#)).unwrap();
        assert_eq!(manifest.differing(&versioned), ["version"]);
        let other = Manifest::parse(&text("other", B, B, "")).unwrap();
        assert_eq!(manifest.differing(&other), ["model", "prompt_digest"]);
        assert!(manifest.differing(&manifest).is_empty());
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for bad in [
            text("", A, B, ""),
            text(" ", A, B, ""),
            text("a\\nb", A, B, ""),
            text("m", "sha256:aa", B, ""),
            text("m", &A.replace('a', "A"), B, ""),
            text("m", &A.replace("sha256", "sha512"), B, ""),
            text("m", A, B, r#","version":"""#),
            text("m", A, B, r#","prompt":"x""#),
            text("m", A, B, r#","model":"n""#),
            text(&"m".repeat(201), A, B, ""),
            r#"{"model":"m"}"#.to_owned(),
            "[]".to_owned(),
            String::new(),
        ] {
            assert!(Stated::parse(&bad).is_err(), "{bad}");
        }
        assert_eq!(Stated::parse(A).unwrap().to_owned(), Stated::Digest(Digest([0xaa; 32])));
        assert_eq!(Digest([0xbb; 32]).to_string(), B);
    }
}
