//! The effective right: what the agent may, and every agent for whom it acts, and the person, and the task.
//!
//! Each part is asked the same question with another principal. The strictest answer stands, and says whose it is.

use std::sync::Arc;

use cedar_policy_core::ast::EntityType;
use chancery_model::problem::{DENIED, OUTSIDE_TASK};
use chancery_model::{Covered, Limit, Outcome, Timestamp};

use super::query::{self, Refusal};
use super::{Engine, State, delegate};
use crate::call::Acting;
use crate::decide::{For, Query};
use crate::entity::Node;
use crate::faults;
use crate::verdict::Verdict;

/// One whose right it takes beside the agent's that acts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// An agent for whom it acts.
    Agent(&'a str),
    /// The person in whose name.
    Human(&'a str),
}

impl Part<'_> {
    /// As sentences name it.
    pub fn named(&self) -> String {
        match self {
            Self::Agent(name) => format!("agent `{name}`"),
            Self::Human(name) => format!("person `{name}`"),
        }
    }
}

/// Everybody whose right it takes beside the agent's, from the nearest to the person at the root.
pub(crate) fn parts<'a>(by: &Acting<'a>) -> impl Iterator<Item = Part<'a>> + use<'a> {
    let (ancestors, human) = (by.ancestors, by.human);
    ancestors.iter().rev().map(|name| Part::Agent(name)).chain(human.map(Part::Human))
}

/// The same question about another principal.
pub(crate) fn asked_of(state: &State, query: &Query, part: Part<'_>, now: Timestamp) -> Result<Query, Refusal> {
    let (principal, mode) = match part {
        Part::Agent(name) => (Arc::clone(&query::acting(state, name, now)?.node), query.mode),
        Part::Human(name) => (delegate::human(state, name)?, For::Anybody),
    };
    takes(query, &principal)?;
    Ok(Query { principal, mode, ..query.clone() })
}

fn takes(query: &Query, principal: &Node) -> Result<(), Refusal> {
    let kind: &EntityType = principal.uid.entity_type();
    if query.action.takes_principal(kind) {
        return Ok(());
    }
    Err(Refusal::new(DENIED, format!("the schema lets no {kind} do this")))
}

/// Do all limits of the chain cover one of these acts?
pub(crate) fn covered(by: &Acting<'_>, acts: &[Covered<'_>]) -> Result<(), Refusal> {
    let covers = |set: &Arc<[Limit]>| acts.iter().any(|act| Limit::cover(set, *act));
    match by.limits.iter().all(covers) {
        true => Ok(()),
        false => Err(Refusal::new(OUTSIDE_TASK, "the limits of its session do not cover this")),
    }
}

impl Engine {
    /// The answer to a question that all parts must agree on.
    pub(super) fn together(
        &self,
        state: &State,
        query: &Query,
        by: &Acting<'_>,
        acts: &[Covered<'_>],
        now: Timestamp,
    ) -> Verdict {
        let mut whole = Verdict::of(self.decide(state, query, now));
        if by.ancestors.is_empty() && by.human.is_none() && by.limits.is_empty() {
            return whole;
        }
        whole = whole.of_part(&Part::Agent(by.agent).named());
        for part in parts(by).filter(|_| !faults::alone()) {
            let answer = match asked_of(state, query, part, now) {
                Ok(query) => Verdict::of(self.decide(state, &query, now)),
                Err(refusal) => refusal.verdict(&state.snapshot),
            };
            whole = stricter(whole, answer.of_part(&part.named()));
        }
        match covered(by, acts) {
            Err(_) if faults::limitless() => whole,
            Ok(()) => whole,
            Err(refusal) => stricter(whole, refusal.verdict(&state.snapshot).of_part("task")),
        }
    }
}

/// The stricter of two answers. Two that allow allow by everything that determined either.
fn stricter(mut first: Verdict, second: Verdict) -> Verdict {
    match second.decision.outcome.strictness().cmp(&first.decision.outcome.strictness()) {
        std::cmp::Ordering::Greater => second,
        std::cmp::Ordering::Less => first,
        std::cmp::Ordering::Equal => {
            if first.allows() || first.decision.outcome == Outcome::RequireApproval {
                first.decision.determining.extend(second.decision.determining);
            }
            for demand in second.decision.demands {
                if !first.decision.demands.contains(&demand) {
                    first.decision.demands.push(demand);
                }
            }
            first.decision.max_age = match (first.decision.max_age, second.decision.max_age) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            first
        }
    }
}
