//! The identity graph, and how it follows what becomes known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chancery_graph::{Edge, Full, Graph, Node};
use chancery_model::{EdgeKind, Link, NodeKind, Object, ObjectState, Urn};
use chancery_store::objects::Observation;

/// What there is and how it hangs together, in memory. Objects come with their edges; an edge may lead to what nobody saw,
/// which is a node without an object then.
#[derive(Debug, Default)]
pub struct Inventory {
    pub(crate) graph: Graph,
    /// What people call it.
    names: HashMap<Node, Box<str>>,
    /// Which objects bear which key.
    bearers: HashMap<String, BTreeSet<Node>>,
    keys: HashMap<Node, BTreeSet<String>>,
    /// The last observation that is in it.
    pub(crate) upto: u64,
    /// Our own nouns, as they were put in last.
    pub(crate) own: HashSet<Urn>,
    /// Which objects are which of ours, because somebody said so.
    pub(crate) adopted: HashSet<(Node, Node)>,
}

impl Inventory {
    /// Of all these objects at once.
    ///
    /// # Errors
    /// There are too many.
    pub fn of(objects: impl IntoIterator<Item = Object>) -> Result<Self, Full> {
        let mut inventory = Self::default();
        let mut edges = Vec::new();
        for object in objects {
            let node = inventory.enter(&object)?;
            for link in stating(&object) {
                edges.push((node, link.kind, inventory.end(&link.to)?));
            }
        }
        inventory.graph.extend(edges)?;
        let bearers: Vec<String> = inventory.bearers.keys().cloned().collect();
        bearers.iter().for_each(|key| inventory.tie(key));
        inventory.graph.fold()?;
        Ok(inventory)
    }

    /// What is known of an object now. Seen by the next question.
    ///
    /// # Errors
    /// There are too many.
    pub fn put(&mut self, object: &Object) -> Result<(), Full> {
        let node = self.enter(object)?;
        let mut wanted = BTreeSet::new();
        for link in stating(object) {
            wanted.insert((node, link.kind, self.end(&link.to)?));
        }
        for edge in self.stated(node) {
            if !wanted.remove(&edge) {
                self.graph.remove_edge(edge);
            }
        }
        wanted.into_iter().for_each(|edge| _ = self.graph.add_edge(edge));
        if self.keys.contains_key(&node) {
            self.keys[&node].clone().iter().for_each(|key| self.tie(key));
        }
        Ok(())
    }

    /// It is gone. What others say of it stays.
    pub fn remove(&mut self, urn: &Urn) {
        let Some(node) = self.graph.node(urn.as_str()) else { return };
        self.stated(node).into_iter().for_each(|edge| _ = self.graph.remove_edge(edge));
        self.names.remove(&node);
        self.let_go(node);
    }

    /// Something became known.
    pub(crate) fn observe(&mut self, observation: Observation) -> Result<(), Full> {
        self.upto = self.upto.max(observation.id);
        match (observation.state, observation.body) {
            (ObjectState::Gone, _) => self.remove(&observation.urn),
            (_, Some(is)) => self.put(&Object { urn: observation.urn, is })?,
            // What is missing may be there.
            (_, None) => {}
        }
        Ok(())
    }

    /// What people took for which of our own nouns, as it is now.
    pub(crate) fn adopt(&mut self, ties: &[(Urn, Urn)]) {
        let node = |urn: &Urn| self.graph.node(urn.as_str());
        let now: HashSet<(Node, Node)> =
            ties.iter().filter_map(|(ours, object)| node(ours).zip(node(object))).collect();
        for (ours, object) in self.adopted.difference(&now) {
            self.graph.remove_edge((*ours, EdgeKind::SameAs, *object));
        }
        for (ours, object) in &now {
            self.graph.add_edge((*ours, EdgeKind::SameAs, *object));
        }
        self.adopted = now;
    }

    /// Works in what changed, when that has become much.
    pub(crate) fn settle(&mut self) -> Result<(), Full> {
        if self.graph.unfolded() > 4_096 + self.graph.edge_count() / 16 { self.graph.fold() } else { Ok(()) }
    }

    /// Every object and what it is called.
    pub fn node(&self, urn: &str) -> Option<Node> {
        self.graph.node(urn)
    }

    /// Those who are called so.
    pub(crate) fn called(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<&str> = (self.names.iter())
            .filter(|(_, called)| ***called == *name)
            .map(|(node, _)| self.graph.name(*node))
            .collect();
        found.sort_unstable();
        found
    }

    /// What people call it; nothing when nobody saw it.
    pub(crate) fn name(&self, node: Node) -> Option<&str> {
        self.names.get(&node).map(|name| &**name)
    }

    /// How much there is: nodes with an object, and edges.
    pub fn size(&self) -> (usize, usize) {
        (self.names.len(), self.graph.edge_count())
    }

    fn enter(&mut self, object: &Object) -> Result<Node, Full> {
        let node = self.graph.add_node(object.urn.as_str(), object.urn.kind())?;
        self.names.insert(node, object.is.name.as_str().into());
        if self.keys.get(&node) != Some(&object.is.keys) {
            self.let_go(node);
            for key in &object.is.keys {
                self.bearers.entry(key.clone()).or_default().insert(node);
            }
            if !object.is.keys.is_empty() {
                self.keys.insert(node, object.is.keys.clone());
            }
        }
        Ok(node)
    }

    /// The other end of an edge, which nobody may have seen.
    fn end(&mut self, urn: &Urn) -> Result<Node, Full> {
        match self.graph.node(urn.as_str()) {
            Some(node) => Ok(node),
            None => self.graph.add_node(urn.as_str(), urn.kind()),
        }
    }

    /// The edges that the object itself states.
    fn stated(&self, node: Node) -> Vec<Edge> {
        self.graph.edges_of(node).filter(|(_, kind, _)| *kind != EdgeKind::SameAs).collect()
    }

    /// It bears none of its keys any more.
    fn let_go(&mut self, node: Node) {
        for key in self.keys.remove(&node).unwrap_or_default() {
            let Some(bearers) = self.bearers.get_mut(&key) else { continue };
            let others: Vec<Node> = bearers.iter().copied().filter(|other| *other != node).collect();
            for other in &others {
                self.graph.remove_edge((node, EdgeKind::SameAs, *other));
                self.graph.remove_edge((*other, EdgeKind::SameAs, node));
            }
            self.bearers.get_mut(&key).map(|bearers| bearers.remove(&node));
            self.tie(&key);
        }
    }

    /// The bearers of a key are one thing, sort by sort: the first of each is tied to the others.
    fn tie(&mut self, key: &str) {
        let Some(bearers) = self.bearers.get(key) else { return };
        if bearers.is_empty() {
            self.bearers.remove(key);
            return;
        }
        let mut sorts: BTreeMap<u8, Vec<Node>> = BTreeMap::new();
        for node in bearers {
            let sort = self.graph.kind(*node).map_or(u8::MAX, sort);
            sorts.entry(sort).or_default().push(*node);
        }
        for nodes in sorts.values() {
            for other in &nodes[1..] {
                self.graph.add_edge((nodes[0], EdgeKind::SameAs, *other));
            }
        }
    }
}

/// What is one thing is said by keys.
fn stating(object: &Object) -> impl Iterator<Item = &Link> {
    object.is.edges.iter().filter(|link| link.kind != EdgeKind::SameAs)
}

/// Kinds that one thing can have in two systems have one number.
const fn sort(kind: NodeKind) -> u8 {
    use NodeKind as K;
    match kind {
        K::AiAgent
        | K::ServiceAccount
        | K::ServicePrincipal
        | K::OauthClient
        | K::WorkloadIdentity
        | K::MachineAccount
        | K::BotUser
        | K::Integration
        | K::DbRole
        | K::AssumableRole
        | K::User
        | K::Human => 0,
        other => 1 + other.number(),
    }
}
