//! A human's yes to one call, before it runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AgentId, ApprovalId, Digest, Hash, PasskeyId, PersonId, SessionId, Span, Timestamp, canonical};

/// Who has to say yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// The person in whose name it is done, or, where the agent acts for itself, its owner.
    Confirm,
    /// Somebody else: neither the person in whose name it is done nor the owner of an agent that does it.
    FourEyes,
}

/// How much hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Being signed in is enough.
    Low,
    /// As low, but shown as what it is.
    Medium,
    /// Whoever says yes shows a passkey for it.
    High,
}

/// What a policy wants before it lets an act through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Demand {
    /// The policy's `@id`.
    pub policy: Arc<str>,
    /// `@approval`: who has to say yes.
    pub kind: ApprovalKind,
    /// `@approvers`: the group they are in. Without one, whoever has the role `approver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Arc<str>>,
    /// `@quorum`: how many of them.
    pub quorum: u32,
    /// `@risk`.
    pub risk: Risk,
    /// `@approve_within`: for how many seconds the request stands, the use of the approval included.
    pub within: i64,
}

impl Demand {
    /// What a policy wants that says nothing more: one other person with the role `approver`, within an hour.
    pub fn of(policy: Arc<str>) -> Self {
        let (kind, risk) = (ApprovalKind::FourEyes, Risk::Medium);
        Self { policy, kind, group: None, quorum: 1, risk, within: 3600 }
    }

    /// Who it is that has to approve, in words.
    pub fn who(&self) -> String {
        let people = match (self.kind, &self.group) {
            (ApprovalKind::Confirm, _) => return "the person in whose name it is done".to_owned(),
            (ApprovalKind::FourEyes, Some(group)) => format!("of `{group}`"),
            (ApprovalKind::FourEyes, None) => "with the role `approver`".to_owned(),
        };
        match self.quorum {
            1 => format!("somebody {people}"),
            several => format!("{several} people {people}"),
        }
    }
}

/// Where a request for approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// People were asked.
    Pending,
    /// Enough of them said yes; the call did not run yet.
    Approved,
    /// Somebody said no.
    Denied,
    /// It ran.
    Used,
    /// Whoever asked took it back, or what it was for was stopped.
    Cancelled,
    /// Nobody decided or used it in time.
    Expired,
}

/// Another enforcer, for which a decision was made here and which will do what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcer {
    /// Its account.
    pub id: AgentId,
    /// What it was called then.
    pub name: String,
    /// The decision that it asks to have approved.
    pub evaluation: String,
}

/// What one person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub person: PersonId,
    /// What they were called then.
    pub name: String,
    /// Yes or no.
    pub approve: bool,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// In whose place, where they stood in for somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_person: Option<String>,
    /// The policies whose demand it counts for.
    pub meets: Vec<Arc<str>>,
    /// Did they show a passkey for it?
    pub proved: bool,
    /// Which: its signature is over the digest of what they were shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<PasskeyId>,
    /// When they were first shown what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_at: Option<Timestamp>,
    /// When they said it.
    pub at: Timestamp,
}

/// What the upstream server answered when it was asked, before people were, what the call would do. Its words, not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// The tool that was called for it.
    pub tool: String,
    /// The argument that was set to `true` to make a dry run of it, where it is the same tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// The entry of that call, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// What came of it.
    pub foretold: Foretold,
    /// When.
    pub at: Timestamp,
}

/// What came of a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foretold {
    /// What the server says would happen.
    Effect(String),
    /// The server says that the call would fail, and why.
    Failure(String),
    /// Nothing is known, and why.
    Nothing(String),
}

/// One call that waits for people, and what they said. Every field before `state` is part of what they see, and none of
/// them ever changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// SHA-256 of everything that would run and under whose authority; an identical call has the same.
    pub call: Digest,
    /// The agent that calls.
    pub agent: AgentId,
    /// Its name.
    pub agent_name: String,
    /// The session it calls in.
    pub session: SessionId,
    /// Everybody for whom, the root's name first, the agent's own last.
    pub chain: Vec<String>,
    /// The person in whose name.
    pub human: Option<String>,
    /// The owners of the agents in the chain.
    pub owners: Vec<String>,
    /// The upstream server.
    pub server: String,
    /// The protocol method.
    pub method: String,
    /// The tool, or the resource's or prompt's name.
    pub target: String,
    /// The tool's definition that was pinned then, as SHA-256.
    pub definition: Option<Digest>,
    /// The arguments as canonical JSON, exactly as they would be sent; nothing once they were erased.
    pub arguments: Option<String>,
    /// Answers to questions of the upstream that are sent along, as canonical JSON.
    pub input: Option<String>,
    /// What the agent says why. A claim.
    pub reason: Option<String>,
    /// What the upstream says it would do, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
    /// The enforcer that asks; none for what the gateway itself would forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<Enforcer>,
    /// The policy set that asked.
    pub policy_version: String,
    /// What has to be met, each for itself.
    pub demands: Vec<Demand>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ends: neither a yes nor a use counts after it.
    pub expires_at: Timestamp,
    /// It is about no call: whoever says yes to it has not looked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub decoy: bool,
    /// Where it stands.
    pub state: ApprovalState,
    /// What people said, in order.
    pub votes: Vec<Vote>,
    /// When it was decided: approved, denied or cancelled.
    pub decided_at: Option<Timestamp>,
    /// When it ran.
    pub used_at: Option<Timestamp>,
    /// Its digest, once its arguments were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Digest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references over")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Approval {
    /// What whoever says yes says it to: everything that never changes, as SHA-256 of its canonical JSON.
    pub fn digest(&self, sha256: fn(&[u8]) -> Hash) -> Digest {
        if let Some(digest) = self.erased {
            return digest;
        }
        let asked =
            Self { state: ApprovalState::Pending, votes: Vec::new(), decided_at: None, used_at: None, ..self.clone() };
        let json = serde_json::to_value(&asked).ok().and_then(|value| canonical(&value).ok());
        Digest(sha256(&json.unwrap_or_default()))
    }

    /// Where it stands at a moment: what was neither used nor denied in time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// Can somebody still say yes?
    pub fn is_pending(&self, now: Timestamp) -> bool {
        self.state == ApprovalState::Pending && !self.is_over(now)
    }

    /// May the call run?
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.state == ApprovalState::Approved && !self.is_over(now)
    }

    /// The highest risk that a policy sees in it.
    pub fn risk(&self) -> Risk {
        self.demands.iter().map(|demand| demand.risk).max().unwrap_or(Risk::Low)
    }

    /// How long people have, from the strictest of the policies that ask.
    pub fn lifetime(demands: &[Demand]) -> Span {
        Span::seconds(demands.iter().map(|demand| demand.within).min().unwrap_or(0))
    }

    /// The state as people are told it.
    pub fn standing(&self, now: Timestamp) -> &'static str {
        match self.state {
            ApprovalState::Pending | ApprovalState::Approved if self.is_over(now) => "expired",
            ApprovalState::Pending => "pending",
            ApprovalState::Approved => "approved",
            ApprovalState::Denied => "denied",
            ApprovalState::Used => "used",
            ApprovalState::Cancelled => "cancelled",
            ApprovalState::Expired => "expired",
        }
    }
}
