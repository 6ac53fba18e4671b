//! The recorder over a real store in a temporary directory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;

use chancery_model::{
    ActResult, Body, Clock, Draft, Kind, Outcome, Position, Random, Secret, Span, Timestamp, What, Who,
};
use chancery_store::{Config, Membership, Store, log};
use chancery_tlog::{Checkpoint, ProofFile, Signer, leaf_hash, sha256, verify_consistency};

use crate::{Filter, RecordError, Recorder};

const ORIGIN: &str = "log.example/record";

struct Ticking(AtomicI64);
impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Timestamp {
        self.now()
    }
}

struct Counting(AtomicU64);
impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let hash = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
    }
}

fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[7; 32]).unwrap()
}

/// A data directory, and what goes with it.
struct Place {
    dir: tempfile::TempDir,
    database: Option<Secret>,
}

fn place() -> Place {
    let database = chancery_lend::engine().map(|server| Secret::new(server.database()));
    Place { dir: tempfile::tempdir().unwrap(), database }
}

async fn open(directory: &Place) -> Recorder {
    let clock: Arc<dyn Clock> = Arc::new(Ticking(AtomicI64::new(1_795_000_000_000_000)));
    let random = Arc::new(Counting(AtomicU64::new(0)));
    let config = Config { database: directory.database.clone(), ..Config::at(directory.dir.path().join("data")) };
    let store = Store::open(&config, Arc::clone(&clock), random).await.unwrap();
    Recorder::new(store, signer(), clock)
}

fn intent(tool: &str) -> Draft {
    Draft {
        kind: Kind::Intent,
        at: Timestamp(1_795_000_000_000_000),
        who: Who { agent: Some("agt_1".into()), name: Some("crm".into()), ..Who::default() },
        what: What { server: Some("billing".into()), tool: Some(tool.into()), ..What::default() },
        decision: Some(Outcome::Allow),
        bodies: vec![Body { name: "arguments", content: format!("{{\"tool\":\"{tool}\"}}").into_bytes() }],
        ..Draft::default()
    }
}

fn outcome(result: ActResult) -> Draft {
    let bodies = vec![Body { name: "result", content: b"done".to_vec() }];
    Draft { result: Some(result), bodies, ..Draft::default() }
}

async fn act(recorder: &Recorder, tool: &str) -> Position {
    let receipt = recorder.before(intent(tool)).await.unwrap();
    let position = receipt.position();
    recorder.after(position, outcome(ActResult::Succeeded)).await;
    position
}

async fn exported(recorder: &Recorder) -> Vec<u8> {
    let mut bundle = Vec::new();
    recorder.export_to(&mut bundle, |done, total| assert!(done <= total)).await.unwrap();
    bundle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_is_durable_before_its_receipt_and_closed_after() {
    let directory = place();
    let recorder = open(&directory).await;
    let receipt = recorder.before(intent("refund")).await.unwrap();
    let found = recorder.entry(receipt.position()).await.unwrap();
    assert_eq!(found.entry.draft.kind, Kind::Intent);
    assert_eq!(recorder.outcome_of(receipt.position()).await.unwrap(), None);
    recorder.after(receipt.position(), outcome(ActResult::Failed)).await;
    recorder.flush().await;
    let closed = recorder.outcome_of(receipt.position()).await.unwrap().unwrap();
    assert_eq!(closed.entry.draft.result, Some(ActResult::Failed));
    let refused = recorder.before(Draft::default()).await;
    assert!(matches!(refused, Err(RecordError::NotAnIntent)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_handed_over_survive_an_orderly_stop() {
    let directory = place();
    let recorder = open(&directory).await;
    let mut positions = vec![];
    for i in 0..300 {
        positions.push(act(&recorder, &format!("tool-{i}")).await);
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(recorder.clone().run(async { drop(stopped.await) }, true));
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(recorder.checkpoint().await.unwrap().unwrap().checkpoint.size, 600);
    recorder.store().close().await;
    let recorder = open(&directory).await;
    assert_eq!(recorder.indeterminate().await.unwrap(), []);
    assert!(recorder.outcome_of(positions[299]).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_left_open_are_indeterminate_at_the_next_start_and_only_then() {
    let directory = place();
    let recorder = open(&directory).await;
    assert_eq!(recorder.indeterminate().await.unwrap(), []);
    act(&recorder, "closed").await;
    let open_ones = [recorder.before(intent("a")).await.unwrap(), recorder.before(intent("b")).await.unwrap()];
    let open_ones = open_ones.map(|receipt| receipt.position());
    recorder.flush().await;
    recorder.store().close().await;
    let recorder = open(&directory).await;
    assert_eq!(recorder.indeterminate().await.unwrap(), open_ones);
    for position in open_ones {
        let outcome = recorder.outcome_of(position).await.unwrap().unwrap().entry.draft;
        assert_eq!((outcome.result, outcome.who.name.as_deref()), (Some(ActResult::Indeterminate), Some("crm")));
    }
    recorder.store().close().await;
    let recorder = open(&directory).await;
    assert_eq!(recorder.indeterminate().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tree_grows_across_restarts_and_proves_itself() {
    let directory = place();
    let mut old: Vec<Checkpoint> = vec![];
    let mut first = None;
    for round in 0..4 {
        let recorder = open(&directory).await;
        for i in 0..100 {
            let position = act(&recorder, &format!("{round}-{i}")).await;
            first.get_or_insert(position);
        }
        recorder.flush().await;
        let signed = recorder.checkpoint_now().await.unwrap();
        assert_eq!(signed.checkpoint.size, 200 * (round + 1));
        for older in &old {
            let proof = recorder.consistency_proof(older.size).await.unwrap();
            let new = &proof.signed.checkpoint;
            verify_consistency((older.size, &older.root), (new.size, &new.root), &proof.hashes).unwrap();
        }
        old.push(signed.checkpoint);
        let text = recorder.prove(first.unwrap()).await.unwrap().to_string();
        let proof = ProofFile::parse(&text).unwrap();
        assert_eq!(proof.verify(signer().key()).unwrap().size, 200 * (round + 1));
        recorder.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_not_in_the_tree_yet_can_be_proven() {
    let directory = place();
    let recorder = open(&directory).await;
    let position = act(&recorder, "now").await;
    let proof = recorder.inclusion_proof(position).await.unwrap();
    let segment = log::segment(recorder.store(), position).await.unwrap().unwrap();
    assert_eq!(segment.leaf(position.seq), Some(&leaf_hash(&proof.entry)));
    let nowhere = Position { writer: 0, seq: 99 };
    assert!(matches!(recorder.prove(nowhere).await, Err(RecordError::NoSuchEntry(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_stops_the_signing() {
    let directory = place();
    let recorder = open(&directory).await;
    act(&recorder, "x").await;
    recorder.flush().await;
    recorder.sequence_once().await.unwrap();
    let other = Signer::from_seed(ORIGIN, &[8; 32]).unwrap();
    let stranger = Recorder::new(recorder.store().clone(), other, Arc::clone(&recorder.inner.clock));
    act(&recorder, "y").await;
    recorder.flush().await;
    assert!(matches!(stranger.sequence_once().await, Err(RecordError::Inconsistent(_))));
    assert_eq!(recorder.sequence_once().await.unwrap(), 4);
}

/// What somebody with the database in hand might leave behind: a signed tree head over other tiles or other leaves.
async fn forged(recorder: &Recorder, leaf_in_tile: [u8; 32], leaf_in_root: [u8; 32]) -> Result<u64, RecordError> {
    let note = Checkpoint::new(ORIGIN, 1, leaf_in_root).sign(&signer()).unwrap();
    let publication = log::Publication {
        tiles: vec![log::Tile { level: 0, index: 0, width: 1, hashes: leaf_in_tile.to_vec() }],
        sequence: vec![log::Sequenced { first_index: 0, writer: 0, first_seq: 0, count: 1 }],
        checkpoint: log::Checkpoint { size: 1, note, signed_at: Timestamp(0) },
    };
    log::publish(recorder.store(), publication).await.unwrap();
    recorder.sequence_once().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiles_that_are_not_what_was_signed_stop_the_signing() {
    for (tile_is_true, root_is_true) in [(true, true), (false, true), (true, false), (false, false)] {
        let directory = place();
        let recorder = open(&directory).await;
        let receipt = recorder.before(intent("x")).await.unwrap();
        let leaf = receipt.durable().leaf();
        act(&recorder, "y").await;
        recorder.flush().await;
        let pick = |is_true: bool| if is_true { leaf } else { [6; 32] };
        let signed = forged(&recorder, pick(tile_is_true), pick(root_is_true)).await;
        // A wrong leaf under its own root cannot be seen from tiles; the export and the proof see it.
        let visible = tile_is_true != root_is_true;
        assert_eq!(signed.is_err(), visible, "tile {tile_is_true}, root {root_is_true}: {signed:?}");
        // The proof of a lone leaf needs no tile: it holds if the root is true.
        let provable = recorder.prove(receipt.position()).await;
        assert_eq!(provable.is_ok(), root_is_true, "{provable:?}");
        let export = recorder.export_to(&mut Vec::new(), |_, _| {}).await;
        assert_eq!(export.is_ok(), tile_is_true && root_is_true, "{export:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_verifies_with_all_its_bodies_and_after_erasures() {
    let directory = place();
    let recorder = open(&directory).await;
    let mut positions = vec![];
    for i in 0..150 {
        positions.push(act(&recorder, &format!("tool-{i}")).await);
    }
    recorder.flush().await;
    let options = chancery_verify::Options::default();
    let before = exported(&recorder).await;
    let report = chancery_verify::verify(&before[..], &options).unwrap();
    assert_eq!((report.entries, report.bodies, report.erased), (300, 300, 0));
    let note = recorder.checkpoint().await.unwrap().unwrap().note;
    for position in &positions[..10] {
        recorder.erase_body(*position, "arguments", Who::default(), Some("asked to".into())).await.unwrap();
    }
    let again = recorder.erase_body(positions[0], "arguments", Who::default(), None).await;
    assert!(matches!(again, Err(RecordError::NoSuchBody { .. })));
    let options = chancery_verify::Options { checkpoint: Some(note), ..options };
    let after = exported(&recorder).await;
    let report = chancery_verify::verify(&after[..], &options).unwrap();
    assert_eq!((report.entries, report.bodies, report.erased), (310, 290, 10));
    let gone = b"{\"tool\":\"tool-3\"}";
    assert!(before.windows(gone.len()).any(|w| w == gone) && !after.windows(gone.len()).any(|w| w == gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_found_by_every_field_and_page_by_page() {
    let directory = place();
    let recorder = open(&directory).await;
    for i in 0..50 {
        act(&recorder, if i % 2 == 0 { "even" } else { "odd" }).await;
    }
    recorder.decided(Draft { decision: Some(Outcome::Deny), ..Draft::default() }).await.unwrap();
    recorder.flush().await;
    let count = async |filter: Filter| recorder.search(&filter, 1000).await.unwrap().len();
    assert_eq!(count(Filter::default()).await, 101);
    assert_eq!(count(Filter { tool: Some("even".into()), ..Filter::default() }).await, 25);
    assert_eq!(count(Filter { agent: Some("crm".into()), ..Filter::default() }).await, 50);
    assert_eq!(
        count(Filter { agent: Some("agt_1".into()), server: Some("billing".into()), ..Filter::default() }).await,
        50
    );
    assert_eq!(count(Filter { decision: Some(Outcome::Deny), ..Filter::default() }).await, 1);
    assert_eq!(count(Filter { kind: Some(Kind::Outcome), ..Filter::default() }).await, 50);
    assert_eq!(count(Filter { session: Some("none".into()), ..Filter::default() }).await, 0);
    let (mut seen, mut filter) = (vec![], Filter::default());
    loop {
        let page = recorder.search(&filter, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.position);
        seen.extend(page.iter().map(|found| found.position.seq));
    }
    assert_eq!(seen, (0..101).rev().collect::<Vec<_>>());
    let tail = recorder.tail(&Filter::default(), 3).await.unwrap();
    assert_eq!(tail.iter().map(|f| f.position.seq).collect::<Vec<_>>(), [98, 99, 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_what_comes_after_it_and_nothing_else() {
    let directory = place();
    let recorder = open(&directory).await;
    act(&recorder, "before").await;
    recorder.flush().await;
    let mut follow = recorder.follow(Filter { kind: Some(Kind::Intent), ..Filter::default() }).await.unwrap();
    let wrote = [act(&recorder, "a").await, act(&recorder, "b").await];
    for expected in wrote {
        let found = tokio::time::timeout(std::time::Duration::from_secs(5), follow.next()).await.unwrap().unwrap();
        assert_eq!(found.position, expected);
    }
}

/// Asks `future` so many times whether it is done, and then leaves it.
async fn leave<F: Future>(future: F, mut polls: u32) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        polls -= 1;
        if future.as_mut().poll(context).is_ready() || polls == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_a_step_in_the_middle_breaks_nothing() {
    let directory = place();
    let recorder = open(&directory).await;
    for polls in 1..=40 {
        act(&recorder, "left").await;
        recorder.flush().await;
        leave(recorder.checkpoint_now(), polls).await;
        assert_eq!(recorder.sequence_once().await.unwrap(), u64::from(polls) * 2, "left after {polls}");
    }
}

/// Three nodes write, one signs, and what it signs is the record of all.
async fn three_nodes_are_one_record(server: &chancery_lend::Postgres) {
    let url = Secret::new(server.database());
    let mut nodes: Vec<(tempfile::TempDir, Recorder)> = Vec::new();
    for number in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let token = match nodes.first() {
            Some((_, first)) => Some(token(first.store()).await),
            None => None,
        };
        let node = Membership { token, ..Membership::default() };
        let config = Config { database: Some(url.clone()), node, ..Config::at(dir.path()) };
        let clock: Arc<dyn Clock> = Arc::new(Ticking(AtomicI64::new(1_795_000_000_000_000)));
        let random = Arc::new(Counting(AtomicU64::new(number << 32)));
        let store = Store::open(&config, Arc::clone(&clock), random).await.unwrap();
        nodes.push((dir, Recorder::new(store, signer(), clock)));
    }
    let mut positions = Vec::new();
    for round in 0..20 {
        for (_, recorder) in &nodes {
            positions.push(act(recorder, &format!("tool-{round}")).await);
        }
    }
    for (_, recorder) in &nodes {
        recorder.flush().await;
    }
    let (_, first) = &nodes[0];
    // 120 entries of acts, and those of the two that joined and of their tokens.
    assert_eq!(first.sequence_once().await.unwrap(), 124);
    let size = nodes[1].1.checkpoint_now().await.unwrap().checkpoint.size;
    assert_eq!(size, 124, "another node needs not sign what is signed");
    for position in &positions {
        let ProofFile { index, .. } = nodes[2].1.prove(*position).await.unwrap();
        assert_eq!(log::position_at(first.store(), index).await.unwrap(), Some(*position));
        assert!(nodes[1].1.outcome_of(*position).await.unwrap().is_some());
    }
    let bundle = exported(&nodes[2].1).await;
    let report = chancery_verify::verify(&bundle[..], &chancery_verify::Options::default()).unwrap();
    assert_eq!((report.entries, report.writers), (124, 3));

    let (mut seen, mut filter) = (BTreeSet::new(), Filter::default());
    loop {
        let page = nodes[1].1.search(&filter, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.position);
        page.iter().for_each(|found| assert!(seen.insert(found.position), "{:?} is on two pages", found.position));
    }
    assert_eq!(seen.len(), 124);

    // The one that signs goes away: another takes over, and goes on with the same tree.
    assert!(first.store().lead("sequencer", Span(0)).await.unwrap());
    nodes[0].1.store().close().await;
    act(&nodes[1].1, "later").await;
    nodes[1].1.flush().await;
    assert_eq!(nodes[1].1.sequence_once().await.unwrap(), 126);
    let bundle = exported(&nodes[1].1).await;
    assert_eq!(chancery_verify::verify(&bundle[..], &chancery_verify::Options::default()).unwrap().entries, 126);
}

async fn token(store: &Store) -> Secret {
    let token = store.node_token();
    let hash = chancery_store::token_hash(token.expose());
    let (from, until) = (Timestamp(1), Timestamp(i64::MAX));
    let write = store.write(Draft::default(), move |tx| {
        Box::pin(async move { chancery_store::nodes::insert_token(tx, &hash, from, until).await })
    });
    write.await.unwrap();
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_writers_are_one_tree_and_verify() {
    let Some(server) = chancery_lend::Postgres::start() else { return };
    three_nodes_are_one_record(&server).await;
}

#[test]
fn what_holds_on_sqlite_holds_on_postgresql() {
    chancery_lend::on_postgres(&[ON_BOTH]);
}

#[test]
fn no_test_is_left_out_on_postgresql() {
    assert_eq!(
        chancery_lend::left_out(include_str!("tests.rs"), &["several_writers_are_one_tree_and_verify"]),
        [""; 0]
    );
}

const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    an_intent_is_durable_before_its_receipt_and_closed_after,
    outcomes_handed_over_survive_an_orderly_stop,
    intents_left_open_are_indeterminate_at_the_next_start_and_only_then,
    the_tree_grows_across_restarts_and_proves_itself,
    an_entry_not_in_the_tree_yet_can_be_proven,
    another_key_stops_the_signing,
    tiles_that_are_not_what_was_signed_stop_the_signing,
    an_export_verifies_with_all_its_bodies_and_after_erasures,
    entries_are_found_by_every_field_and_page_by_page,
    a_follower_sees_what_comes_after_it_and_nothing_else,
    whoever_leaves_a_step_in_the_middle_breaks_nothing,
];
