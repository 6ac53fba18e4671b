//! Calls that wait for people.

use chancery_model::problem::{NO_APPROVAL, Problem};
use chancery_model::{Approval, ApprovalId, Demand, Digest, DryRun, Foretold, Timestamp, Vote};
use chancery_oversee::approvals::ApprovalError;
use serde::Serialize;

use crate::failure::{Answer, Failure};
use crate::rooms::Rooms;

pub(crate) mod cancel;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod metrics;

/// A request as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: ApprovalId,
    /// `pending`, `approved`, `denied`, `used`, `cancelled` or `expired`.
    state: &'static str,
    agent: String,
    chain: Vec<String>,
    human: Option<String>,
    session: String,
    /// The enforcer that asks, where it is not our gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforcer: Option<String>,
    server: String,
    method: String,
    target: String,
    /// The canonical arguments, as they would be sent.
    arguments: Option<String>,
    input: Option<String>,
    /// What the agent says why: a claim.
    reason: Option<String>,
    /// What the upstream says it would do, where it was asked before people were.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<DryRunView>,
    demands: Vec<Demand>,
    votes: Vec<Vote>,
    /// It was about no call. Said once it is over: before, people are to look.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    decoy: bool,
    /// SHA-256 of all that never changes: what a vote is for.
    digest: Digest,
    policy_version: String,
    /// Where people decide it.
    url: String,
    created_at: String,
    expires_at: String,
    decided_at: Option<String>,
    used_at: Option<String>,
}

/// A dry run. What is said in it are the upstream's words.
#[derive(Debug, Serialize)]
pub(crate) struct DryRunView {
    /// The tool that was called for it.
    tool: String,
    /// The argument that made a dry run of it, where it is the same tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
    /// The entry of that call, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    /// `effect`, `failure` or `nothing`, with what was said, or why nothing was.
    foretold: Foretold,
    at: String,
}

impl From<DryRun> for DryRunView {
    fn from(dry_run: DryRun) -> Self {
        let DryRun { tool, argument, entry, foretold, at } = dry_run;
        Self { tool, argument, entry, foretold, at: at.rfc3339() }
    }
}

impl View {
    pub(crate) fn of(approval: Approval, rooms: &Rooms) -> Self {
        Self {
            state: approval.standing(rooms.clock.now()),
            decoy: approval.decoy && !approval.is_pending(rooms.clock.now()),
            digest: rooms.approvals.digest(&approval),
            url: format!("{}/approvals/{}", rooms.url, approval.id),
            id: approval.id,
            agent: approval.agent_name,
            chain: approval.chain,
            human: approval.human,
            session: approval.session.to_string(),
            enforcer: approval.enforcer.map(|enforcer| enforcer.name),
            server: approval.server,
            method: approval.method,
            target: approval.target,
            arguments: approval.arguments,
            input: approval.input,
            reason: approval.reason,
            dry_run: approval.dry_run.map(DryRunView::from),
            demands: approval.demands,
            votes: approval.votes,
            policy_version: approval.policy_version,
            created_at: approval.created_at.rfc3339(),
            expires_at: approval.expires_at.rfc3339(),
            decided_at: approval.decided_at.map(Timestamp::rfc3339),
            used_at: approval.used_at.map(Timestamp::rfc3339),
        }
    }
}

/// The id in an address.
pub(crate) fn id(text: &str) -> Answer<ApprovalId> {
    text.parse()
        .map_err(|_| Problem::new(NO_APPROVAL, format!("`{}`", text.chars().take(80).collect::<String>())).into())
}

impl From<ApprovalError> for Failure {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Store(error) => error.into(),
            error => Problem::new(error.row(), error.to_string()).into(),
        }
    }
}
