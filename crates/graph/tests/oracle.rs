//! Every question, over random graphs that change, against the definition of the answer over a plain set of edges.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::collections::{BTreeMap, BTreeSet};

use chancery_graph::{Flow, Gives, Graph, Limits, Node, Path, Reach, flow, gives, needs};
use chancery_model::{EdgeKind, NodeKind};
use proptest::prelude::*;

const NODES: usize = 12;
const KINDS: [NodeKind; 5] =
    [NodeKind::AiAgent, NodeKind::Human, NodeKind::CodeLocation, NodeKind::Credential, NodeKind::Resource];

type Edge = (usize, EdgeKind, usize);

#[derive(Clone, Debug)]
enum Change {
    Add(Edge),
    Remove(Edge),
    Many(Vec<Edge>),
    Gone(usize),
    Back(usize),
    Fold,
}

fn edges() -> impl Strategy<Value = Edge> {
    (0..NODES, 0..EdgeKind::ALL.len(), 0..NODES).prop_map(|(from, kind, to)| (from, EdgeKind::ALL[kind], to))
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        12 => edges().prop_map(Change::Add),
        3 => edges().prop_map(Change::Remove),
        3 => prop::collection::vec(edges(), 0..20).prop_map(Change::Many),
        1 => (0..NODES).prop_map(Change::Gone),
        1 => (0..NODES).prop_map(Change::Back),
        1 => Just(Change::Fold),
    ];
    prop::collection::vec(change, 1..40)
}

/// The same as the graph, in the plainest form.
#[derive(Default)]
struct Plain {
    edges: BTreeSet<Edge>,
    gone: BTreeSet<usize>,
}

fn kind(node: usize) -> NodeKind {
    KINDS[node % KINDS.len()]
}

impl Plain {
    fn add(&mut self, edge: Edge) -> bool {
        !self.gone.contains(&edge.0) && !self.gone.contains(&edge.2) && self.edges.insert(edge)
    }

    /// Distances from `start` over the hops that `leads` allows.
    fn walk(
        &self,
        start: usize,
        avoided: Option<usize>,
        leads: impl Fn(usize, Edge) -> Option<usize>,
    ) -> BTreeMap<usize, usize> {
        let mut found = BTreeMap::from([(start, 0)]);
        for hops in 1..=NODES {
            let ring: Vec<usize> = found.iter().filter(|(_, at)| **at == hops - 1).map(|(node, _)| *node).collect();
            for node in ring {
                for next in self.edges.iter().filter_map(|edge| leads(node, *edge)) {
                    if Some(next) != avoided {
                        found.entry(next).or_insert(hops);
                    }
                }
            }
        }
        found
    }

    fn reach(&self, from: usize, avoided: Option<usize>) -> BTreeMap<usize, usize> {
        self.walk(from, avoided, |node, edge| along(node, edge, flow(edge.1)))
    }

    fn who_reaches(&self, to: usize) -> BTreeMap<usize, usize> {
        self.walk(to, None, |node, edge| along(node, edge, turned(flow(edge.1))))
    }

    fn who_acts_as(&self, whom: usize) -> BTreeMap<usize, usize> {
        self.walk(whom, None, |node, edge| {
            let allowed = match gives(edge.1) {
                Gives::Control => true,
                Gives::Use => kind(node).is_place(),
                Gives::Nothing => false,
            };
            allowed.then(|| along(node, edge, turned(flow(edge.1)))).flatten()
        })
    }

    fn dependents(&self, what: usize) -> BTreeMap<usize, usize> {
        self.walk(what, None, |node, edge| along(node, edge, turned(needs(edge.1))))
    }

    fn without(&self, who: usize, via: usize) -> BTreeSet<usize> {
        let other = self.reach(who, Some(via));
        self.reach(via, None).into_keys().filter(|node| *node != via && !other.contains_key(node)).collect()
    }
}

fn turned(flow: Flow) -> Flow {
    match flow {
        Flow::With => Flow::Against,
        Flow::Against => Flow::With,
        other => other,
    }
}

fn along(node: usize, (from, _, to): Edge, flow: Flow) -> Option<usize> {
    match flow {
        Flow::With | Flow::Both if node == from => Some(to),
        Flow::Against | Flow::Both if node == to => Some(from),
        _ => None,
    }
}

struct Both {
    plain: Plain,
    graph: Graph,
    nodes: Vec<Node>,
}

impl Both {
    fn new() -> Self {
        let mut graph = Graph::default();
        let nodes = (0..NODES).map(|node| graph.add_node(&format!("urn:n{node}"), kind(node)).unwrap()).collect();
        Self { plain: Plain::default(), graph, nodes }
    }

    fn edge(&self, (from, kind, to): Edge) -> chancery_graph::Edge {
        (self.nodes[from], kind, self.nodes[to])
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(edge) => assert_eq!(self.graph.add_edge(self.edge(edge)), self.plain.add(edge)),
            Change::Remove(edge) => {
                assert_eq!(self.graph.remove_edge(self.edge(edge)), self.plain.edges.remove(&edge));
            }
            Change::Many(edges) => {
                self.graph.extend(edges.iter().map(|edge| self.edge(*edge)).collect()).unwrap();
                edges.into_iter().for_each(|edge| _ = self.plain.add(edge));
                assert_eq!(self.graph.unfolded(), 0);
            }
            Change::Gone(node) => {
                assert_eq!(self.graph.remove_node(self.nodes[node]), self.plain.gone.insert(node));
                self.plain.edges.retain(|(from, _, to)| *from != node && *to != node);
                assert_eq!(self.graph.node(&format!("urn:n{node}")), None);
            }
            Change::Back(node) => {
                assert_eq!(self.graph.add_node(&format!("urn:n{node}"), kind(node)), Ok(self.nodes[node]));
                self.plain.gone.remove(&node);
            }
            Change::Fold => {
                self.graph.fold().unwrap();
                assert_eq!(self.graph.unfolded(), 0);
            }
        }
    }

    fn number(&self, node: Node) -> usize {
        self.nodes.iter().position(|known| *known == node).unwrap()
    }

    /// A path is one of hops that exist and along which rights (or needs) flow, from one end to the other.
    fn holds(&self, path: &Path, from: usize, to: usize, hops: usize, flow: impl Fn(EdgeKind) -> Flow) {
        assert_eq!((self.number(path.from), path.hops.len()), (from, hops));
        let mut at = from;
        for hop in &path.hops {
            let next = self.number(hop.to);
            let edge = if hop.against { (next, hop.kind, at) } else { (at, hop.kind, next) };
            assert!(self.plain.edges.contains(&edge), "{path:?}");
            let wanted = if hop.against { Flow::Against } else { Flow::With };
            assert!([wanted, Flow::Both].contains(&flow(hop.kind)), "{path:?}");
            at = next;
        }
        assert_eq!(at, to);
    }

    fn same(&self, reach: &Reach, expected: &BTreeMap<usize, usize>, backward: bool, flow: impl Fn(EdgeKind) -> Flow) {
        let found: Vec<(usize, usize)> = reach.found().map(|(node, hops)| (self.number(node), hops)).collect();
        assert!(found.is_sorted_by_key(|(_, hops)| *hops), "the nearest first: {found:?}");
        assert_eq!(reach.len(), found.len());
        let start = *expected.iter().find(|(_, hops)| **hops == 0).unwrap().0;
        let all: BTreeMap<usize, usize> = found.iter().copied().chain([(start, 0)]).collect();
        assert_eq!((&all, found.len() + 1), (expected, expected.len()));
        for (node, hops) in found {
            let path = reach.path(self.nodes[node]).unwrap();
            let (from, to) = if backward { (node, start) } else { (start, node) };
            self.holds(&path, from, to, hops, &flow);
        }
    }

    fn ask(&self) {
        for at in (0..NODES).filter(|node| !self.plain.gone.contains(node)) {
            let (node, all) = (self.nodes[at], Limits::NONE);
            self.same(&self.graph.reach(node, all), &self.plain.reach(at, None), false, flow);
            self.same(&self.graph.who_reaches(node, all), &self.plain.who_reaches(at), true, flow);
            self.same(&self.graph.who_acts_as(node, all), &self.plain.who_acts_as(at), true, flow);
            let breaks = self.graph.breaks(node, all);
            self.same(&breaks.dependents, &self.plain.dependents(at), true, needs);
            let holders = self.plain.who_reaches(at).into_iter().filter(|(_, hops)| *hops == 1).map(|(who, _)| who);
            self.without(&breaks.lost, holders, at);
            let people =
                self.plain.who_reaches(at).into_keys().filter(|who| *who != at && kind(*who) == NodeKind::Human);
            self.without(&self.graph.gains(node, all), people, at);

            let near = self.plain.reach(at, None).into_iter().filter(|(_, hops)| *hops <= 2).collect();
            self.same(&self.graph.reach(node, Limits::hops(2)), &near, false, flow);
            let reach = self.plain.reach(at, None);
            for to in (0..NODES).filter(|node| !self.plain.gone.contains(node)) {
                match (self.graph.path(node, self.nodes[to]), reach.get(&to)) {
                    (Some(path), Some(hops)) => self.holds(&path, at, to, *hops, flow),
                    (path, hops) => assert_eq!((path, hops), (None, None)),
                }
            }
            for nodes in 0..reach.len() + 1 {
                let some = self.graph.reach(node, Limits { nodes, ..Limits::NONE });
                assert_eq!(some.len(), nodes.min(reach.len() - 1));
                assert_eq!(some.is_complete(), nodes >= reach.len() - 1);
            }
        }
        let edges: BTreeSet<Edge> = self
            .graph
            .nodes()
            .flat_map(|node| self.graph.edges_of(node))
            .map(|(from, kind, to)| (self.number(from), kind, self.number(to)))
            .collect();
        assert_eq!((&edges, self.graph.edge_count()), (&self.plain.edges, self.plain.edges.len()));
    }

    fn without(&self, said: &[chancery_graph::Without], who: impl Iterator<Item = usize>, via: usize) {
        let said: BTreeMap<usize, BTreeSet<usize>> = said
            .iter()
            .map(|one| (self.number(one.who), one.what.iter().map(|node| self.number(*node)).collect()))
            .collect();
        let expected: BTreeMap<_, _> =
            who.map(|who| (who, self.plain.without(who, via))).filter(|(_, what)| !what.is_empty()).collect();
        assert_eq!(said, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_question_is_answered_as_it_is_defined(changes in changes()) {
        let mut both = Both::new();
        for change in changes {
            both.apply(change);
        }
        both.ask();
        both.apply(Change::Fold);
        both.ask();
    }
}

/// Rows that are long enough to be searched for kinds rather than looked through.
#[test]
fn a_hub_answers_as_others_do() {
    let mut graph = Graph::default();
    let hub = graph.add_node("hub", NodeKind::Group).unwrap();
    let goal = graph.add_node("goal", NodeKind::Resource).unwrap();
    let mut edges = vec![(hub, EdgeKind::CanAccess, goal), (hub, EdgeKind::OwnedBy, goal)];
    for member in 0..1000 {
        let member = graph.add_node(&format!("member {member}"), NodeKind::User).unwrap();
        edges.extend([(member, EdgeKind::MemberOf, hub), (hub, EdgeKind::CreatedBy, member)]);
    }
    graph.extend(edges).unwrap();
    assert_eq!(graph.reach(hub, Limits::NONE).found().collect::<Vec<_>>(), [(goal, 1)]);
    assert_eq!(graph.who_reaches(goal, Limits::NONE).len(), 1001);
    let first = graph.node("member 0").unwrap();
    assert!(graph.remove_edge((first, EdgeKind::MemberOf, hub)));
    assert_eq!(graph.who_reaches(goal, Limits::NONE).len(), 1000);
    assert_eq!(graph.path(first, goal), None);
    let late = graph.add_node("late", NodeKind::User).unwrap();
    assert!(graph.add_edge((late, EdgeKind::MemberOf, hub)) && graph.unfolded() > 0);
    assert_eq!(graph.path(late, goal).map(|path| path.hops.len()), Some(2));
}

/// A leaked key: who reads the file has the key, is the account, and reaches the bills.
#[test]
fn a_key_in_a_file_leads_from_its_readers_to_what_it_opens() {
    let mut graph = Graph::default();
    let mut node = |name: &str, kind| graph.add_node(name, kind).unwrap();
    let mara = node("mara", NodeKind::Human);
    let file = node("deploy.env", NodeKind::CodeLocation);
    let key = node("key", NodeKind::Credential);
    let account = node("billing-bot", NodeKind::ServiceAccount);
    let bills = node("billing", NodeKind::Resource);
    let agent = node("invoice-agent", NodeKind::AiAgent);
    for edge in [
        (mara, EdgeKind::CanAccess, file),
        (key, EdgeKind::FoundIn, file),
        (key, EdgeKind::AuthenticatesAs, account),
        (account, EdgeKind::CanAccess, bills),
        (agent, EdgeKind::UsesCredential, key),
    ] {
        assert!(graph.add_edge(edge));
    }
    let names = |nodes: Vec<Node>| nodes.into_iter().map(|node| graph.name(node)).collect::<Vec<_>>();
    let path = graph.path(mara, bills).unwrap();
    assert_eq!(names(path.hops.iter().map(|hop| hop.to).collect()), ["deploy.env", "key", "billing-bot", "billing"]);
    let acting = graph.who_acts_as(account, Limits::NONE);
    assert_eq!(names(acting.found().map(|(node, _)| node).collect()), ["key", "deploy.env", "invoice-agent", "mara"]);
    assert!(graph.who_acts_as(bills, Limits::NONE).is_empty(), "to use the bills is not to be them");
    let breaks = graph.breaks(key, Limits::NONE);
    assert_eq!(names(breaks.dependents.found().map(|(node, _)| node).collect()), ["invoice-agent"]);
    assert_eq!(
        breaks.lost.iter().map(|lost| graph.name(lost.who)).collect::<Vec<_>>(),
        ["deploy.env", "invoice-agent"]
    );
}
