//! What an act takes up until it is over: its part of meters, and its place in the history of its session.

use std::sync::Arc;

use bytes::Bytes;
use chancery_authenticate::Caller;
use chancery_authenticate::flows::Step;
use chancery_authenticate::meters::{Reservation, Touch};
use chancery_authorize::{Needs, Verdict};
use chancery_model::{ActResult, Counts, Covered, LIMITS, Limit, Meter, Outcome, Per, SessionId, Use, Window, problem};

use crate::gateway::Gateway;
use crate::intend::Intent;
use crate::refusal::{Refusal, rpc};

/// Taken with the decision, given back when the act is over; nothing by default. Dropped before, the act was not sent.
#[derive(Default)]
pub(crate) struct Claim {
    reservation: Option<Reservation>,
    step: Option<Step>,
}

impl Claim {
    pub(crate) fn new(reservation: Option<Reservation>, step: Option<Step>) -> Self {
        Self { reservation, step }
    }

    /// What is reserved, for the intent.
    pub(crate) fn uses(&self) -> Vec<Use> {
        self.reservation.as_ref().map_or_else(Vec::new, Reservation::uses)
    }

    /// The act ended so: what it came to, for its outcome.
    pub(crate) fn end(self, ended: ActResult, result: Option<&Bytes>) -> Vec<Use> {
        let settled = self.reservation.map_or_else(Vec::new, |reservation| {
            let looked_at = result.filter(|_| reservation.wants_result());
            reservation.settle(ended, looked_at.and_then(|bytes| serde_json::from_slice(bytes).ok()).as_ref())
        });
        // Whoever waits for it sees what it counted as.
        if let Some(step) = self.step {
            step.end(ended);
        }
        settled
    }
}

/// The counters that an act looks at, and what it reserves on those that count it: the declared meters, and the calls
/// that limits of its sessions leave.
pub(crate) fn touched<'m>(
    gateway: &'m Gateway,
    needs: &'m Needs,
    caller: &Caller,
    intent: &Intent,
) -> Result<Vec<Touch<'m>>, Refusal> {
    let mut touched = Vec::new();
    for (meter, read) in needs.meters.iter().zip(&needs.read) {
        let counted = intent.tool.as_ref().is_some_and(|tool| meter.covers(&intent.server, &tool.tool.name));
        if !counted && !*read {
            continue;
        }
        let amount = if counted { meter.counts.reserve(&intent.arguments) } else { Ok(0) };
        let amount = amount.map_err(|why| uncountable(meter, &why))?;
        touched.extend(subjects(caller, meter.per).into_iter().map(|subject| Touch { meter, subject, amount }));
    }
    for (session, number, _) in counting(caller, intent) {
        if let Some(meter) = gateway.limits.get(number) {
            touched.push(Touch { meter, subject: session.as_str().into(), amount: 1 });
        }
    }
    Ok(touched)
}

fn uncountable(meter: &Meter, why: &str) -> Refusal {
    let why = format!("{why}, and the meter `{}` counts it", meter.name);
    Refusal::new(problem::UNCOUNTABLE, rpc::DENIED, why).status(http::StatusCode::OK)
}

/// The counters that policies look at.
pub(crate) fn looked_at<'m>(needs: &'m Needs, caller: &Caller) -> Vec<Touch<'m>> {
    let read = needs.meters.iter().zip(&needs.read).filter(|(_, read)| **read).map(|(meter, _)| meter);
    read.flat_map(|meter| subjects(caller, meter.per).into_iter().map(|subject| Touch { meter, subject, amount: 0 }))
        .collect()
}

/// Whose use of a meter it is, everybody of the chain once; nobody's where there is none such.
fn subjects(caller: &Caller, per: Per) -> Vec<Arc<str>> {
    let agents = || caller.ancestors.iter().chain([&caller.agent]);
    let mut subjects: Vec<&str> = match per {
        Per::Session => vec![caller.flow()],
        Per::Agent => agents().map(|agent| agent.id.as_str()).collect(),
        Per::Sponsor => agents().map(|agent| agent.sponsor.as_str()).collect(),
        Per::Blueprint => agents().filter_map(|agent| agent.blueprint.as_deref()).collect(),
        Per::Human => caller.human.as_deref().into_iter().collect(),
    };
    subjects.sort_unstable();
    subjects.dedup();
    subjects.into_iter().map(Arc::from).collect()
}

// --- calls that limits leave ----------------------------------------------------------------------------------------

/// One counter for each place in a set of limits. No declared meter has such a name.
pub(crate) fn limit_meters() -> Vec<Meter> {
    let meter = |number| Meter {
        name: format!("{LIMIT}{number}").into(),
        counts: Counts::Calls,
        per: Per::Session,
        window: Window::Session,
        of: None,
    };
    (0..LIMITS).map(meter).collect()
}

/// What the names of their counters begin with.
pub(crate) const LIMIT: &str = "limit/";

pub(crate) fn is_limit(touch: &Touch<'_>) -> bool {
    touch.meter.name.starts_with(LIMIT)
}

/// The limits that cover a call and count it: whose session, which place in its set, how many calls. A set in which
/// some limit covers it without counting counts nothing.
fn counting<'c>(caller: &'c Caller, intent: &'c Intent) -> impl Iterator<Item = (&'c SessionId, usize, i64)> {
    let sets = caller.narrowed.iter().zip(&caller.limits);
    sets.flat_map(move |(session, set)| left_by(set, intent).into_iter().map(move |(n, calls)| (session, n, calls)))
}

fn left_by(set: &[Limit], intent: &Intent) -> Vec<(usize, i64)> {
    let Some(tool) = &intent.tool else { return Vec::new() };
    let act = Covered::Call(&intent.server, &tool.tool.name, &intent.arguments);
    let mut counting = Vec::new();
    for (number, limit) in set.iter().enumerate().filter(|(_, limit)| limit.covers(act)) {
        match limit {
            Limit::McpTool { calls: Some(calls), .. } => counting.push((number, i64::from(*calls))),
            _ => return Vec::new(),
        }
    }
    counting
}

/// Turns an allow into a deny where some set has no call left for it.
pub(crate) fn used_up(
    mut verdict: Verdict,
    caller: &Caller,
    intent: &Intent,
    (touched, values): (&[Touch<'_>], &[i64]),
) -> Verdict {
    let used = |session: &SessionId, number: usize| {
        let name = format!("{LIMIT}{number}");
        let mut counters = touched.iter().zip(values);
        counters.find(|(t, _)| *t.meter.name == *name && *t.subject == *session.as_str()).map_or(0, |(_, value)| *value)
    };
    let over = caller.narrowed.iter().zip(&caller.limits).find_map(|(session, set)| {
        let counting = left_by(set, intent);
        let most = counting.iter().map(|(_, calls)| *calls).max()?;
        counting.iter().all(|(number, calls)| used(session, *number) >= *calls).then_some(most)
    });
    if let (Some(most), true) = (over, verdict.permit.is_some()) {
        verdict.permit = None;
        verdict.code = Some(problem::OUTSIDE_TASK);
        verdict.why = format!("task: the {most} calls that it has are used up").into();
        verdict.decision.outcome = Outcome::Deny;
        verdict.decision.determining.clear();
        verdict.decision.part = Some("task".into());
    }
    verdict
}
