//! The answer to "may it".

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Demand;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may.
    Allow,
    /// It may not.
    Deny,
    /// It may once humans approve exactly this.
    RequireApproval,
    /// It may once a human proves presence.
    StepUp,
}

impl Outcome {
    /// The strictest of several answers stands: the one whose number is highest. None is 0.
    pub fn strictness(self) -> u8 {
        match self {
            Self::Allow => 1,
            Self::StepUp => 2,
            Self::RequireApproval => 3,
            Self::Deny => 4,
        }
    }
}

/// A policy or grant that determined the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Determining {
    /// The policy's `@id`, or the template's.
    pub policy: Arc<str>,
    /// The grant that linked the template, if it was one.
    pub grant: Option<Arc<str>>,
}

/// Something that, had it been otherwise, would have changed a deny.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// The policy's `@id`.
    pub policy: String,
    /// What it would have taken, in a sentence: the clause that was false with the value that was seen,
    /// or the grant that is missing.
    pub needs: String,
    /// Whose right it is about, where it takes those of several: "person `anna`", "agent `billing`", "task".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// The answer of one of several whose right it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Whose: "person `anna`", "agent `billing`", "task".
    pub part: String,
    /// Its answer; the strictest of all stands.
    pub outcome: Outcome,
    /// The policies that determined it.
    pub policies: Vec<String>,
    /// Why not; empty for one that allows.
    pub why: String,
}

/// The answer with its reasons. Whether it was recorded, and under which id, is for the record to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// The policies and grants that determined it; empty for a deny because nothing permitted.
    pub determining: Vec<Determining>,
    /// Errors of evaluation. Any makes the outcome a deny.
    pub errors: Vec<String>,
    /// Digest of the policy set that was in force (lower-case hex SHA-256).
    pub policy_version: Arc<str>,
    /// Whose right did not suffice, where it takes those of several: "person `anna`", "agent `billing`", "task".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Arc<str>>,
    /// For a step-up: a person's presence that is no older than so many seconds would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<i64>,
    /// For an approval: what each policy that asks for one wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demands: Vec<Demand>,
}
