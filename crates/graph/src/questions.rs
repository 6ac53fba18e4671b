//! What people ask.

use chancery_model::NodeKind;

use crate::flow::{DEPENDENTS, HOLDERS, RIGHTS, controllers};
use crate::graph::{Graph, Node};
use crate::walk::{Limits, Reach};

/// What stops working when something is taken away.
#[derive(Clone, Debug)]
pub struct Breaks {
    /// Who needs it, directly or through others, the nearest first.
    pub dependents: Reach,
    /// Of those who hold it directly: what they no longer reach.
    pub lost: Vec<Without>,
}

/// What somebody reaches through one node and not without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Without {
    /// Who.
    pub who: Node,
    /// What, the nearest to that node first.
    pub what: Vec<Node>,
}

impl Graph {
    /// What `from` can reach: everything whose rights or use flow to it.
    #[must_use]
    pub fn reach(&self, from: Node, limits: Limits) -> Reach {
        self.walk(from, |_| RIGHTS, false, limits, None)
    }

    /// Who can reach `to`.
    #[must_use]
    pub fn who_reaches(&self, to: Node, limits: Limits) -> Reach {
        self.walk(to, |_| HOLDERS, true, limits, None)
    }

    /// Who can act as `whom`: over hops that give [control](crate::Gives::Control), and over the use of a place that keeps
    /// what gives it.
    #[must_use]
    pub fn who_acts_as(&self, whom: Node, limits: Limits) -> Reach {
        self.walk(whom, controllers, true, limits, None)
    }

    /// What breaks when `what` is revoked or removed. The limits hold for each walk.
    #[must_use]
    pub fn breaks(&self, what: Node, limits: Limits) -> Breaks {
        let dependents = self.walk(what, |_| DEPENDENTS, true, limits, None);
        let holders = self.walk(what, |_| HOLDERS, true, Limits { hops: 1, ..limits }, None);
        let lost = self.without(holders.found().map(|(who, _)| who), what, limits);
        Breaks { dependents, lost }
    }

    /// The people who gain rights through `agent`: what it reaches and they do not reach without it, each within the
    /// limits.
    #[must_use]
    pub fn gains(&self, agent: Node, limits: Limits) -> Vec<Without> {
        let people = self.who_reaches(agent, limits);
        let people = people.found().map(|(who, _)| who).filter(|who| self.kind(*who) == Some(NodeKind::Human));
        self.without(people, agent, limits)
    }

    fn without(&self, who: impl Iterator<Item = Node>, via: Node, limits: Limits) -> Vec<Without> {
        let reach = self.reach(via, limits);
        let of = |who: Node| {
            let other = self.walk(who, |_| RIGHTS, false, limits, Some(via));
            let what = self.noting(|seen| {
                other.nodes().for_each(|node| _ = seen.mark(node));
                let what = reach.found().map(|(node, _)| node).filter(|node| !seen.has(node.0)).collect();
                other.nodes().for_each(|node| seen.clear(node));
                what
            });
            Without { who, what }
        };
        who.map(of).filter(|without| !without.what.is_empty()).collect()
    }
}
