//! What an act takes up until it is over: its part of meters, and its place in the history of its session.

use std::sync::Arc;

use bytes::Bytes;
use chancery_authenticate::Caller;
use chancery_authenticate::flows::Step;
use chancery_authenticate::meters::{Reservation, Touch};
use chancery_authorize::{Facts, Needs};
use chancery_model::{ActResult, Per, Use, problem};

use crate::intend::Intent;
use crate::refusal::{Refusal, rpc};

/// Taken with the decision, given back when the act is over. Dropped before, the act was not sent.
#[derive(Default)]
pub(crate) struct Claim {
    reservation: Option<Reservation>,
    step: Option<Step>,
    /// What the decision was made on, as far as policies looked at it.
    pub(crate) facts: Facts,
}

impl Claim {
    pub(crate) fn new(reservation: Option<Reservation>, step: Option<Step>, facts: Facts) -> Self {
        Self { reservation, step, facts }
    }

    /// Of an act that takes up nothing.
    pub(crate) fn none(facts: Facts) -> Self {
        Self { facts, ..Self::default() }
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

/// The counters that an act looks at, and what it reserves on those that count it.
pub(crate) fn touched<'m>(needs: &'m Needs, caller: &Caller, intent: &Intent) -> Result<Vec<Touch<'m>>, Refusal> {
    let mut touched = Vec::new();
    for (meter, read) in needs.meters.iter().zip(&needs.read) {
        let counted = intent.tool.as_ref().is_some_and(|tool| meter.covers(&intent.server, &tool.tool.name));
        let Some(subject) = subject(caller, meter.per).filter(|_| counted || *read) else { continue };
        let amount = if counted { meter.counts.reserve(&intent.arguments) } else { Ok(0) };
        let amount = amount.map_err(|why| {
            Refusal::new(problem::UNCOUNTABLE, rpc::DENIED, format!("{why}, and the meter `{}` counts it", meter.name))
                .status(http::StatusCode::OK)
        })?;
        touched.push(Touch { meter, subject, amount });
    }
    Ok(touched)
}

/// The counters that policies look at.
pub(crate) fn looked_at<'m>(needs: &'m Needs, caller: &Caller) -> Vec<Touch<'m>> {
    let read = needs.meters.iter().zip(&needs.read).filter(|(_, read)| **read);
    read.filter_map(|(meter, _)| Some(Touch { meter, subject: subject(caller, meter.per)?, amount: 0 })).collect()
}

/// Whose use of a meter it is; nobody's where there is none such.
fn subject(caller: &Caller, per: Per) -> Option<Arc<str>> {
    let text = match per {
        Per::Session => caller.flow(),
        Per::Agent => caller.agent.id.as_str(),
        Per::Sponsor => &caller.agent.sponsor,
        Per::Blueprint => caller.agent.blueprint.as_deref()?,
        Per::Human => caller.human.as_deref()?,
    };
    Some(text.into())
}
