//! Where the static policies are filed: under the most telling part of their scope, so that a decision looks only
//! at those whose scope may match. Every policy stands in exactly one place.

use crate::entity::Node;
use crate::hash::{self, Places};
use crate::rule::Rule;
use crate::scope::{Actions, Scope};

const BOTH: u64 = 1;
const PRINCIPAL: u64 = 2;
const RESOURCE: u64 = 3;
const ACTION: u64 = 4;
const PRINCIPAL_TYPE: u64 = 5;
const RESOURCE_TYPE: u64 = 6;

/// The index of a snapshot's static policies; a number stands for a place in its list.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: Places<Vec<u32>>,
    /// Policies whose scope says nothing: they are looked at in every decision.
    pub always: Vec<u32>,
    pairs: bool,
    principals: bool,
    resources: bool,
}

impl Index {
    /// Files the rules.
    pub fn of(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (number, rule) in (0u32..).zip(rules) {
            index.file(number, &rule.scope);
        }
        index
    }

    fn file(&mut self, number: u32, scope: &Scope) {
        let principal = scope.principal.entity().map(|uid| hash::entity(uid));
        let resource = scope.resource.entity().map(|uid| hash::entity(uid));
        self.pairs |= principal.is_some() && resource.is_some();
        self.principals |= principal.is_some() && resource.is_none();
        self.resources |= principal.is_none() && resource.is_some();
        match (principal, resource) {
            (Some(p), Some(r)) => self.put(hash::pair(BOTH, p, r), number),
            (Some(p), None) => self.put(hash::pair(PRINCIPAL, p, 0), number),
            (None, Some(r)) => self.put(hash::pair(RESOURCE, 0, r), number),
            (None, None) => self.file_wide(number, scope),
        }
    }

    fn file_wide(&mut self, number: u32, scope: &Scope) {
        if !matches!(scope.action, Actions::Any) {
            // An action may be in the list directly and through a group: it must still be found once only.
            let mut keys: Vec<u64> = scope.action.named().iter().map(|uid| hash::entity(uid)).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().for_each(|key| self.put(hash::pair(ACTION, key, 0), number));
        } else if let Some(kind) = scope.resource.kind() {
            self.put(hash::pair(RESOURCE_TYPE, hash::kind(kind), 0), number);
        } else if let Some(kind) = scope.principal.kind() {
            self.put(hash::pair(PRINCIPAL_TYPE, hash::kind(kind), 0), number);
        } else {
            self.always.push(number);
        }
    }

    fn put(&mut self, place: u64, number: u32) {
        self.places.entry(place).or_default().push(number);
    }

    /// Calls back for every policy whose scope may match these three; some of them may not.
    pub fn visit(&self, principal: &Node, action: &Node, resource: &Node, mut found: impl FnMut(u32)) {
        let mut at = |place: u64| {
            if let Some(numbers) = self.places.get(&place) {
                numbers.iter().for_each(|number| found(*number));
            }
        };
        if self.pairs {
            for p in principal.places() {
                resource.places().for_each(|r| at(hash::pair(BOTH, p, r)));
            }
        }
        if self.principals {
            principal.places().for_each(|p| at(hash::pair(PRINCIPAL, p, 0)));
        }
        if self.resources {
            resource.places().for_each(|r| at(hash::pair(RESOURCE, 0, r)));
        }
        action.places().for_each(|a| at(hash::pair(ACTION, a, 0)));
        at(hash::pair(RESOURCE_TYPE, resource.kind, 0));
        at(hash::pair(PRINCIPAL_TYPE, principal.kind, 0));
        self.always.iter().for_each(|number| found(*number));
    }
}
