//! The answer, and the proof of an answer that allows.

use std::borrow::Cow;
use std::sync::Arc;

use chancery_model::problem::{DENIED, EVALUATION_FAILED, NEEDS_APPROVAL, NEEDS_STEP_UP, Row};
use chancery_model::{Decision, Demand, Hash, Outcome};

/// An answer with its reasons and, only where it allows, the permission to do it.
#[derive(Debug)]
pub struct Verdict {
    /// Outcome, determining policies and grants, errors, version of the policy set.
    pub decision: Decision,
    /// The row of the error table that says why not; nothing for an allow.
    pub code: Option<Row>,
    /// The deciding fact, in a sentence that shows no policy internals to the caller; empty for an allow.
    pub why: Cow<'static, str>,
    /// The permission: there exactly if the outcome is [`Outcome::Allow`] and an agent asked to act here.
    pub permit: Option<Permit>,
}

impl Verdict {
    /// Does it allow?
    pub fn allows(&self) -> bool {
        self.decision.outcome == Outcome::Allow
    }

    /// A deny for a reason that no policy had to be asked about.
    pub(crate) fn refused(version: &Arc<str>, row: Row, why: impl Into<Cow<'static, str>>) -> Self {
        let decision = Decision {
            outcome: Outcome::Deny,
            determining: Vec::new(),
            errors: Vec::new(),
            policy_version: Arc::clone(version),
            part: None,
            max_age: None,
            demands: Vec::new(),
        };
        Self { decision, code: Some(row), why: why.into(), permit: None }
    }

    /// The same, as the answer of one of several whose right it takes. One that allows says nothing.
    pub(crate) fn of_part(mut self, part: &str) -> Self {
        if !self.allows() {
            self.why = format!("{part}: {}", self.why).into();
            self.decision.part = Some(part.into());
        }
        self
    }

    /// The answer to a decision of the policies.
    pub(crate) fn of(decision: Decision) -> Self {
        let (code, why) = reason(&decision);
        Self { decision, code, why, permit: None }
    }
}

/// Everybody who has to approve, in words.
fn approvers(decision: &Decision) -> String {
    let who: Vec<String> = decision.demands.iter().map(Demand::who).collect();
    who.join(" and of ")
}

fn reason(decision: &Decision) -> (Option<Row>, Cow<'static, str>) {
    let first = || decision.determining.first().map_or("", |d| &*d.policy);
    match decision.outcome {
        Outcome::Allow => (None, Cow::Borrowed("")),
        Outcome::RequireApproval => (
            Some(NEEDS_APPROVAL),
            format!("policy `{}` asks for the approval of {}", first(), approvers(decision)).into(),
        ),
        Outcome::StepUp => (
            Some(NEEDS_STEP_UP),
            format!(
                "policy `{}` asks for a person who confirmed presence within the last {} s",
                first(),
                decision.max_age.unwrap_or(crate::rule::MAX_AGE)
            )
            .into(),
        ),
        Outcome::Deny if !decision.errors.is_empty() => {
            (Some(EVALUATION_FAILED), "a policy could not be evaluated, which is a deny".into())
        }
        Outcome::Deny if decision.determining.is_empty() => (Some(DENIED), "no policy and no grant permits it".into()),
        Outcome::Deny => (Some(DENIED), format!("policy `{}` forbids it", first()).into()),
    }
}

/// The permission for exactly one act. Only the engine makes one, only for an allow; forwarding consumes it.
#[derive(Debug)]
pub struct Permit {
    agent: Arc<str>,
    server: Arc<str>,
    action: Arc<str>,
    tool: Option<Arc<str>>,
    args: Hash,
    policy_version: Arc<str>,
}

impl Permit {
    pub(crate) fn new(
        agent: Arc<str>,
        server: Arc<str>,
        action: Arc<str>,
        tool: Option<Arc<str>>,
        args: Hash,
        policy_version: Arc<str>,
    ) -> Self {
        Self { agent, server, action, tool, args, policy_version }
    }

    /// The name of the agent that may.
    pub fn agent(&self) -> &Arc<str> {
        &self.agent
    }

    /// The server it may do it at.
    pub fn server(&self) -> &Arc<str> {
        &self.server
    }

    /// The protocol method, for instance `tools/call`.
    pub fn action(&self) -> &Arc<str> {
        &self.action
    }

    /// The tool it may call, for `tools/call`.
    pub fn tool(&self) -> Option<&Arc<str>> {
        self.tool.as_ref()
    }

    /// The digest of the arguments that were decided about, as the caller of the engine stated it.
    pub fn args_digest(&self) -> &Hash {
        &self.args
    }

    /// The version of the policy set that allowed it.
    pub fn policy_version(&self) -> &Arc<str> {
        &self.policy_version
    }
}
