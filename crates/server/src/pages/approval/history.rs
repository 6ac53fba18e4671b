//! What the agent usually does with the tool, beside what it wants to do now.

use std::collections::BTreeMap;

use chancery_model::{Approval, Kind, Span};
use chancery_oversee::approvals::{median, numbers};
use chancery_record::{Filter, Found};
use chancery_store::bodies;

use crate::rooms::Rooms;

/// Calls of a week that are looked at.
const WEEK: usize = 200;
/// Numbers that are compared, at the most.
const COMPARED: usize = 3;

/// What was there before, of the same agent and tool.
#[derive(Debug, Default, PartialEq)]
pub(super) struct History {
    /// Calls within a week; [`WEEK`] stands for that many or more.
    calls: usize,
    /// The middle and the highest value of each number among their arguments.
    usual: BTreeMap<String, (f64, f64)>,
}

/// What the agent did with the tool within a week.
pub(super) async fn of(rooms: &Rooms, approval: &Approval) -> History {
    let filter = Filter {
        agent: Some(approval.agent.to_string()),
        server: Some(approval.server.clone()),
        tool: Some(approval.target.clone()),
        kind: Some(Kind::Intent),
        since: Some(rooms.clock.now() - Span::days(7)),
        ..Filter::default()
    };
    let done = |found: &Found| !found.entry.draft.what.is_dry_run();
    let found = rooms.recorder.search_those(&filter, &done, WEEK).await.unwrap_or_default();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for intent in &found {
        let kept = bodies::get(&rooms.store, intent.position).await.unwrap_or_default();
        let arguments = kept.into_iter().find(|body| body.name == "arguments").and_then(|body| body.kept);
        let Some(text) = arguments.and_then(|kept| String::from_utf8(kept.content).ok()) else { continue };
        for (path, number) in numbers(&text) {
            values.entry(path).or_default().push(number);
        }
    }
    let usual = values.into_iter().filter_map(|(path, numbers)| {
        let highest = numbers.iter().copied().fold(f64::MIN, f64::max);
        Some((path, (median(numbers)?, highest)))
    });
    History { calls: found.len(), usual: usual.collect() }
}

impl History {
    /// How this one lies beside what the agent usually does with the tool.
    pub(super) fn beside(&self, arguments: Option<&str>) -> String {
        let calls = match self.calls {
            0 => return "First time: this agent has not used the tool this week.".to_owned(),
            1 => "One other this week".to_owned(),
            WEEK.. => format!("{WEEK} others or more this week"),
            calls => format!("{calls} others this week"),
        };
        let now = arguments.map(numbers).unwrap_or_default();
        let compared = |(path, number): (&String, &f64)| {
            let (median, highest) = self.usual.get(path)?;
            let above = if number > highest { ", more than ever in that time" } else { "" };
            (median != number).then(|| format!("{path} {number}, median {median}{above}"))
        };
        let compared: Vec<String> = now.iter().filter_map(compared).take(COMPARED).collect();
        if compared.is_empty() { format!("{calls}.") } else { format!("{calls}: {}.", compared.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_beside_the_usual_one() {
        let history = |calls| History { calls, usual: [("amount".to_owned(), (35.0, 120.0))].into() };
        let beside = |calls, arguments| history(calls).beside(Some(arguments));
        assert_eq!(
            beside(14, r#"{"amount":340}"#),
            "14 others this week: amount 340, median 35, more than ever in that time."
        );
        assert_eq!(beside(14, r#"{"amount":80}"#), "14 others this week: amount 80, median 35.");
        assert_eq!(beside(1, r#"{"amount":35,"other":2}"#), "One other this week.");
        assert_eq!(beside(0, "{}"), "First time: this agent has not used the tool this week.");
        assert!(beside(200, "{}").starts_with("200 others or more"));
    }
}
