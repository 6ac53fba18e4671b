//! The kill switch.

use chancery_gateway::{Confirmation, UnderWay};
use chancery_model::problem::Problem;
use chancery_model::{Containment, Scope, Span, Timestamp};
use chancery_oversee::containment::{ContainError, Means, Wanted};
use chancery_store::How;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::rooms::Rooms;

pub(crate) mod contain;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod lift;
pub(crate) mod list;
pub(crate) mod preview;

/// What somebody wants to stop.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    scope: Scope,
    /// Which one; left out for everything.
    #[serde(default)]
    subject: String,
    /// Why. In an emergency nobody is asked for a reason first.
    #[serde(default)]
    reason: Option<String>,
}

/// A containment as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    scope: Scope,
    subject: String,
    in_force: bool,
    reason: String,
    by: String,
    at: String,
    lifted_at: Option<String>,
    lifted_by: Option<String>,
    lift_reason: Option<String>,
}

/// What it would stop at this moment.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    scope: Scope,
    subject: String,
    /// It is contained already.
    already: Option<String>,
    agents: usize,
    /// Sessions that admit calls, those below others included.
    sessions: usize,
    calls: usize,
    connections: usize,
    processes: usize,
    /// Requests that wait for people, or were approved and not used.
    approvals: usize,
}

/// One place that enforces it.
#[derive(Debug, Serialize)]
pub(crate) struct Confirmed {
    point: String,
    /// Microseconds since the switch was thrown.
    after_us: i64,
    /// How much there was to stop.
    stopped: usize,
    #[serde(skip_serializing_if = "is_none")]
    left: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references over")]
fn is_none(left: &usize) -> bool {
    *left == 0
}

impl Asked {
    fn wanted<'a>(&'a self, rooms: &Rooms, by: &'a str) -> Wanted<'a> {
        let reason = self.reason.as_deref().filter(|reason| !reason.trim().is_empty()).unwrap_or("not stated");
        let known = self.scope == Scope::Server && rooms.config.servers.contains_key(&self.subject);
        Wanted { scope: self.scope, subject: &self.subject, known, reason, by }
    }
}

impl Rooms {
    /// Where and by what the nouns of oversight are written.
    pub(crate) fn means(&self) -> Means<'_> {
        Means { store: &self.store, clock: &*self.clock, random: &*self.random }
    }
}

impl From<&Containment> for View {
    fn from(containment: &Containment) -> Self {
        Self {
            id: containment.id.to_string(),
            scope: containment.scope,
            subject: containment.subject.clone(),
            in_force: containment.is_in_force(),
            reason: containment.reason.clone(),
            by: containment.by.clone(),
            at: containment.at.rfc3339(),
            lifted_at: containment.lifted_at.map(Timestamp::rfc3339),
            lifted_by: containment.lifted_by.clone(),
            lift_reason: containment.lift_reason.clone(),
        }
    }
}

impl Confirmed {
    fn at(point: impl Into<String>, after: Span) -> Self {
        Self { point: point.into(), after_us: after.0, stopped: 0, left: 0 }
    }
}

impl From<Confirmation> for Confirmed {
    fn from(at: Confirmation) -> Self {
        Self { point: at.point.to_owned(), after_us: at.after.0, stopped: at.stopped, left: at.left }
    }
}

impl From<chancery_store::Confirmation> for Confirmed {
    fn from(node: chancery_store::Confirmation) -> Self {
        let how = match node.how {
            How::Confirmed => "node",
            How::LeaseEnded => "node without a lease",
            How::Unconfirmed => "node that has not confirmed",
        };
        Self::at(format!("{how} {}", node.node), node.after)
    }
}

impl Preview {
    fn of(rooms: &Rooms, containment: &Containment, already: Option<String>, approvals: usize) -> Self {
        let reached = rooms.authenticator.count_reached(containment);
        let UnderWay { calls, connections, processes } = rooms.gateway.would_stop(containment);
        Self {
            scope: containment.scope,
            subject: containment.subject.clone(),
            already,
            agents: reached.agents,
            sessions: reached.sessions,
            calls,
            connections,
            processes,
            approvals,
        }
    }
}

impl From<ContainError> for Failure {
    fn from(error: ContainError) -> Self {
        Problem::new(error.row(), error.to_string()).into()
    }
}
