//! Who may say yes or no: as themselves, or in the place of somebody who asked them to stand in.

use std::sync::Arc;

use chancery_model::{Approval, ApprovalKind, Demand, Person, StandInId};

use super::ApprovalError;

/// Whoever says yes or no.
#[derive(Clone, Debug)]
pub struct Approver<'a> {
    /// Who.
    pub person: &'a Person,
    /// The groups they are in.
    pub groups: &'a [String],
    /// Do they have the role `approver`?
    pub approver: bool,
    /// The places of others that they hold at this moment.
    pub places: &'a [Place],
}

/// The place of somebody, held by somebody else.
#[derive(Clone, Debug)]
pub struct Place {
    /// What says so.
    pub stand_in: StandInId,
    /// Whose it is.
    pub person: Arc<Person>,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// Do they have the role `approver`?
    pub approver: bool,
}

/// A place from which something is said.
#[derive(Clone, Copy)]
struct Seat<'a> {
    name: &'a str,
    groups: &'a [String],
    approver: bool,
}

impl<'a> From<&Approver<'a>> for Seat<'a> {
    fn from(by: &Approver<'a>) -> Self {
        Self { name: &by.person.name, groups: by.groups, approver: by.approver }
    }
}

impl<'a> From<&'a Place> for Seat<'a> {
    fn from(place: &'a Place) -> Self {
        Self { name: &place.person.name, groups: &place.groups, approver: place.approver }
    }
}

/// May they say anything to it? As themselves, or in whose place.
///
/// # Errors
/// The reason why not, of the demand that comes nearest.
pub fn may_decide<'a>(approval: &Approval, by: &Approver<'a>) -> Result<Option<&'a Place>, ApprovalError> {
    if !by.person.is_active() {
        return Err(ApprovalError::NotTheirs("this person is suspended".into()));
    }
    let mut why = "nothing asks for them".to_owned();
    for demand in &approval.demands {
        match meets(approval, demand, by.into()) {
            Ok(()) => return Ok(None),
            Err(reason) => why = reason,
        }
    }
    let name = &by.person.name;
    // Whoever asks does not get a say by standing in for somebody else.
    if approval.human.as_ref() == Some(name) || owns(approval, name, by.groups) {
        return Err(ApprovalError::NotTheirs(why));
    }
    let free = |place: &&Place| !has_spoken(approval, &place.person) && place.person.is_active();
    let asked = |place: &&Place| {
        approval.demands.iter().any(|demand| others(demand) && meets(approval, demand, (*place).into()).is_ok())
    };
    by.places.iter().filter(free).find(asked).map(Some).ok_or(ApprovalError::NotTheirs(why))
}

/// Has this person, or somebody in their place, said something?
pub fn has_spoken(approval: &Approval, person: &Person) -> bool {
    approval.votes.iter().any(|vote| vote.person == person.id || vote.for_person.as_ref() == Some(&person.name))
}

/// The policies whose demand is met by what is said from a place.
pub(super) fn met(approval: &Approval, by: &Approver<'_>, place: Option<&Place>) -> Vec<Arc<str>> {
    let met = |demand: &&Demand| match place {
        None => meets(approval, demand, by.into()).is_ok(),
        Some(place) => others(demand) && meets(approval, demand, place.into()).is_ok(),
    };
    approval.demands.iter().filter(met).map(|demand| demand.policy.clone()).collect()
}

/// Is it somebody else that is asked? What a person confirms for themselves nobody confirms in their place.
fn others(demand: &Demand) -> bool {
    demand.kind == ApprovalKind::FourEyes
}

/// Is an agent that does it theirs, or their group's?
fn owns(approval: &Approval, name: &str, groups: &[String]) -> bool {
    approval.owners.iter().any(|owner| owner == name || groups.contains(owner))
}

/// Is it among those whose yes one policy asks for?
fn meets(approval: &Approval, demand: &Demand, seat: Seat<'_>) -> Result<(), String> {
    let name = seat.name;
    let owns = || owns(approval, name, seat.groups);
    match (demand.kind, &approval.human) {
        (ApprovalKind::Confirm, Some(human)) if human == name => Ok(()),
        (ApprovalKind::Confirm, None) if owns() => Ok(()),
        (ApprovalKind::Confirm, _) => Err("only the person in whose name it is done confirms it".into()),
        (ApprovalKind::FourEyes, Some(human)) if human == name => {
            Err("it is done in their own name: somebody else has to approve it".into())
        }
        (ApprovalKind::FourEyes, _) if owns() => {
            Err("they own an agent that does it, or are in a group that does: somebody else has to approve it".into())
        }
        (ApprovalKind::FourEyes, _) => match &demand.group {
            Some(group) if seat.groups.iter().any(|theirs| **theirs == **group) => Ok(()),
            Some(group) => Err(format!("they are not in the group `{group}`")),
            None if seat.approver => Ok(()),
            None => Err("they do not have the role `approver`".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use chancery_model::{AgentId, ApprovalId, ApprovalState, Digest, Random, SessionId, Timestamp};

    use super::*;

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    fn approval(owner: &str) -> Approval {
        let now = Timestamp(1);
        Approval {
            id: ApprovalId::new(now, &Zeros),
            call: Digest([7; 32]),
            agent: AgentId::new(now, &Zeros),
            agent_name: "crm".into(),
            session: SessionId::new(now, &Zeros),
            chain: vec!["crm".into()],
            human: None,
            owners: vec![owner.into()],
            server: "billing".into(),
            method: "tools/call".into(),
            target: "refund".into(),
            definition: None,
            arguments: None,
            input: None,
            reason: None,
            dry_run: None,
            policy_version: "v1".into(),
            demands: vec![Demand::of("refunds".into())],
            created_at: now,
            expires_at: Timestamp(i64::MAX),
            enforcer: None,
            decoy: false,
            state: ApprovalState::Pending,
            votes: Vec::new(),
            decided_at: None,
            used_at: None,
            erased: None,
        }
    }

    #[test]
    fn four_eyes_are_not_those_of_the_group_that_owns_the_agent() {
        let may = |owner: &str, groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            let seat = Seat { name: "ann", groups: &groups, approver: true };
            meets(&approval(owner), &Demand::of("refunds".into()), seat).is_ok()
        };
        assert!(may("lee", &["ap-finance"]));
        assert!(!may("ann", &[]) && !may("ap-finance", &["ap-finance"]));
    }
}
