//! What the sequencer takes and gives.

use chancery_model::{Position, Timestamp};

use super::{draft, open, place};
use crate::log::{self, Checkpoint, Publication, Sequenced, Tile};
use crate::{Store, StoreError};

fn publication(first_index: u64, count: u64) -> Publication {
    let size = first_index + count;
    Publication {
        tiles: vec![Tile { level: 0, index: 0, width: size as u16, hashes: vec![size as u8; 32 * size as usize] }],
        sequence: vec![Sequenced { first_index, writer: 0, first_seq: first_index, count }],
        checkpoint: Checkpoint { size, note: format!("over {size}"), signed_at: Timestamp(size as i64) },
    }
}

async fn append(store: &Store, count: usize) {
    for _ in 0..count {
        store.append(draft("x")).await.unwrap();
    }
}

async fn waiting(store: &Store) -> Vec<u64> {
    let runs = log::unsequenced(store, 1000).await.unwrap();
    runs.iter().flat_map(|run| run.first_seq..run.end()).collect()
}

#[tokio::test]
async fn what_is_published_waits_no_more() {
    let dir = place();
    let store = open(&dir).await;
    append(&store, 5).await;
    assert_eq!(waiting(&store).await, [0, 1, 2, 3, 4]);
    log::publish(&store, publication(0, 3)).await.unwrap();
    assert_eq!(waiting(&store).await, [3, 4]);
    store.close().await;

    let store = open(&dir).await;
    assert_eq!(waiting(&store).await, [3, 4], "from the log after a restart");
    append(&store, 2).await;
    assert_eq!(waiting(&store).await[..2], [3, 4]);
    log::publish(&store, publication(3, 4)).await.unwrap();
    assert_eq!(waiting(&store).await, [0u64; 0]);
    append(&store, 1).await;
    assert_eq!(waiting(&store).await, [7]);
}

#[tokio::test]
async fn the_leaves_that_wait_are_those_of_the_entries() {
    let dir = place();
    let store = open(&dir).await;
    let durable = store.append(draft("x")).await.unwrap();
    let runs = log::unsequenced(&store, 10).await.unwrap();
    assert_eq!(runs[0].hashes().copied().collect::<Vec<_>>(), [durable.leaf()]);
}

#[tokio::test]
async fn a_limit_takes_whole_commits_and_at_least_one() {
    let dir = place();
    let store = open(&dir).await;
    append(&store, 4).await;
    assert_eq!(log::unsequenced(&store, 2).await.unwrap().len(), 2);
    assert_eq!(log::unsequenced(&store, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_publication_that_does_not_follow_is_refused_whole() {
    let dir = place();
    let store = open(&dir).await;
    append(&store, 5).await;
    log::publish(&store, publication(0, 2)).await.unwrap();
    let mut lies = publication(2, 2);
    lies.checkpoint.size = 5;
    for wrong in [publication(0, 2), publication(3, 1), lies] {
        assert!(matches!(log::publish(&store, wrong).await, Err(StoreError::Conflict(_))));
    }
    assert_eq!(log::size(&store).await.unwrap(), 2);
    assert_eq!(log::checkpoint(&store).await.unwrap().unwrap().note, "over 2");
    assert_eq!(log::tile(&store, 0, 0).await.unwrap().unwrap().width, 2);
    assert_eq!(waiting(&store).await, [2, 3, 4]);
}

#[tokio::test]
async fn places_in_the_tree_are_found_both_ways() {
    let dir = place();
    let store = open(&dir).await;
    append(&store, 5).await;
    log::publish(&store, publication(0, 2)).await.unwrap();
    log::publish(&store, publication(2, 2)).await.unwrap();
    for index in 0..4 {
        let position = log::position_at(&store, index).await.unwrap().unwrap();
        assert_eq!(position, Position { writer: 0, seq: index });
        assert_eq!(log::index_of(&store, position).await.unwrap(), Some(index));
    }
    assert_eq!(log::position_at(&store, 4).await.unwrap(), None);
    assert_eq!(log::index_of(&store, Position { writer: 0, seq: 4 }).await.unwrap(), None);
    assert_eq!(log::sequenced(&store, 3, 10).await.unwrap()[0].first_index, 2);
    assert_eq!(log::tiles(&store, 0, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn entries_are_found_by_position_and_in_both_directions() {
    let dir = place();
    let store = open(&dir).await;
    for n in 0..40 {
        store.append(draft(&n.to_string())).await.unwrap();
    }
    let entry = log::entry(&store, Position { writer: 0, seq: 17 }).await.unwrap().unwrap();
    assert_eq!(entry.draft.detail.as_deref(), Some("17"));
    assert_eq!(log::entry(&store, Position { writer: 0, seq: 40 }).await.unwrap(), None);
    assert_eq!(log::entry(&store, Position { writer: 1, seq: 0 }).await.unwrap(), None);
    let mut backwards = log::newest_first(&store, 0);
    let mut seqs = Vec::new();
    while let Some(segment) = backwards.next().await.unwrap() {
        seqs.extend(segment.entries().rev().map(|(position, _)| position.seq));
    }
    assert_eq!(seqs, (0..40).rev().collect::<Vec<_>>());
    let first = log::forward(&store, Position { writer: 0, seq: 35 }).next().await.unwrap().unwrap();
    assert_eq!(first.first_seq, 35);
    assert_eq!(log::writers(&store).await.unwrap(), [(0, 40)]);
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    what_is_published_waits_no_more,
    the_leaves_that_wait_are_those_of_the_entries,
    a_limit_takes_whole_commits_and_at_least_one,
    a_publication_that_does_not_follow_is_refused_whole,
    places_in_the_tree_are_found_both_ways,
    entries_are_found_by_position_and_in_both_directions,
];
