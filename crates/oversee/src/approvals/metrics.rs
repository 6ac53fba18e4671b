//! How people decide: how fast, and how often others decided otherwise.
//!
//! Whoever is asked too often stops looking. These numbers say so before something happens.

use std::collections::BTreeMap;

use chancery_model::{Approval, ApprovalState, Finding, Severity, Span, Timestamp, Vote};

use super::median;

/// Less time than it takes to read.
const GLANCE: Span = Span::seconds(3);
/// So many timed decisions say something.
pub(super) const ENOUGH: usize = 20;
/// The share of glances from which on it is a finding, in percent.
const OFTEN: usize = 50;

/// One person's decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Who.
    pub person: String,
    /// How many.
    pub decisions: usize,
    /// How many of them were a yes.
    pub approved: usize,
    /// Of how many it is known how long they took.
    pub timed: usize,
    /// The middle one of those times, in seconds.
    pub median_seconds: Option<f64>,
    /// How many of them took less than three seconds.
    pub glances: usize,
    /// How many others decided otherwise, or were undone later.
    pub overridden: usize,
}

/// Those of everybody who decided something, by name.
pub fn metrics(approvals: &[Approval]) -> Vec<Metrics> {
    let mut votes: BTreeMap<&str, Vec<(&Approval, &Vote)>> = BTreeMap::new();
    for approval in approvals {
        for vote in &approval.votes {
            votes.entry(&vote.name).or_default().push((approval, vote));
        }
    }
    votes.into_iter().map(|(person, votes)| of(person, &votes)).collect()
}

fn of(person: &str, votes: &[(&Approval, &Vote)]) -> Metrics {
    let times: Vec<Span> =
        votes.iter().filter_map(|(_, vote)| Some(vote.at - vote.shown_at?)).filter(|took| took.0 >= 0).collect();
    let seconds = |took: &Span| f64::from(i32::try_from(took.0 / 1_000).unwrap_or(i32::MAX)) / 1_000.0;
    Metrics {
        person: person.to_owned(),
        decisions: votes.len(),
        approved: votes.iter().filter(|(_, vote)| vote.approve).count(),
        timed: times.len(),
        median_seconds: median(times.iter().map(seconds).collect()),
        glances: times.iter().filter(|took| **took < GLANCE).count(),
        overridden: votes.iter().filter(|(approval, vote)| overridden(approval, vote)).count(),
    }
}

/// Did somebody else say otherwise, or was what they let through taken back?
fn overridden(approval: &Approval, vote: &Vote) -> bool {
    let otherwise = approval.votes.iter().any(|other| other.person != vote.person && other.approve != vote.approve);
    otherwise || (vote.approve && approval.state == ApprovalState::Cancelled)
}

impl Metrics {
    /// The rule of the finding about whoever does not look.
    pub const FINDING: &'static str = "approves-at-a-glance";

    /// Does this person decide most of what they are asked without having read it?
    pub fn is_hasty(&self) -> bool {
        self.timed >= ENOUGH && self.glances * 100 >= self.timed * OFTEN
    }

    /// What is to be found about them.
    pub(super) fn finding(&self, now: Timestamp) -> Finding {
        Finding {
            rule: Self::FINDING.to_owned(),
            subject: self.person.clone(),
            severity: Severity::Medium,
            evidence: format!(
                "`{}` decided {} of the last {} requests in less than three seconds: they are asked too often, or do not look",
                self.person, self.glances, self.timed
            ),
            owasp: "ASI09".to_owned(),
            opened_at: now,
            closed_at: None,
        }
    }
}
