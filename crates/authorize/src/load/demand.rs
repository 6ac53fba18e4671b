//! What a policy says of the approval it asks for.

use std::sync::Arc;

use cedar_policy_core::ast::Template;
use chancery_model::{ApprovalKind, Demand, Outcome, Risk};

use super::annotation;
use crate::rule::reads_approval;

/// The longest that people may have, in seconds: a week.
const LONGEST: i64 = 604_800;
/// More people than this never agree.
const QUORUM: u32 = 10;
/// The annotations that say more about an approval.
const SAYS: [&str; 5] = ["approval", "approvers", "quorum", "risk", "approve_within"];

/// What it wants, if it asks for an approval: by its outcome, or by looking at `context.approval`.
pub(super) fn demand(id: &Arc<str>, outcome: Outcome, template: &Template) -> Result<Option<Demand>, String> {
    let asks = outcome == Outcome::RequireApproval || template.non_scope_constraints().is_some_and(reads_approval);
    if !asks {
        return match SAYS.into_iter().find(|name| annotation(template, name).is_some()) {
            None => Ok(None),
            Some(name) => Err(format!("`@{name}` stands before a policy that asks for no approval")),
        };
    }
    let mut demand = Demand::of(Arc::clone(id));
    for name in SAYS {
        if let Some(said) = annotation(template, name) {
            say(&mut demand, name, said.trim())?;
        }
    }
    if demand.kind == ApprovalKind::Confirm && (demand.group.is_some() || demand.quorum != 1) {
        return Err("a `confirm` is of one person, who is known: it has no `approvers` and no `quorum`".into());
    }
    Ok(Some(demand))
}

fn say(demand: &mut Demand, name: &str, said: &str) -> Result<(), String> {
    match (name, said) {
        ("approval", "four_eyes") => demand.kind = ApprovalKind::FourEyes,
        ("approval", "confirm") => demand.kind = ApprovalKind::Confirm,
        ("approvers", group) if !group.is_empty() => demand.group = Some(group.into()),
        ("risk", "low") => demand.risk = Risk::Low,
        ("risk", "medium") => demand.risk = Risk::Medium,
        ("risk", "high") => demand.risk = Risk::High,
        ("quorum", number) => demand.quorum = within(number, QUORUM, "people")?,
        ("approve_within", seconds) => demand.within = within(seconds, LONGEST, "seconds")?,
        _ => return Err(format!("`@{name}` cannot be `{said}`")),
    }
    Ok(())
}

fn within<N: std::str::FromStr + PartialOrd + From<u8> + std::fmt::Display>(
    text: &str,
    most: N,
    of: &str,
) -> Result<N, String> {
    let number = text.parse::<N>().ok().filter(|number| *number >= N::from(1) && *number <= most);
    number.ok_or_else(|| format!("`{text}` is no number of {of} from 1 to {most}"))
}
