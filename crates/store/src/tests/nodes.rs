//! Several nodes on one database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chancery_lend::Postgres;
use chancery_model::{Changed, Clock, Hash, Header, Position, Secret, Span, Timestamp};
use chancery_tlog::leaf_hash;
use futures_util::future::join_all;
use tempfile::TempDir;

use super::{Counting, agent, change_of, draft, session};
use crate::{Config, How, Membership, Store, StoreError, agents, log, nodes, sessions, token_hash};

/// The time of this machine.
struct Wall(std::time::Instant);

impl Wall {
    #[expect(clippy::disallowed_methods, reason = "leases end by real time")]
    fn start() -> Arc<dyn Clock> {
        Arc::new(Self(std::time::Instant::now()))
    }
}

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "leases end by real time")]
    fn now(&self) -> Timestamp {
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
    }
    fn monotonic(&self) -> Timestamp {
        Timestamp(self.0.elapsed().as_micros() as i64)
    }
}

/// Some nodes, and what each was told.
struct Cluster {
    server: Postgres,
    url: Secret,
    nodes: Vec<Node>,
}

struct Node {
    dir: TempDir,
    store: Store,
    told: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    /// Nothing where PostgreSQL is not installed.
    async fn of(count: usize) -> Option<Self> {
        let server = Postgres::start()?;
        let url = Secret::new(server.database());
        let mut cluster = Self { server, url, nodes: Vec::new() };
        for _ in 0..count {
            let token = cluster.token().await;
            let dir = tempfile::tempdir().unwrap();
            let node = cluster.open(dir, token).await.unwrap();
            cluster.nodes.push(node);
        }
        Some(cluster)
    }

    /// With which a further node joins; the first needs none.
    async fn token(&self) -> Option<Secret> {
        let first = self.nodes.first()?;
        let token = first.store.node_token();
        let (hash, now) = (token_hash(token.expose()), first.store.shared().clock.now());
        let add = first.store.write(draft("token"), move |tx| {
            Box::pin(async move { nodes::insert_token(tx, &hash, now, now + Span::minutes(5)).await })
        });
        add.await.unwrap();
        Some(token)
    }

    async fn open(&self, dir: TempDir, token: Option<Secret>) -> Result<Node, StoreError> {
        let node = Membership { token, ..Membership::default() };
        let config = Config { path: dir.path().to_owned(), database: Some(self.url.clone()), node };
        let seed = dir.path().as_os_str().as_encoded_bytes().iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let random = Arc::new(Counting((seed << 32).into()));
        let store = Store::open(&config, Wall::start(), random).await?;
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        store.observe(Box::new(move |changed| {
            if let Changed::Agent(agent) = changed {
                list.lock().unwrap().push(format!("{} {:?}", agent.name, agent.state));
            }
        }));
        Ok(Node { dir, store, told })
    }

    fn store(&self, node: usize) -> &Store {
        &self.nodes[node].store
    }

    fn told(&self, node: usize) -> Vec<String> {
        self.nodes[node].told.lock().unwrap().clone()
    }
}

/// Every writer's chain, computed again; the details by position.
async fn chains(store: &Store) -> BTreeMap<Position, Option<String>> {
    let mut found = BTreeMap::new();
    for (writer, entries) in log::writers(store).await.unwrap() {
        let (mut prev, mut next): (Hash, u64) = ([0; 32], 0);
        let mut scan = log::forward(store, Position { writer, seq: 0 });
        while let Some(segment) = scan.next().await.unwrap() {
            for ((position, bytes), entry) in segment.entries().zip(segment.decoded()) {
                let header = Header::decode(bytes).unwrap();
                assert_eq!((header.position, position), (position, Position { writer, seq: next }));
                assert_eq!(header.prev, prev, "the chain of {writer} is broken at {next}");
                prev = leaf_hash(bytes);
                next += 1;
                found.insert(position, entry.unwrap().draft.detail);
            }
        }
        assert_eq!(next, entries);
    }
    found
}

async fn register(store: &Store, name: &str, number: u64) -> Result<u64, StoreError> {
    let new = agent(name, number);
    let entry = change_of(&new, "register");
    let written = store.write(entry, move |tx| Box::pin(async move { agents::insert(tx, &new).await })).await?;
    Ok(written.durable.change())
}

async fn suspend(store: &Store, name: &str) -> u64 {
    let name = name.to_owned();
    let written = store.write(draft("suspend"), move |tx| {
        Box::pin(async move {
            let found = agents::by_name(&mut *tx, &name).await?.unwrap();
            agents::update(tx, &found.suspend().map_err(StoreError::refuse)?).await
        })
    });
    written.await.unwrap().durable.change()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_change_in_one_order_and_tell_it_to_all() {
    let Some(cluster) = Cluster::of(3).await else { return };
    let writes = (0..60u64).map(|n| {
        let store = cluster.store(n as usize % 3).clone();
        // Every sixth name is taken twice, at two nodes: one of them is first.
        let name = format!("a{}", if n % 6 == 5 { n - 1 } else { n });
        tokio::spawn(async move { register(&store, &name, n).await })
    });
    let outcomes: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
    let refused = outcomes.iter().filter(|o| matches!(o, Err(StoreError::Conflict(_)))).count();
    assert_eq!((refused, outcomes.iter().filter(|o| o.is_ok()).count()), (10, 50), "{outcomes:?}");
    let last = outcomes.into_iter().flatten().max().unwrap();
    for node in 0..3 {
        let confirmations = cluster.store(node).watch().confirmed(last).await.unwrap();
        assert!(confirmations.iter().all(|c| c.how == How::Confirmed), "{confirmations:?}");
        assert_eq!(confirmations.len(), 2);
    }
    assert_eq!(cluster.told(0).len(), 50);
    assert_eq!(cluster.told(1), cluster.told(0), "in the order of the commits, everywhere");
    assert_eq!(cluster.told(2), cluster.told(0));
    chains(cluster.store(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_and_confirmed_is_known_everywhere() {
    let Some(cluster) = Cluster::of(2).await else { return };
    for n in 0..20 {
        let name = format!("a{n}");
        register(cluster.store(0), &name, n).await.unwrap();
        let change = suspend(cluster.store(0), &name).await;
        cluster.store(0).watch().confirmed(change).await.unwrap();
        assert_eq!(cluster.told(1).last(), Some(&format!("{name} Suspended")), "confirmed before it was told");
    }
    let crm = agents::by_name(cluster.store(1), "a1").await.unwrap().unwrap();
    let new = session(&crm.id, 7);
    let opened = cluster.store(0).open_session(draft("open"), new.clone()).await.unwrap();
    cluster.store(0).watch().confirmed(opened.change()).await.unwrap();
    assert_eq!(sessions::get(cluster.store(1), &new.id).await.unwrap(), Some(new));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_away_is_waited_for_until_its_lease_ends() {
    let Some(cluster) = Cluster::of(3).await else { return };
    assert!((0..3).all(|node| cluster.store(node).lease().is_fresh()));
    cluster.store(2).close().await;
    assert!(!cluster.store(2).lease().is_fresh(), "who has left the database does nothing");
    let change = register(cluster.store(0), "crm", 1).await.unwrap();
    let confirmations = cluster.store(0).watch().confirmed(change).await.unwrap();
    let how = |name: &str| confirmations.iter().find(|c| c.node == name).map(|c| (c.how, c.after));
    assert_eq!(how("node-1").unwrap().0, How::Confirmed);
    let (away, after) = how("node-2").unwrap();
    assert_eq!(away, How::LeaseEnded);
    assert!(after < Span::seconds(4), "{after:?}");
}

/// One that stops inside a change holds up every other one. Its lease is counted from when somebody reached for the switch,
/// so that both are waited for at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_that_is_held_up_does_not_add_to_the_wait_for_a_lease() {
    let Some(cluster) = Cluster::of(2).await else { return };
    cluster.store(1).close().await;
    let watch = cluster.store(0).watch();
    let begun = cluster.store(0).shared().clock.monotonic();
    let held = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        register(cluster.store(0), "crm", 1).await.unwrap()
    };
    let confirmations = watch.confirmed(held.await).await.unwrap();
    let took = cluster.store(0).shared().clock.monotonic() - begun;
    assert_eq!(confirmations.iter().map(|c| c.how).collect::<Vec<_>>(), [How::LeaseEnded]);
    assert!((1_500_000..3_000_000).contains(&took.0), "{took:?}");
}

/// Who waits for a database that does not answer is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_ever_for_a_database_that_is_silent() {
    let Some(cluster) = Cluster::of(1).await else { return };
    let cluster = Arc::new(cluster);
    let silence = tokio::task::spawn_blocking({
        let cluster = Arc::clone(&cluster);
        move || {
            let held = "BEGIN; LOCK TABLE nodes, log_segments; SELECT pg_sleep(11); COMMIT";
            cluster.server.sql(cluster.url.expose(), held)
        }
    });
    let stale = async {
        while cluster.store(0).lease().is_fresh() {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    stale.await;
    let answer = tokio::time::timeout(Duration::from_secs(8), cluster.store(0).append(draft("silent"))).await;
    assert!(matches!(answer, Ok(Err(StoreError::Unknown(_)))), "{answer:?}");
    assert!(!silence.is_finished(), "while it was silent");
    silence.await.unwrap();
    let back = async { while cluster.store(0).append(draft("on")).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("it goes on");
    chains(cluster.store(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_database_nobody_is_fresh_and_nothing_is_lost_or_given_twice() {
    let Some(cluster) = Cluster::of(2).await else { return };
    let mut acknowledged = BTreeMap::new();
    for round in 0..3 {
        let done = join_all((0..50).map(|n| {
            let (store, detail) = (cluster.store(n % 2).clone(), format!("{round}.{n}"));
            tokio::spawn(async move { (store.append(draft(&detail)).await, detail) })
        }));
        let cut = async {
            tokio::task::yield_now().await;
            cluster.server.cut();
        };
        let (done, ()) = tokio::join!(done, cut);
        for (outcome, detail) in done.into_iter().map(Result::unwrap) {
            match outcome {
                Ok(durable) => drop(acknowledged.insert(durable.position(), detail)),
                Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let stale = async {
            while cluster.store(0).lease().is_fresh() {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
        };
        tokio::time::timeout(Duration::from_secs(4), stale).await.expect("the lease ends by itself");
        cluster.server.start_again();
        let fresh = async {
            while !cluster.store(0).lease().is_fresh() || !cluster.store(1).lease().is_fresh() {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
        };
        tokio::time::timeout(Duration::from_secs(20), fresh).await.expect("the lease comes back");
        for node in 0..2 {
            let goes_on = async { while cluster.store(node).append(draft("on")).await.is_err() {} };
            tokio::time::timeout(Duration::from_secs(20), goes_on).await.expect("writing goes on");
        }
    }
    let found = chains(cluster.store(0)).await;
    for (position, detail) in acknowledged {
        assert_eq!(found[&position].as_ref(), Some(&detail), "acknowledged at {position:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_is_cut_in_a_commit_is_resolved_either_way() {
    let Some(cluster) = Cluster::of(1).await else { return };
    let store = cluster.store(0).clone();
    let writing = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for n in 0..400u64 {
            let name = format!("a{n}");
            outcomes.push((name.clone(), register(&store, &name, n).await));
        }
        outcomes
    });
    while !writing.is_finished() {
        cluster.server.sql(
            cluster.url.expose(),
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1128808782",
        );
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let outcomes = writing.await.unwrap();
    let there: BTreeSet<String> =
        agents::all(cluster.store(0)).await.unwrap().into_iter().map(|agent| agent.name).collect();
    let (mut written, mut lost) = (0, 0);
    for (name, outcome) in outcomes {
        match outcome {
            Ok(_) => {
                assert!(there.contains(&name), "{name} was acknowledged");
                written += 1;
            }
            Err(StoreError::Unavailable(_)) => {
                assert!(!there.contains(&name), "{name} was said not to be written");
                lost += 1;
            }
            Err(StoreError::Unknown(_)) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(written > 0 && lost > 0, "{written} written, {lost} lost");
    let told: BTreeSet<String> = cluster.told(0).iter().map(|told| told.replace(" Registered", "")).collect();
    assert_eq!(told, there, "the observers know what is there, and nothing else");
    chains(cluster.store(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_once_with_a_token_and_leaves_for_good() {
    let Some(cluster) = Cluster::of(1).await else { return };
    let without = cluster.open(tempfile::tempdir().unwrap(), None).await;
    assert!(matches!(without, Err(StoreError::Connect(why)) if why.contains("token")));
    let token = cluster.token().await;
    let second = cluster.open(tempfile::tempdir().unwrap(), token.clone()).await.unwrap();
    let again = cluster.open(tempfile::tempdir().unwrap(), token).await;
    assert!(matches!(again, Err(StoreError::Connect(why)) if why.contains("used before")));
    let known = nodes::all(cluster.store(0)).await.unwrap();
    let names: Vec<_> = known.iter().map(|node| (node.name.as_str(), node.number)).collect();
    assert_eq!(names[0], ("node-0", 0));
    assert_eq!(names.len(), 2);
    let joined = log::entry(&second.store, Position { writer: second.store.writer(), seq: 0 }).await.unwrap().unwrap();
    let change = joined.draft.change.unwrap();
    assert_eq!((change.noun.as_str(), change.verb.as_str()), ("node", "join"));
    assert!(change.after.unwrap().contains("signed"), "by its own key");

    second.store.close().await;
    let second = cluster.open(second.dir, None).await.unwrap();
    assert_eq!(second.store.writer(), known[1].number, "the same node, by its key");
    let (name, now) = (known[1].name.clone(), Timestamp(1));
    let leave =
        cluster.store(0).write(draft("leave"), move |tx| Box::pin(async move { nodes::leave(tx, &name, now).await }));
    leave.await.unwrap();
    let failed = tokio::time::timeout(Duration::from_secs(5), second.store.failed()).await.unwrap();
    assert!(failed.to_string().contains("left"), "{failed}");
    assert!(!second.store.lease().is_fresh());
    second.store.close().await;
    let back = cluster.open(second.dir, None).await;
    assert!(matches!(back, Err(StoreError::Connect(why)) if why.contains("left")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_has_a_job_and_one_use_is_one_use_everywhere() {
    let Some(cluster) = Cluster::of(2).await else { return };
    let (a, b) = (cluster.store(0), cluster.store(1));
    assert!(a.lead("job", Span::seconds(60)).await.unwrap());
    assert!(!b.lead("job", Span::seconds(60)).await.unwrap());
    assert!(a.lead("job", Span::seconds(60)).await.unwrap(), "it keeps it");
    assert!(a.lead("job", Span(0)).await.unwrap(), "and gives it back");
    let taken = async { while !b.lead("job", Span::seconds(60)).await.unwrap() {} };
    tokio::time::timeout(Duration::from_secs(5), taken).await.unwrap();
    let dies = Timestamp(i64::MAX);
    assert!(a.show_once(&[1; 32], dies).await.unwrap());
    assert!(!b.show_once(&[1; 32], dies).await.unwrap());
    assert!(b.show_once(&[2; 32], dies).await.unwrap());
}
