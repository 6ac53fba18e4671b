//! What lives in other systems, as sweeps see it: objects, and how much of its source a sweep looked at.
//!
//! A sweep that did not look everywhere proves nothing about what it did not see. So each states, kind by kind, whether it
//! was complete, and where its gaps are; only a complete one can make an object missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EdgeKind, NodeKind, SweepId, Timestamp};

/// The name of an object in the whole inventory: `source:scope:kind:native`. `:` and `%` of source and scope are
/// percent-encoded; the native id is as its system has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Urn {
    text: String,
    kind: NodeKind,
}

/// A text that names no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of an object (source:scope:kind:id, with a kind that is known, and at most {max} bytes)", max = Urn::LONGEST)]
pub struct BadUrn(String);

impl Urn {
    /// The most bytes of one.
    pub const LONGEST: usize = 2_000;

    /// The name of what `source` calls `native` within `scope`.
    ///
    /// # Errors
    /// It has no native id, or is too long.
    pub fn new(source: &str, scope: &str, kind: NodeKind, native: &str) -> Result<Self, BadUrn> {
        let text = format!("{}:{}:{kind}:{native}", escaped(source), escaped(scope));
        if native.is_empty() || source.is_empty() || text.len() > Self::LONGEST || text.contains('\0') {
            return Err(BadUrn(text.chars().take(100).collect()));
        }
        Ok(Self { text, kind })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What sort of thing it is.
    pub const fn kind(&self) -> NodeKind {
        self.kind
    }

    /// Which system has it.
    pub fn source(&self) -> String {
        unescaped(self.part(0))
    }

    /// Which part of that system.
    pub fn scope(&self) -> String {
        unescaped(self.part(1))
    }

    /// What its system calls it.
    pub fn native(&self) -> &str {
        self.part(3)
    }

    fn part(&self, at: usize) -> &str {
        self.text.splitn(4, ':').nth(at).unwrap_or_default()
    }
}

impl FromStr for Urn {
    type Err = BadUrn;

    fn from_str(text: &str) -> Result<Self, BadUrn> {
        let bad = || BadUrn(text.chars().take(100).collect());
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let [source, _, kind, native] = parts[..] else { return Err(bad()) };
        let kind = NodeKind::parse(kind).ok_or_else(bad)?;
        if source.is_empty() || native.is_empty() || text.len() > Self::LONGEST || text.contains('\0') {
            return Err(bad());
        }
        Ok(Self { text: text.to_owned(), kind })
    }
}

impl TryFrom<String> for Urn {
    type Error = BadUrn;

    fn try_from(text: String) -> Result<Self, BadUrn> {
        text.parse()
    }
}

impl From<Urn> for String {
    fn from(urn: Urn) -> Self {
        urn.text
    }
}

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace(':', "%3A")
}

fn unescaped(text: &str) -> String {
    text.replace("%3A", ":").replace("%25", "%")
}

/// Something that a source has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// What it is called in the inventory.
    pub urn: Urn,
    /// What its source says of it.
    pub is: Body,
}

/// What a source says of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// What people call it.
    pub name: String,
    /// Where in its source it stands, for instance the path of a file: what a gap there may hide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// What is the same for the same thing in every source, for instance `arn:aws:iam::…` or `fingerprint:…`. Objects of
    /// one kind that share a key are the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<String>,
    /// Everything else; never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// What it hangs on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub edges: BTreeSet<Link>,
}

/// An edge from the object that states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// How.
    pub kind: EdgeKind,
    /// On what. It need not be an object that anybody saw.
    pub to: Urn,
}

/// When an object was used last, and how that is known: the attribute `last_used`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastUsed {
    /// At this time, in RFC 3339.
    Known {
        /// When.
        at: String,
        /// Who says so.
        evidence: String,
    },
    /// Not once since this time, in RFC 3339, by evidence that would have shown it.
    NeverSince {
        /// Since when there is evidence.
        at: String,
        /// Who says so.
        evidence: String,
    },
    /// Nobody can say.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// Whether an object is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// The last sweep that could have seen it saw it.
    Present,
    /// A complete sweep did not see it.
    Missing,
    /// Several complete sweeps in a row did not see it. It stays as a tombstone: nothing is deleted.
    Gone,
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepStatus {
    /// It goes on.
    Running,
    /// It looked at everything it set out for, but for its gaps.
    Complete,
    /// It did not look everywhere.
    Partial,
    /// It broke off.
    Failed,
}

/// How much of one kind a sweep looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverageStatus {
    /// All of it that is not within a gap.
    Complete,
    /// An unknown part of it.
    Partial,
}

/// Something that was not looked at, or not understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Where, as the source has it. Whatever is [within](Body::within) it is not judged.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a sweep says of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Of which kind.
    pub kind: NodeKind,
    /// How much of it was looked at.
    pub status: CoverageStatus,
    /// Objects that were seen.
    pub seen: u64,
    /// Of these, the new ones.
    pub added: u64,
    /// Of these, those of which something else was known.
    pub changed: u64,
    /// Of these, those that had been missing or gone.
    pub returned: u64,
    /// Those that are missing from now on.
    pub missing: u64,
    /// Those that are gone from now on.
    pub gone: u64,
    /// Those that were not seen, and are not called missing because they are so many: somebody is asked.
    pub held: u64,
}

/// A look at one source and scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Its id.
    pub id: SweepId,
    /// Which system.
    pub source: String,
    /// Which part of it: a tenant, an account, a directory.
    pub scope: String,
    /// Who made it.
    pub by: String,
    /// What holds of the source, held at this time.
    pub observed_at: Timestamp,
    /// When it began to be written down.
    pub begun_at: Timestamp,
    /// When something of it was written down last.
    pub touched_at: Timestamp,
    /// How it ended.
    pub status: SweepStatus,
    /// Why it is not complete, where that has one reason.
    pub why: Option<String>,
    /// What it says of each kind.
    pub coverage: Vec<Coverage>,
    /// What it did not look at.
    pub gaps: Vec<Gap>,
    /// Who said what of those that were held, and when.
    pub answer: Option<(String, Timestamp)>,
}

impl Sweep {
    /// How many are held until somebody says whether they are missing.
    pub fn held(&self) -> u64 {
        if self.answer.is_some() { 0 } else { self.coverage.iter().map(|coverage| coverage.held).sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_whatever_its_parts_hold() {
        let urn = Urn::new("files:a", "/srv/100%:x", NodeKind::AiAgent, "a:b#/c").unwrap();
        assert_eq!(urn.as_str(), "files%3Aa:/srv/100%25%3Ax:ai_agent:a:b#/c");
        let read: Urn = urn.as_str().parse().unwrap();
        assert_eq!((read.source(), read.scope()), ("files:a".to_owned(), "/srv/100%:x".to_owned()));
        assert_eq!((read.kind(), read.native()), (NodeKind::AiAgent, "a:b#/c"));
        assert_eq!(unescaped(&escaped("%3A%25")), "%3A%25");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "a:b:c", "a:b:ai_agent:", ":b:ai_agent:c", "a:b:dragon:c", "a:b:user:\0"] {
            assert!(text.parse::<Urn>().is_err(), "{text}");
        }
        assert!(Urn::new("s", "", NodeKind::User, &"x".repeat(Urn::LONGEST)).is_err());
    }
}
