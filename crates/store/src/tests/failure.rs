//! When a commit fails: everybody learns it, and nothing more is written.

use futures_util::future::join_all;

use super::{agent, change_of, draft, open, place, verified};
use crate::{Store, StoreError, agents};

/// From now on the database file cannot grow: what a full disk is to SQLite.
async fn fill_the_disk(store: &Store) {
    let full = store.write(draft("full"), |tx| Box::pin(async move { tx.control("PRAGMA max_page_count = 1").await }));
    full.await.unwrap();
}

async fn append_until_it_fails(store: &Store) -> (usize, StoreError) {
    let long = "x".repeat(10_000);
    for acknowledged in 0..1000 {
        if let Err(why) = store.append(draft(&long)).await {
            return (acknowledged, why);
        }
    }
    panic!("a full disk took a thousand entries");
}

#[tokio::test]
async fn failed_and_not_there() {
    let dir = place();
    let store = open(&dir).await;
    store.append(draft("before")).await.unwrap();
    fill_the_disk(&store).await;
    let (acknowledged, why) = append_until_it_fails(&store).await;
    assert!(matches!(&why, StoreError::Poisoned(why) if why.contains("full")), "{why}");
    store.close().await;
    let details = verified(&open(&dir).await).await;
    assert_eq!(details.len(), 2 + acknowledged, "what was refused is not there, all else is");
}

/// The commit succeeds and what comes after it fails: the author hears an error although the entry is on the disk.
#[tokio::test]
async fn failed_and_there() {
    let dir = place();
    let store = open(&dir).await;
    store.observe(Box::new(|_| panic!("this copy is lost")));
    let crm = agent("crm", 1);
    let entry = change_of(&crm, "register");
    let outcome = store.write(entry, move |tx| Box::pin(async move { agents::insert(tx, &crm).await })).await;
    assert!(matches!(outcome, Err(StoreError::Poisoned(_))));
    assert!(matches!(store.append(draft("later")).await, Err(StoreError::Poisoned(_))));
    store.close().await;
    let store = open(&dir).await;
    assert_eq!(verified(&store).await, ["crm"]);
    assert!(agents::by_name(&store, "crm").await.unwrap().is_some());
    assert_eq!(store.append(draft("goes on")).await.unwrap().position().seq, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_is_everybodys_error_and_the_last() {
    let dir = place();
    let store = open(&dir).await;
    fill_the_disk(&store).await;
    let long = "x".repeat(10_000);
    let outcomes = join_all((0..500).map(|_| store.append(draft(&long)))).await;
    let acknowledged = outcomes.iter().filter(|o| o.is_ok()).count();
    assert!(acknowledged < 500);
    assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|e| matches!(e, StoreError::Poisoned(_))));
    assert!(matches!(store.failed().await, StoreError::Poisoned(_)));
    let crm = agent("crm", 1);
    let refused = store
        .write(change_of(&crm, "register"), move |tx| Box::pin(async move { agents::insert(tx, &crm).await }))
        .await;
    assert!(matches!(refused, Err(StoreError::Poisoned(_))));
    store.close().await;
    let store = open(&dir).await;
    assert_eq!(verified(&store).await.len(), 1 + acknowledged);
    assert_eq!(agents::all(&store).await.unwrap(), []);
}

/// A change that meets the full disk may have undone the whole transaction: its neighbours must not be acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_inside_a_change_acknowledges_nobody_wrongly() {
    let dir = place();
    let store = open(&dir).await;
    fill_the_disk(&store).await;
    let writes = (0..200u64).map(|n| {
        let mut new = agent(&format!("a{n}"), n);
        new.purpose = "p".repeat(5_000);
        store.write(change_of(&new, "register"), move |tx| Box::pin(async move { agents::insert(tx, &new).await }))
    });
    let outcomes = join_all(writes).await;
    let acknowledged = outcomes.iter().filter(|o| o.is_ok()).count();
    assert!(acknowledged < 200);
    store.close().await;
    let store = open(&dir).await;
    assert_eq!(verified(&store).await.len(), 1 + acknowledged);
    assert_eq!(agents::all(&store).await.unwrap().len(), acknowledged);
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let dir = place();
    let store = open(&dir).await;
    let pending = store.append(draft("handed over"));
    let (appended, ()) = tokio::join!(pending, store.close());
    assert_eq!(appended.unwrap().position().seq, 0, "what was handed over before is finished");
    assert!(matches!(store.append(draft("late")).await, Err(StoreError::Closed)));
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![failed_and_there, a_closed_store_refuses,];
