//! The truth model, on a real store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chancery_model::{
    Clock, CoverageStatus, EdgeKind, Gap, Link, NodeKind, Object, ObjectBody, ObjectState, Random, Sweep, SweepStatus,
    Timestamp, Urn,
};
use chancery_store::objects::Wanted;
use chancery_store::{Config, Store, findings, objects, sweeps};
use tempfile::TempDir;

use crate::{Asked, At, DiscoverError, Discovery, Ended, Opening, Question};

struct Moving(AtomicI64);

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Timestamp {
        self.now()
    }
}

struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&next.to_be_bytes()[..chunk.len()]);
        }
    }
}

struct World {
    discovery: Discovery,
    clock: Arc<Moving>,
    store: Store,
    _dir: TempDir,
}

const START: i64 = 1_780_000_000_000_000;
const MINUTE: i64 = 60_000_000;

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, random) = (Arc::new(Moving(AtomicI64::new(START))), Arc::new(Counting(AtomicU64::new(1))));
        let store = Store::open(&Config::at(dir.path().join("data")), clock.clone(), random.clone()).await.unwrap();
        let discovery = Discovery::new(&store, clock.clone(), random);
        Self { discovery, clock, store, _dir: dir }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self, minutes: i64) -> Timestamp {
        Timestamp(self.clock.0.fetch_add(minutes * MINUTE, Ordering::Relaxed) + minutes * MINUTE)
    }

    fn opening(&self) -> Opening<'static> {
        Opening { source: "crm", scope: "acme", observed_at: self.now(), by: "mara" }
    }

    /// A sweep that sees these and looked at everything.
    async fn sweep(&self, objects: &[Object]) -> Sweep {
        self.sweep_with(objects, complete()).await
    }

    async fn sweep_with(&self, objects: &[Object], ended: Ended) -> Sweep {
        self.pass(1);
        let mut intake = self.discovery.begin(self.opening()).await.unwrap();
        for object in objects {
            intake.see(object.clone()).await.unwrap();
        }
        intake.end(ended).await.unwrap()
    }

    async fn states(&self) -> BTreeMap<String, ObjectState> {
        let all = objects::list(&self.store, &Wanted { most: 10_000, ..Wanted::default() }).await.unwrap();
        all.into_iter().map(|one| (one.object.is.name, one.state)).collect()
    }

    async fn state(&self, name: &str) -> ObjectState {
        self.states().await[name]
    }

    async fn rules(&self) -> BTreeSet<String> {
        findings::open_ones(&self.store).await.unwrap().into_iter().map(|finding| finding.rule).collect()
    }

    async fn observations(&self) -> u64 {
        objects::newest_observation(&self.store).await.unwrap()
    }

    async fn reach(&self, name: &str, at: Option<At>) -> BTreeSet<String> {
        let asked = Asked { question: Question::Reach(name.to_owned()), hops: None, at };
        let answer = self.discovery.ask(&asked).await.unwrap();
        answer.items.into_iter().filter_map(|found| found.name).collect()
    }
}

fn complete() -> Ended {
    let coverage = [(NodeKind::ServiceAccount, CoverageStatus::Complete), (NodeKind::Role, CoverageStatus::Complete)];
    Ended { coverage: coverage.into(), ..Ended::default() }
}

fn urn(kind: NodeKind, name: &str) -> Urn {
    Urn::new("crm", "acme", kind, name).unwrap()
}

fn account(name: &str, roles: &[&str]) -> Object {
    let edges = roles.iter().map(|role| Link { kind: EdgeKind::HasRole, to: urn(NodeKind::Role, role) }).collect();
    let within = Some(format!("org/{name}"));
    let is = ObjectBody { name: name.to_owned(), within, edges, ..ObjectBody::default() };
    Object { urn: urn(NodeKind::ServiceAccount, name), is }
}

fn role(name: &str) -> Object {
    let is = ObjectBody { name: name.to_owned(), ..ObjectBody::default() };
    Object { urn: urn(NodeKind::Role, name), is }
}

fn accounts(names: std::ops::Range<usize>) -> Vec<Object> {
    names.map(|n| account(&format!("a{n}"), &[])).collect()
}

#[tokio::test]
async fn an_unchanged_estate_writes_nothing_about_its_objects() {
    let world = World::new().await;
    let estate: Vec<Object> =
        (0..1_200).map(|n| account(&format!("a{n}"), &["admin"])).chain([role("admin")]).collect();
    let first = world.sweep(&estate).await;
    assert_eq!((first.status, first.coverage.len()), (SweepStatus::Complete, 2));
    let written = world.observations().await;
    assert_eq!(written, 1_201);
    let second = world.sweep(&estate).await;
    assert_eq!(world.observations().await, written);
    assert!(second.coverage.iter().all(|c| c.added + c.changed + c.missing + c.gone + c.returned == 0), "{second:?}");
    assert_eq!(second.coverage.iter().map(|c| c.seen).sum::<u64>(), 1_201);
}

#[tokio::test]
async fn only_a_complete_sweep_makes_missing_and_only_two_in_a_row_make_gone() {
    let world = World::new().await;
    let all = accounts(0..10);
    world.sweep(&all).await;
    for ended in [
        Ended { why: Some("page 2 was refused".to_owned()), ..Ended::default() },
        Ended { coverage: [(NodeKind::ServiceAccount, CoverageStatus::Partial)].into(), ..Ended::default() },
        // Of another kind everything was seen.
        Ended { coverage: [(NodeKind::Role, CoverageStatus::Complete)].into(), ..Ended::default() },
        Ended { gaps: vec![Gap { path: "org/a9".to_owned(), reason: "403".to_owned() }], ..complete() },
        Ended { gaps: vec![Gap { path: "org".to_owned(), reason: "403".to_owned() }], ..complete() },
    ] {
        world.sweep_with(&all[..9], ended.clone()).await;
        assert_eq!(world.state("a9").await, ObjectState::Present, "{ended:?}");
    }
    world.sweep(&all[..9]).await;
    assert_eq!(world.state("a9").await, ObjectState::Missing);
    world.sweep_with(&all[..9], Ended::default()).await;
    assert_eq!(world.state("a9").await, ObjectState::Missing, "a partial sweep is no second one");
    world.sweep(&all[..9]).await;
    assert_eq!(world.state("a9").await, ObjectState::Gone);
    assert_eq!(world.states().await.len(), 10, "nothing is deleted");
}

#[tokio::test]
async fn what_was_missing_returns_quietly_and_what_was_gone_is_a_ghost() {
    let world = World::new().await;
    let all = accounts(0..10);
    world.sweep(&all).await;
    world.sweep(&all[..9]).await;
    let back = world.sweep(&all).await;
    assert_eq!(back.coverage.iter().map(|c| c.returned).sum::<u64>(), 1);
    assert_eq!(world.state("a9").await, ObjectState::Present);
    assert!(world.rules().await.is_empty());
    for _ in 0..2 {
        world.sweep(&all[..9]).await;
    }
    assert_eq!(world.state("a9").await, ObjectState::Gone);
    world.sweep(&all).await;
    assert_eq!(world.state("a9").await, ObjectState::Present);
    assert_eq!(world.rules().await, BTreeSet::from(["LIF-3".to_owned()]));
}

#[tokio::test]
async fn so_many_at_once_are_held_until_somebody_says_so() {
    let world = World::new().await;
    world.sweep(&accounts(0..10)).await;
    let held = world.sweep(&accounts(0..5)).await;
    assert_eq!(held.held(), 5);
    assert!(world.states().await.values().all(|state| *state == ObjectState::Present));
    assert_eq!(world.rules().await, BTreeSet::from(["mass-disappearance".to_owned()]));
    // The next one asks again; the answer to the first is an answer to nothing.
    let again = world.sweep(&accounts(0..6)).await;
    let refused = world.discovery.accept(held.id.as_str(), "mara", None).await.unwrap_err();
    assert!(matches!(refused, DiscoverError::Overtaken { .. }), "{refused}");
    let accepted = world.discovery.accept(again.id.as_str(), "mara", Some("they moved")).await.unwrap();
    assert_eq!((accepted.held(), accepted.coverage.iter().map(|c| c.missing).sum::<u64>()), (0, 4));
    assert_eq!(world.state("a9").await, ObjectState::Missing);
    assert_eq!(world.state("a5").await, ObjectState::Present);
    assert!(world.rules().await.is_empty());
    assert!(world.discovery.accept(again.id.as_str(), "mara", None).await.is_err());
    world.sweep(&accounts(0..6)).await;
    assert_eq!(world.state("a9").await, ObjectState::Gone);
}

#[tokio::test]
async fn a_sweep_that_broke_off_judges_nothing_and_does_not_stand_in_the_way_for_long() {
    let world = World::new().await;
    world.sweep(&accounts(0..10)).await;
    world.pass(1);
    let mut broken = world.discovery.begin(world.opening()).await.unwrap();
    broken.see(account("new", &[])).await.unwrap();
    broken.flush().await.unwrap();
    let refused = world.discovery.begin(world.opening()).await.err().unwrap();
    assert!(matches!(refused, DiscoverError::Running { .. }), "{refused}");
    world.pass(11);
    let id = broken.id().clone();
    world.sweep(&accounts(0..10)).await;
    let over = broken.end(complete()).await.unwrap_err();
    assert!(matches!(over, DiscoverError::Over(_)), "{over}");
    assert_eq!(sweeps::get(&world.store, &id).await.unwrap().unwrap().status, SweepStatus::Failed);
    let states = world.states().await;
    assert_eq!((states.len(), states["new"], states["a0"]), (11, ObjectState::Missing, ObjectState::Present));
}

#[tokio::test]
async fn a_state_older_than_what_is_known_is_refused() {
    let world = World::new().await;
    let before = world.now();
    world.sweep(&accounts(0..3)).await;
    let refused = world.discovery.begin(Opening { observed_at: before, ..world.opening() }).await.err().unwrap();
    assert!(matches!(refused, DiscoverError::Older { .. }), "{refused}");
    let future = Timestamp(world.now().0 + 6 * MINUTE);
    let refused = world.discovery.begin(Opening { observed_at: future, ..world.opening() }).await.err().unwrap();
    assert!(matches!(refused, DiscoverError::Future(_)), "{refused}");
}

#[tokio::test]
async fn an_object_of_elsewhere_is_refused_and_one_that_is_too_large_is_a_gap() {
    let world = World::new().await;
    world.sweep(&accounts(0..3)).await;
    world.pass(1);
    let mut intake = world.discovery.begin(world.opening()).await.unwrap();
    let elsewhere = Object { urn: Urn::new("crm", "other", NodeKind::Role, "x").unwrap(), is: ObjectBody::default() };
    assert!(intake.see(elsewhere).await.is_err());
    for n in 0..3 {
        let mut large = account(&format!("a{n}"), &[]);
        if n == 2 {
            large.is.attributes.insert("much".to_owned(), "x".repeat(300_000).into());
        }
        intake.see(large).await.unwrap();
    }
    let sweep = intake.end(complete()).await.unwrap();
    assert_eq!((sweep.gaps.len(), sweep.gaps[0].path.as_str()), (1, "org/a2"));
    assert_eq!(world.state("a2").await, ObjectState::Present, "it is there, and was only not read");
}

#[tokio::test]
async fn what_somebody_could_do_on_a_day_and_who_knew_is_answered() {
    let world = World::new().await;
    world.sweep(&[account("bot", &["reader"]), role("reader"), role("admin")]).await;
    let (reader, told) = (world.now(), world.pass(10));
    // What held ten minutes ago is written down only now.
    world.pass(10);
    let late = Opening { observed_at: told, ..world.opening() };
    let mut intake = world.discovery.begin(late).await.unwrap();
    for object in [account("bot", &["admin"]), role("reader"), role("admin")] {
        intake.see(object).await.unwrap();
    }
    intake.end(complete()).await.unwrap();
    let now = world.pass(1);
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(world.reach("bot", None).await, set(&["admin"]));
    assert_eq!(world.reach("bot", Some(At { held: reader, known: now })).await, set(&["reader"]));
    assert_eq!(world.reach("bot", Some(At { held: told, known: now })).await, set(&["admin"]));
    assert_eq!(world.reach("bot", Some(At { held: told, known: told })).await, set(&["reader"]), "nobody knew it then");
}

#[tokio::test]
async fn the_graph_follows_what_becomes_known() {
    let world = World::new().await;
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    world.sweep(&[account("bot", &["reader"]), role("reader"), role("admin")]).await;
    assert_eq!(world.reach("bot", None).await, set(&["reader"]));
    world.sweep(&[account("bot", &["reader", "admin"]), role("reader"), role("admin")]).await;
    assert_eq!(world.reach("bot", None).await, set(&["reader", "admin"]));
    world.sweep(&[account("bot", &["admin"]), role("admin")]).await;
    assert_eq!(world.reach("bot", None).await, set(&["admin"]));
    let gone = [account("other", &["admin"]), role("admin")];
    world.sweep(&gone).await;
    world.sweep(&gone).await;
    let asked = Asked { question: Question::Reach("bot".to_owned()), hops: None, at: None };
    assert!(matches!(world.discovery.ask(&asked).await.unwrap_err(), DiscoverError::NoObject(_)));
    // A store that is opened again answers the same.
    let again = Discovery::new(&world.store, world.clock.clone(), Arc::new(Counting(AtomicU64::new(9))));
    let asked = Asked { question: Question::WhoReaches("admin".to_owned()), hops: Some(1), at: None };
    let (one, other) = (world.discovery.ask(&asked).await.unwrap(), again.ask(&asked).await.unwrap());
    assert_eq!((&one, one.items.len()), (&other, 1));
}

#[tokio::test]
async fn one_thing_in_two_systems_is_one_and_can_be_two_again() {
    let world = World::new().await;
    let keyed = |source: &str, key: Option<&str>, to: &str| {
        let to = Link { kind: EdgeKind::HasRole, to: Urn::new(source, "", NodeKind::Role, to).unwrap() };
        let keys = key.map(str::to_owned).into_iter().collect();
        let is = ObjectBody { name: format!("bot of {source}"), keys, edges: [to].into(), ..ObjectBody::default() };
        Object { urn: Urn::new(source, "", NodeKind::ServiceAccount, "bot").unwrap(), is }
    };
    let sweep = async |source: &'static str, object: Object| {
        let opening = Opening { source, scope: "", observed_at: world.pass(1), by: "mara" };
        let mut intake = world.discovery.begin(opening).await.unwrap();
        intake.see(object).await.unwrap();
        intake.end(complete()).await.unwrap();
    };
    let reach = async |name: &str| {
        let asked = Asked { question: Question::Reach(name.to_owned()), hops: None, at: None };
        let items = world.discovery.ask(&asked).await.unwrap().items;
        items.into_iter().map(|found| found.urn).collect::<BTreeSet<_>>()
    };
    sweep("one", keyed("one", Some("arn:bot"), "a")).await;
    sweep("two", keyed("two", Some("arn:bot"), "b")).await;
    sweep("three", keyed("three", Some("arn:bot"), "c")).await;
    assert_eq!(reach("bot of three").await.len(), 5, "two others and three roles");
    sweep("one", keyed("one", None, "a")).await;
    assert_eq!(reach("bot of one").await.len(), 1);
    assert_eq!(reach("bot of two").await.len(), 3, "the others are still one");
}
