//! P1: no allowed action without a prior durable record. What was seen outside (an acknowledgement, a request at an
//! upstream) is a subset of what the verified log holds, however the process or the machine ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_model::{Entry, Position};
use chancery_store::{Config, Store, log};
use chancery_tlog::leaf_hash;

mod kills;
mod power;
pub(crate) mod served;
pub(crate) mod subject;
mod syscalls;

/// What was seen outside: its name, and where the log is said to hold it, if that was said.
type Seen = BTreeMap<String, Option<u64>>;

/// What the log holds: name to sequence number.
type Recorded = BTreeMap<String, u64>;

/// What a log must hold for this promise, and how to find it there.
struct Claim {
    /// The name under which an entry is seen outside; none for entries that are not.
    name: fn(&Entry) -> Option<String>,
}

/// Acknowledgements of `append-loop` carry the entry's detail.
const ACKNOWLEDGED: Claim = Claim { name: |entry| entry.draft.detail.clone() };

impl Claim {
    /// Verifies the log and looks for everything that was seen. Returns how many such entries it holds, or the first
    /// thing that is not as promised.
    fn check(&self, dir: &Path, seen: &Seen) -> Result<usize, String> {
        let mut recorded = Recorded::new();
        verify(dir, |entry| {
            if let Some(name) = (self.name)(entry) {
                recorded.insert(name, entry.header.position.seq);
            }
        })?;
        for (name, seq) in seen {
            match (recorded.get(name), seq) {
                (None, _) => return Err(format!("`{name}` was seen, but is not in the log")),
                (Some(found), Some(said)) if found != said => {
                    return Err(format!("`{name}` was said to be entry {said}, but is entry {found}"));
                }
                _ => {}
            }
        }
        Ok(recorded.len())
    }
}

/// Opens the store as the product does and verifies the whole log: every hash, every link, every encoding.
pub(crate) fn verify(dir: &Path, each: impl FnMut(&Entry)) -> Result<(), String> {
    block_on(async {
        let config = Config::at(dir);
        let opened = Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(1))).await;
        let store = opened.map_err(|e| e.to_string())?;
        let verified = walk(&store, each).await;
        store.close().await;
        verified
    })
}

async fn walk(store: &Store, mut each: impl FnMut(&Entry)) -> Result<(), String> {
    let mut prev = [0; 32];
    let mut next = Position { writer: 0, seq: 0 };
    let mut scan = log::forward(store, next);
    while let Some(segment) = scan.next().await.map_err(|e| e.to_string())? {
        for (position, bytes) in segment.entries() {
            let entry = Entry::decode(bytes).map_err(|e| e.to_string())?;
            let leaf = leaf_hash(bytes);
            let follows = position == next && entry.header.position == next && entry.header.prev == prev;
            if !follows || segment.leaf(position.seq) != Some(&leaf) {
                return Err(format!("the chain is broken at entry {}", next.seq));
            }
            each(&entry);
            prev = leaf;
            next.seq += 1;
        }
    }
    Ok(())
}

/// Randomness that can be had again: prints its seed, takes it back from `CHANCERY_TEST_SEED`.
#[expect(clippy::disallowed_methods, reason = "a test's parameter has no other way in")]
fn seeded(what: &str) -> Seeded {
    let given = std::env::var("CHANCERY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{what}: CHANCERY_TEST_SEED={seed}");
    Seeded::new(seed)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_false_claim_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(ACKNOWLEDGED.check(dir.path(), &Seen::new()), Ok(0));
    let phantom = Seen::from([("never".to_owned(), None)]);
    assert!(ACKNOWLEDGED.check(dir.path(), &phantom).unwrap_err().contains("`never`"));
}
