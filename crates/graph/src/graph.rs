//! Nodes, edges, and what changes them.

use std::sync::{Mutex, PoisonError};

use chancery_model::{EdgeKind, NodeKind};

use crate::adjacency::Adjacency;
use crate::names::Names;
use crate::walk::Seen;

/// The number of a node in one [`Graph`]. It is good as long as that graph lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub(crate) u32);

/// `from` KIND `to`.
pub type Edge = (Node, EdgeKind, Node);

/// More nodes or edges than numbers of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the graph is full: it holds at most 4,294,967,294 nodes and as many edges")]
pub struct Full;

/// Bytes in use, as the structures themselves count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Names, their index, kinds.
    pub nodes: usize,
    /// Edges, both ways.
    pub edges: usize,
}

/// Who and what there is, and how it hangs together. An edge stands once, however often it is added.
#[derive(Debug, Default)]
pub struct Graph {
    names: Names,
    /// Nothing stands for a node that was removed.
    kinds: Vec<Option<NodeKind>>,
    pub(crate) out: Adjacency,
    pub(crate) into: Adjacency,
    edges: usize,
    /// What questions note on, for the next ones.
    pub(crate) spare: Mutex<Vec<Seen>>,
}

impl Graph {
    /// Adds a node, or gives one that is known (or was removed) this kind.
    ///
    /// # Errors
    /// [`Full`].
    pub fn add_node(&mut self, name: &str, kind: NodeKind) -> Result<Node, Full> {
        let (node, new) = self.names.intern(name).ok_or(Full)?;
        if new {
            self.kinds.push(Some(kind));
        } else {
            self.kinds[node as usize] = Some(kind);
        }
        Ok(Node(node))
    }

    /// Takes a node away with all its edges. Whether it was there.
    pub fn remove_node(&mut self, node: Node) -> bool {
        let links = |side: &Adjacency| side.all(node.0).collect::<Vec<_>>();
        for (kind, to) in links(&self.out) {
            self.unlink(node.0, kind, to);
        }
        for (kind, from) in links(&self.into) {
            self.unlink(from, kind, node.0);
        }
        self.kinds.get_mut(node.0 as usize).and_then(Option::take).is_some()
    }

    /// Adds an edge. Whether it is new. One with an end that was removed is not added.
    pub fn add_edge(&mut self, (from, kind, to): Edge) -> bool {
        if self.kind(from).is_none() || self.kind(to).is_none() {
            return false;
        }
        let new = self.out.add(from.0, (kind.number(), to.0));
        if new {
            self.into.add(to.0, (kind.number(), from.0));
            self.edges += 1;
        }
        new
    }

    /// Takes an edge away. Whether it was there.
    pub fn remove_edge(&mut self, (from, kind, to): Edge) -> bool {
        self.unlink(from.0, kind.number(), to.0)
    }

    fn unlink(&mut self, from: u32, kind: u8, to: u32) -> bool {
        let was = self.out.remove(from, (kind, to));
        if was {
            self.into.remove(to, (kind, from));
            self.edges -= 1;
        }
        was
    }

    /// Adds many edges at once and works everything in. Those with an end that was removed are left out.
    ///
    /// # Errors
    /// [`Full`]; nothing is added then.
    pub fn extend(&mut self, edges: Vec<Edge>) -> Result<(), Full> {
        let mut all = edges;
        all.retain(|(from, _, to)| self.kind(*from).is_some() && self.kind(*to).is_some());
        all.reserve_exact(self.edges);
        for from in self.nodes() {
            all.extend(self.edges_of(from));
        }
        let nodes = self.kinds.len();
        let out = Adjacency::of(nodes, all.iter().map(|(from, kind, to)| (from.0, kind.number(), to.0)));
        let into = Adjacency::of(nodes, all.iter().map(|(from, kind, to)| (to.0, kind.number(), from.0)));
        (self.out, self.into) = (out.ok_or(Full)?, into.ok_or(Full)?);
        self.edges = self.out.rows();
        self.names.shrink();
        self.kinds.shrink_to_fit();
        Ok(())
    }

    /// Works in what changed. Questions have the same answers before and after; they are faster after.
    ///
    /// # Errors
    /// [`Full`]; nothing is changed then.
    pub fn fold(&mut self) -> Result<(), Full> {
        self.extend(Vec::new())
    }

    /// Ends of edges that changed and are not worked in.
    #[must_use]
    pub fn unfolded(&self) -> usize {
        self.out.unfolded() + self.into.unfolded()
    }

    /// The node of this name, if it is there.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Node> {
        self.names.find(name).map(Node).filter(|node| self.kind(*node).is_some())
    }

    /// The name of a node, also of one that was removed.
    #[must_use]
    pub fn name(&self, node: Node) -> &str {
        self.names.get(node.0)
    }

    /// The kind of a node. Nothing when it was removed.
    #[must_use]
    pub fn kind(&self, node: Node) -> Option<NodeKind> {
        self.kinds.get(node.0 as usize).copied().flatten()
    }

    /// Every node, in the order in which they were first added.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + use<'_> {
        (0_u32..).zip(&self.kinds).filter(|(_, kind)| kind.is_some()).map(|(node, _)| Node(node))
    }

    /// What leaves a node.
    pub fn edges_of(&self, from: Node) -> impl Iterator<Item = Edge> + use<'_> {
        let kind = |number: u8| EdgeKind::ALL[usize::from(number)];
        self.out.all(from.0).map(move |(number, to)| (from, kind(number), Node(to)))
    }

    /// Whether this edge is there.
    #[must_use]
    pub fn has_edge(&self, (from, kind, to): Edge) -> bool {
        self.out.has(from.0, (kind.number(), to.0))
    }

    /// How many edges there are.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.edges
    }

    /// How many names are known, those of removed nodes among them.
    #[must_use]
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// What it takes to hold it.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            nodes: self.names.bytes() + self.kinds.capacity() * size_of::<Option<NodeKind>>(),
            edges: self.out.bytes() + self.into.bytes(),
        }
    }

    /// Runs a question with something to note on.
    pub(crate) fn noting<T>(&self, question: impl FnOnce(&mut Seen) -> T) -> T {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        spare.fit(self.kinds.len());
        let answer = question(&mut spare);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
        answer
    }
}
