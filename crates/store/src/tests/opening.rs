//! What opening looks at.

use std::os::unix::fs::PermissionsExt;

use chancery_model::Timestamp;

use super::{Place, draft, open, place, try_open, verified};
use crate::log::{self, Checkpoint, Publication, Sequenced};
use crate::{Config, StoreError};

async fn three_entries() -> Place {
    let dir = place();
    let store = open(&dir).await;
    for detail in ["one", "two", "three"] {
        store.append(draft(detail)).await.unwrap();
    }
    let sequence = vec![Sequenced { first_index: 0, writer: 0, first_seq: 0, count: 3 }];
    let checkpoint = Checkpoint { size: 3, note: "three".into(), signed_at: Timestamp(1) };
    log::publish(&store, Publication { tiles: Vec::new(), sequence, checkpoint }).await.unwrap();
    store.close().await;
    dir
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart() {
    let dir = three_entries().await;
    for detail in ["four", "five"] {
        let store = open(&dir).await;
        store.append(draft(detail)).await.unwrap();
        store.close().await;
    }
    assert_eq!(verified(&open(&dir).await).await, ["one", "two", "three", "four", "five"]);
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_closes() {
    let dir = place();
    let store = open(&dir).await;
    let second = try_open(dir.config()).await;
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    store.close().await;
    open(&dir).await;
}

#[tokio::test]
async fn files_are_private() {
    let dir = place();
    let home = dir.path().join("data");
    let store = try_open(Config::at(&home)).await.unwrap();
    store.append(draft("x")).await.unwrap();
    let mode = |name: &str| std::fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    for file in ["chancery.db", "chancery.db-wal", "chancery.db-shm", "lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_changed_last_entry_is_noticed() {
    let dir = three_entries().await;
    dir.forge(2, "three", "threw").await;
    let refused = try_open(dir.config()).await;
    assert!(matches!(refused, Err(StoreError::Damaged(why)) if why.contains("entry 2")));
}

#[tokio::test]
async fn a_changed_entry_with_its_leaf_made_to_fit_breaks_the_chain() {
    let dir = three_entries().await;
    dir.meddle(
        "UPDATE log_segments SET leaves = (SELECT leaves FROM log_segments WHERE first_seq = 0) WHERE first_seq = 2",
    )
    .await;
    assert!(matches!(try_open(dir.config()).await, Err(StoreError::Damaged(_))));
    let dir = three_entries().await;
    dir.forge(1, "two", "six").await;
    assert!(matches!(try_open(dir.config()).await, Err(StoreError::Damaged(why)) if why.contains("entry 2")));
}

#[tokio::test]
async fn a_missing_entry_is_noticed() {
    let dir = three_entries().await;
    dir.meddle("DELETE FROM log_segments WHERE first_seq = 1").await;
    assert!(matches!(try_open(dir.config()).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn a_log_shorter_than_what_was_signed_is_refused() {
    let dir = three_entries().await;
    dir.meddle("DELETE FROM log_segments WHERE first_seq = 2").await;
    let refused = try_open(dir.config()).await;
    assert!(matches!(refused, Err(StoreError::Truncated { entries: 2, signed: 3 })), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = place();
    std::fs::write(dir.path().join("chancery.db"), "not a database, but long enough to be looked at").unwrap();
    assert!(matches!(try_open(dir.config()).await, Err(StoreError::Open { .. })));
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    the_chain_goes_on_after_a_restart,
    a_second_opener_is_refused_until_the_first_closes,
    a_changed_last_entry_is_noticed,
    a_changed_entry_with_its_leaf_made_to_fit_breaks_the_chain,
    a_missing_entry_is_noticed,
    a_log_shorter_than_what_was_signed_is_refused,
];
