//! Breadth first from a node: each node once, by a shortest way.

use chancery_model::{EdgeKind, NodeKind};

use crate::flow::{HOLDERS, RIGHTS, Takes};
use crate::graph::{Graph, Node};

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Hops from where it starts.
    pub hops: u32,
    /// Nodes; when there are more, the answer says that it is not [complete](Reach::is_complete).
    pub nodes: usize,
}

impl Limits {
    /// Everything.
    pub const NONE: Self = Self { hops: u32::MAX, nodes: usize::MAX };

    /// So many hops, and every node within.
    #[must_use]
    pub const fn hops(hops: u32) -> Self {
        Self { hops, ..Self::NONE }
    }
}

/// One bit for each node.
#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<u64>);

impl Seen {
    pub(crate) fn fit(&mut self, nodes: usize) {
        if self.0.len() < nodes.div_ceil(64) {
            self.0.resize(nodes.div_ceil(64), 0);
        }
    }

    pub(crate) fn has(&self, node: u32) -> bool {
        self.0[node as usize / 64] >> (node % 64) & 1 == 1
    }

    /// Whether it was not there.
    pub(crate) fn mark(&mut self, node: u32) -> bool {
        let new = !self.has(node);
        self.0[node as usize / 64] |= 1 << (node % 64);
        new
    }

    pub(crate) fn clear(&mut self, node: u32) {
        self.0[node as usize / 64] &= !(1 << (node % 64));
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    node: u32,
    /// The step it was found from; the first is its own.
    from: u32,
    kind: u8,
    /// The edge was gone along from its head to its tail.
    against: bool,
}

/// Whom or what a walk found, the nearest first.
#[derive(Clone, Debug)]
pub struct Reach {
    steps: Vec<Step>,
    /// Where each distance begins: `rings[0]` is 0, the start itself.
    rings: Vec<usize>,
    complete: bool,
    /// The walk went from what is had to who has it.
    backward: bool,
}

/// One hop of a [`Path`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// How.
    pub kind: EdgeKind,
    /// The edge stands the other way round in the inventory: `to` KIND the node before.
    pub against: bool,
    /// Where to.
    pub to: Node,
}

/// From somebody to something, hop by hop, as rights flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Who.
    pub from: Node,
    /// The hops; none when both ends are one.
    pub hops: Vec<Hop>,
}

impl Reach {
    /// How many were found, without the start.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len() - 1
    }

    /// Nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether everything within the hops was found. If not, there were more nodes than the limit.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Who was found and at how many hops, the nearest first, without the start.
    pub fn found(&self) -> impl Iterator<Item = (Node, usize)> + '_ {
        let ring = |at: usize| self.rings.partition_point(|start| *start <= at) - 1;
        self.steps.iter().enumerate().skip(1).map(move |(at, step)| (Node(step.node), ring(at)))
    }

    /// The way to one that was found, as rights flow: from the start to it, or, when it was asked who, from it to the
    /// start. Nothing when it was not found.
    #[must_use]
    pub fn path(&self, node: Node) -> Option<Path> {
        let mut at = self.steps.iter().position(|step| step.node == node.0)?;
        let mut chain = vec![self.steps[at]];
        while at != 0 {
            at = self.steps[at].from as usize;
            chain.push(self.steps[at]);
        }
        Some(path(&chain, self.backward))
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.steps.iter().map(|step| step.node)
    }
}

/// A chain of steps, the last first, as a path along the flow of rights.
fn path(chain: &[Step], backward: bool) -> Path {
    let hop = |step: &Step, to: u32| Hop {
        kind: EdgeKind::ALL[usize::from(step.kind)],
        against: step.against != backward,
        to: Node(to),
    };
    let (last, first) = (chain.first().map_or(0, |step| step.node), chain.last().map_or(0, |step| step.node));
    if backward {
        // A step says how its node leads to the one it was found from.
        let hops = chain.windows(2).map(|pair| hop(&pair[0], pair[1].node)).collect();
        return Path { from: Node(last), hops };
    }
    let hops = chain.iter().rev().skip(1).map(|step| hop(step, step.node)).collect();
    Path { from: Node(first), hops }
}

/// A walk that is under way.
struct Front<'a, F> {
    graph: &'a Graph,
    takes: F,
    steps: Vec<Step>,
    rings: Vec<usize>,
}

impl<'a, F: Fn(NodeKind) -> Takes> Front<'a, F> {
    fn new(graph: &'a Graph, start: Node, takes: F) -> Self {
        let first = Step { node: start.0, from: 0, kind: 0, against: false };
        Self { graph, takes, steps: vec![first], rings: vec![0] }
    }

    /// Steps that the next hop goes out from.
    fn width(&self) -> usize {
        self.steps.len() - self.rings.last().copied().unwrap_or(0)
    }

    /// Goes one hop further. Stops when `enough` says so of a node that was not seen before.
    fn hop(&mut self, seen: &mut Seen, mut enough: impl FnMut(u32, usize) -> bool) -> bool {
        let (graph, ring) = (self.graph, self.rings.last().copied().unwrap_or(0)..self.steps.len());
        self.rings.push(ring.end);
        for at in ring {
            let node = self.steps[at].node;
            let Some(kind) = graph.kind(Node(node)) else { continue };
            let (takes, from) = ((self.takes)(kind), u32::try_from(at).unwrap_or(u32::MAX));
            let steps = &mut self.steps;
            let mut meet = |against: bool, (kind, other): (u8, u32)| {
                let new = seen.mark(other);
                if new {
                    steps.push(Step { node: other, from, kind, against });
                }
                new && enough(other, steps.len())
            };
            if graph.out.each(node, takes.out, |link| meet(false, link))
                || graph.into.each(node, takes.into, |link| meet(true, link))
            {
                return true;
            }
        }
        false
    }
}

impl Graph {
    /// Walks from a node. `avoided` is never entered.
    pub(crate) fn walk(
        &self,
        start: Node,
        takes: impl Fn(NodeKind) -> Takes,
        backward: bool,
        limits: Limits,
        avoided: Option<Node>,
    ) -> Reach {
        self.noting(|seen| {
            let mut front = Front::new(self, start, takes);
            let mut complete = true;
            seen.mark(start.0);
            avoided.map(|node| seen.mark(node.0));
            while complete && front.width() > 0 && front.rings.len() <= limits.hops as usize {
                complete = !front.hop(seen, |_, steps| steps - 1 > limits.nodes);
            }
            // The one too many told that there are more; it is not part of the answer.
            if !complete && let Some(step) = front.steps.pop() {
                seen.clear(step.node);
            }
            front.steps.iter().for_each(|step| seen.clear(step.node));
            avoided.into_iter().for_each(|node| seen.clear(node.0));
            let Front { steps, rings, .. } = front;
            Reach { steps, rings, complete, backward }
        })
    }

    /// A shortest way by which `from` has `to`. Nothing when there is none.
    #[must_use]
    pub fn path(&self, from: Node, to: Node) -> Option<Path> {
        if self.kind(from).is_none() || self.kind(to).is_none() {
            return None;
        }
        if from == to {
            return Some(Path { from, hops: Vec::new() });
        }
        self.noting(|near| self.noting(|far| self.meet(from, to, near, far)))
    }

    /// From both ends, always where fewer nodes wait.
    fn meet(&self, from: Node, to: Node, near: &mut Seen, far: &mut Seen) -> Option<Path> {
        let mut ahead = Front::new(self, from, |_| RIGHTS);
        let mut back = Front::new(self, to, |_| HOLDERS);
        near.mark(from.0);
        far.mark(to.0);
        let mut met = None;
        while met.is_none() && ahead.width() > 0 && back.width() > 0 {
            let mut note = |seen: &Seen, node: u32| {
                met = seen.has(node).then_some(node);
                met.is_some()
            };
            if ahead.width() <= back.width() {
                ahead.hop(near, |node, _| note(far, node));
            } else {
                back.hop(far, |node, _| note(near, node));
            }
        }
        ahead.steps.iter().for_each(|step| near.clear(step.node));
        back.steps.iter().for_each(|step| far.clear(step.node));
        let half = |steps: Vec<Step>, rings, backward| Reach { steps, rings, complete: true, backward };
        let met = Node(met?);
        let mut path = half(ahead.steps, ahead.rings, false).path(met)?;
        path.hops.extend(half(back.steps, back.rings, true).path(met)?.hops);
        Some(path)
    }
}
