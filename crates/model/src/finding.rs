//! What is wrong with an identity, said so that a human can act.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// To be mended.
    Medium,
    /// To be mended today.
    High,
}

/// A posture problem of one subject under one rule. One open finding per (rule, subject).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule, for instance `bearer-allowed` or `tool-changed`.
    pub rule: String,
    /// What it is about: an agent's name, `server/tool`, or [`Finding::about_blueprint`].
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// The facts, in one sentence.
    pub evidence: String,
    /// The OWASP id it maps to, for instance `NHI4`.
    pub owasp: String,
    /// When it was first true.
    pub opened_at: Timestamp,
    /// When it stopped being true.
    pub closed_at: Option<Timestamp>,
}

impl Finding {
    /// The rule: an agent stated another manifest than the approved one, or none.
    pub const MANIFEST_CHANGED: &'static str = "manifest-changed";

    /// The rule: an agent was discovered that nobody registered.
    pub const SHADOW: &str = "LIF-7";

    /// The subject of findings about a blueprint.
    pub fn about_blueprint(name: &str) -> String {
        format!("blueprint/{name}")
    }
}
