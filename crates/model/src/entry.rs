//! What is written in the tamper-evident log, and its one canonical encoding.
//!
//! An entry is a deterministic CBOR map (RFC 8949, section 4.2.1): integer keys in ascending order, shortest
//! integers, definite lengths, absent fields left out. The first four keys are the writer's: version, writer,
//! sequence number and the hash of the writer's previous entry, so that each writer's entries form a chain.
//! Bodies (arguments, results) are not in the entry: it holds their salted hashes, and they are kept apart,
//! so that a person's data can be erased while every proof still holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{DecisionId, Hash, Outcome, Timestamp, Use};

mod codec;
mod header;

pub use codec::DecodeError;
pub use header::HeaderRef;

/// Where an entry is: which writer, and its how-manieth (from 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The node that wrote it. At most 1023.
    pub writer: u32,
    /// Its place in the writer's chain.
    pub seq: u64,
}

/// What kind of thing an entry states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// A decision that lets nothing happen here: a deny at the gateway, or any answer to an enforcer of its own.
    #[default]
    Decision = 0,
    /// An allowed act that is about to happen.
    Intent = 1,
    /// What became of an intent.
    Outcome = 2,
    /// Something in Chancery itself was changed.
    Change = 3,
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Result {
    /// The upstream did it.
    Succeeded = 0,
    /// The upstream answered with an error.
    Failed = 1,
    /// The upstream was never reached.
    NotSent = 2,
    /// It may or may not have happened: the process or the connection died in between.
    Indeterminate = 3,
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Who {
    /// The agent's id.
    pub agent: Option<String>,
    /// The agent's name at that time.
    pub name: Option<String>,
    /// The running copy.
    pub instance: Option<String>,
    /// The human at the root of the chain, or who made a change.
    pub human: Option<String>,
    /// The delegation chain from the root to the actor.
    pub chain: Vec<String>,
    /// The enforcer that asked, where it was not our own gateway.
    pub enforcer: Option<String>,
}

/// What was done or asked for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct What {
    /// The upstream server.
    pub server: Option<String>,
    /// The protocol method or the action's name.
    pub action: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The resource, as `Type::"id"` or a URI.
    pub resource: Option<String>,
    /// Arguments that were selected to stand in the entry in clear.
    pub fields: BTreeMap<String, String>,
}

impl What {
    /// The action of a call that only asks what another one would do.
    pub const DRY_RUN: &'static str = "dry-run";

    /// Is it such a call? It counts as nothing that was done.
    pub fn is_dry_run(&self) -> bool {
        self.action.as_deref() == Some(Self::DRY_RUN)
    }
}

/// Why it was done.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Why {
    /// The reason the agent stated.
    pub reason: Option<String>,
    /// W3C trace id.
    pub trace: Option<String>,
}

/// Under whose authority.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Authority {
    /// The session.
    pub session: Option<String>,
    /// The access token's `jti`.
    pub token: Option<String>,
    /// Grants that determined the decision.
    pub grants: Vec<Arc<str>>,
    /// Policies that determined the decision.
    pub policies: Vec<Arc<str>>,
    /// Version of the policy set.
    pub policy_version: Option<Arc<str>>,
    /// The session at the root of the chain, where it is another one.
    pub flow: Option<String>,
    /// What the session is for, as it was stated when it was opened.
    pub task: Option<String>,
    /// SHA-256 of the limits that the sessions of the chain were granted, where there are any.
    pub limits: Option<Hash>,
    /// The approval it waits for, or that it used up.
    pub approval: Option<String>,
}

/// A change to one of our own nouns.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Change {
    /// The noun, for instance `agent`.
    pub noun: String,
    /// Its id or name.
    pub id: String,
    /// What was done, for instance `suspend`.
    pub verb: String,
    /// What it is now, as canonical JSON without secrets.
    pub after: Option<String>,
}

impl Change {
    /// The entry of a change that `actor` makes: what is changed (noun and id), how, and what it is now, without secrets.
    #[must_use]
    pub fn drafted(
        at: Timestamp,
        actor: &str,
        (noun, id, verb): (&str, &str, &str),
        reason: Option<&str>,
        after: &impl serde::Serialize,
    ) -> Draft {
        let after = serde_json::to_value(after).ok().and_then(|value| crate::canonical(&value).ok());
        let after = after.map(|json| String::from_utf8_lossy(&json).into_owned());
        Draft {
            kind: Kind::Change,
            at,
            who: Who { human: Some(actor.to_owned()), ..Who::default() },
            why: Why { reason: reason.map(str::to_owned), trace: None },
            change: Some(Self { noun: noun.to_owned(), id: id.to_owned(), verb: verb.to_owned(), after }),
            ..Draft::default()
        }
    }

    /// The change that erases the body `name` of the entry at `position`.
    pub fn erasure(position: Position, name: &str) -> Self {
        let id = format!("{}/{name}", DecisionId(position));
        Self { noun: "body".to_owned(), id, verb: "erase".to_owned(), after: None }
    }

    /// Which body this change erased, if that is what it did.
    pub fn erased(&self) -> Option<(Position, &str)> {
        let (id, name) = self.id.split_once('/').filter(|_| self.noun == "body" && self.verb == "erase")?;
        let DecisionId(position) = id.parse().ok()?;
        Some((position, name))
    }
}

/// A body that is kept apart from its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// `arguments`, `result`, `context`.
    pub name: &'static str,
    /// The bytes.
    pub content: Vec<u8>,
}

/// The salted hash of a body: SHA-256(salt || content) with a salt of 32 random bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// The body's name.
    pub name: String,
    /// The hash.
    pub hash: Hash,
}

/// An entry as its author states it; writer, sequence number and chain are added when it is committed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Draft {
    /// What kind of statement it is.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: Who,
    /// What.
    pub what: What,
    /// Why.
    pub why: Why,
    /// Under whose authority.
    pub authority: Authority,
    /// What was decided.
    pub decision: Option<Outcome>,
    /// Codes of the reasons, for instance `C2001`.
    pub reasons: Vec<String>,
    /// The intent that an outcome closes.
    pub closes: Option<Position>,
    /// How the act ended.
    pub result: Option<Result>,
    /// A short technical remark, for instance the upstream's status.
    pub detail: Option<String>,
    /// The change, for [`Kind::Change`].
    pub change: Option<Change>,
    /// What it counts as on meters: reserved by an intent, settled by an outcome.
    pub uses: Vec<Use>,
    /// Bodies to be kept apart.
    pub bodies: Vec<Body>,
}

/// The writer's part of an entry. It can be read without the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it is.
    pub position: Position,
    /// RFC 6962 leaf hash of the writer's previous entry; zeros for the first.
    pub prev: Hash,
    /// Salted hashes of the bodies.
    pub commitments: Vec<Commitment>,
}

/// A whole entry, decoded. `draft.bodies` is always empty: bodies are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The writer's part.
    pub header: Header,
    /// The author's part.
    pub draft: Draft,
}

/// A draft encoded but for the writer's part: what an author can do before it is the writer's turn.
#[derive(Clone, Debug)]
pub struct Sealed {
    pairs: u64,
    tail: Vec<u8>,
}

impl Draft {
    /// Encodes the author's part. `commitments` are the salted hashes of `self.bodies`, in their order.
    pub fn seal(&self, commitments: &[Commitment]) -> Sealed {
        codec::seal(self, commitments)
    }
}

impl Sealed {
    /// Appends the finished entry to `out`.
    pub fn finish(&self, position: Position, prev: &Hash, out: &mut Vec<u8>) {
        codec::finish(self.pairs, &self.tail, position, prev, out);
    }

    /// How long the finished entry will be at the most, in bytes.
    pub fn len_bound(&self) -> usize {
        self.tail.len() + 64
    }
}

impl Header {
    /// Reads the writer's part, at the start of an entry, and nothing else.
    pub fn decode(entry: &[u8]) -> std::result::Result<Self, DecodeError> {
        codec::header(entry)
    }
}

impl Entry {
    /// Reads an entry. Refuses anything but its one canonical encoding.
    pub fn decode(entry: &[u8]) -> std::result::Result<Self, DecodeError> {
        codec::entry(entry)
    }
}
