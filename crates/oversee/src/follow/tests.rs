//! Followers over a real store on real files.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chancery_model::{Clock, Draft, Kind, Random};
use chancery_store::Config;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Each look at it is a microsecond later.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Timestamp {
        self.now()
    }
}

/// Different bytes every time, the same in every run.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&next(&self.0).to_be_bytes()[..chunk.len()]);
        }
    }
}

/// Splitmix64.
fn next(state: &AtomicU64) -> u64 {
    let z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 29)
}

const NOON: i64 = 1_795_000_000_000_000;

async fn open(dir: &Path) -> Store {
    let (clock, random) = (Arc::new(Ticking(AtomicI64::new(NOON))), Arc::new(Counting(AtomicU64::new(1))));
    Store::open(&Config::at(dir), clock, random).await.unwrap()
}

async fn append(store: &Store, detail: &str) -> Position {
    let draft = Draft { kind: Kind::Decision, at: Timestamp(7), detail: Some(detail.to_owned()), ..Draft::default() };
    store.append(draft).await.unwrap().position()
}

/// Remembers what it was handed; fails as often as it is told to.
#[derive(Clone, Default)]
struct Seen {
    seqs: Arc<Mutex<Vec<u64>>>,
    failures: Arc<AtomicU64>,
    tries: Arc<AtomicU64>,
}

impl Seen {
    fn seqs(&self) -> Vec<u64> {
        self.seqs.lock().unwrap().clone()
    }

    async fn until(&self, enough: impl Fn(&[u64]) -> bool) {
        let waiting = async {
            while !enough(&self.seqs()) {
                tokio::task::yield_now().await;
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("entries in time");
    }
}

impl Job for Seen {
    fn take<'a>(&'a mut self, entries: &'a [Followed]) -> BoxFuture<'a, Result<(), JobFailed>> {
        Box::pin(async move {
            self.tries.fetch_add(1, Ordering::SeqCst);
            let left = self.failures.load(Ordering::SeqCst);
            if left > 0 {
                self.failures.store(left - 1, Ordering::SeqCst);
                return Err("not now".into());
            }
            self.seqs.lock().unwrap().extend(entries.iter().map(|followed| followed.position.seq));
            Ok(())
        })
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(store: &Store, name: &str, start: Start, seen: &Seen) -> Self {
        let (stop, stopped) = oneshot::channel();
        let follower = Follower::open(store, name, start).await.unwrap();
        let stopped = async move { drop(stopped.await) };
        Self { stop, task: tokio::spawn(follower.run(seen.clone(), stopped)) }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    /// As a crash: nothing more is saved.
    async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

#[tokio::test]
async fn a_new_follower_begins_at_the_end_and_goes_on_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    append(&store, "before").await;
    let seen = Seen::default();
    let running = Running::start(&store, "one", Start::Now, &seen).await;
    let first = append(&store, "first").await;
    seen.until(|seqs| !seqs.is_empty()).await;
    running.stop().await;
    let missed = append(&store, "while nobody looked").await;
    let running = Running::start(&store, "one", Start::Now, &seen).await;
    seen.until(|seqs| seqs.len() > 1).await;
    running.stop().await;
    assert_eq!(seen.seqs(), [first.seq, missed.seq], "none twice after an orderly stop");
}

#[tokio::test]
async fn a_new_follower_begins_at_the_stated_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut times = Vec::new();
    for n in 0..40 {
        let position = append(&store, &n.to_string()).await;
        times.push((position.seq, log::segment(&store, position).await.unwrap().unwrap().committed_at));
    }
    for (seq, time) in times.iter().step_by(7) {
        assert_eq!(log::first_since(&store, 0, *time).await.unwrap(), *seq);
    }
    let (from, time) = times[29];
    let seen = Seen::default();
    let running = Running::start(&store, "late", Start::At(time), &seen).await;
    seen.until(|seqs| seqs.len() == 11).await;
    running.stop().await;
    assert_eq!(seen.seqs(), (from..from + 11).collect::<Vec<_>>());
    assert_eq!(log::first_since(&store, 0, Timestamp(i64::MAX)).await.unwrap(), from + 11);
    assert_eq!(log::first_since(&store, 0, Timestamp(0)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_job_that_fails_is_handed_the_same_again_and_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (failing, other) = (Seen::default(), Seen::default());
    failing.failures.store(u64::MAX, Ordering::SeqCst);
    let one = Running::start(&store, "failing", Start::Now, &failing).await;
    let two = Running::start(&store, "other", Start::Now, &other).await;
    for n in 0..3 {
        append(&store, &n.to_string()).await;
    }
    other.until(|seqs| seqs.len() == 3).await;
    while failing.tries.load(Ordering::SeqCst) < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(failing.seqs().is_empty());
    failing.failures.store(0, Ordering::SeqCst);
    failing.until(|seqs| seqs.len() == 3).await;
    assert_eq!(failing.seqs(), other.seqs(), "nothing is skipped");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_place_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    followers::save(&store, "one", vec![(0, 7), (1, 2)]).await.unwrap();
    followers::save(&store, "one", vec![(0, 5), (1, 3)]).await.unwrap();
    assert_eq!(followers::places(&store, "one").await.unwrap(), [(0, 7), (1, 3)]);
    assert!(followers::places(&store, "two").await.unwrap().is_empty());
}

/// 10,000 entries, written while the follower is killed, stopped, made to fail, and the store opened anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_missed_and_none_out_of_order_over_restarts() {
    const ENTRIES: u64 = 10_000;
    let seed = AtomicU64::new(0x5eed_0017);
    let dir: TempDir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).await;
    let seen = Seen::default();
    let mut running = Running::start(&store, "one", Start::At(Timestamp(0)), &seen).await;
    let (mut written, mut restarts) = (0, 0);
    while written < ENTRIES {
        let many = 1 + next(&seed) % 400;
        let appending: Vec<_> = (0..many.min(ENTRIES - written))
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { append(&store, &n.to_string()).await })
            })
            .collect();
        let at = next(&seed) % 3;
        seen.failures.store(next(&seed) % 2, Ordering::SeqCst);
        if at == 0 {
            running.kill().await;
            restarts += 1;
            running = Running::start(&store, "one", Start::Now, &seen).await;
        }
        for one in appending {
            one.await.unwrap();
            written += 1;
        }
        if at == 1 {
            running.stop().await;
            store.close().await;
            store = open(dir.path()).await;
            restarts += 1;
            running = Running::start(&store, "one", Start::Now, &seen).await;
        }
    }
    seen.until(|seqs| seqs.last() == Some(&(ENTRIES - 1))).await;
    running.stop().await;
    let seqs = seen.seqs();
    let mut expected = 0;
    for seq in &seqs {
        assert!(*seq <= expected, "entry {expected} was left out: {seq} came instead");
        expected = expected.max(seq + 1);
    }
    assert_eq!(expected, ENTRIES);
    println!("{restarts} restarts, {} entries handed over twice", seqs.len() as u64 - ENTRIES);
    assert!(restarts > 10);
}
