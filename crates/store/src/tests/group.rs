//! Writers that wait together share a commit.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{commits, draft, draft_with_body, open, verified};
use crate::{StoreError, bodies};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let tasks = (0..200).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for round in 0..5 {
                seqs.push(store.append(draft(&format!("{n}.{round}"))).await.unwrap().position().seq);
            }
            seqs
        })
    });
    let seqs: BTreeSet<u64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(seqs, (0..1000).collect());
    assert_eq!(verified(&store).await.len(), 1000);
    let commits = commits(&store).await;
    assert!(commits <= 250, "1000 appends took {commits} commits");
}

#[tokio::test]
async fn one_after_the_other_is_one_commit_each() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for n in 0..10u64 {
        assert_eq!(store.append(draft("x")).await.unwrap().position().seq, n);
    }
    assert_eq!(commits(&store).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_who_go_away_leave_the_batch_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for n in 0..300 {
        match n % 3 {
            // Polled once, so that it is handed over, then dropped.
            0 => assert!(store.append(draft(&format!("gone {n}"))).now_or_never().is_none()),
            1 => {
                let change: Option<_> = store
                    .write(draft(&format!("gone with a change {n}")), |_| Box::pin(async { Ok(()) }))
                    .now_or_never();
                assert!(change.is_none());
            }
            _ => drop(store.append(draft(&format!("stays {n}"))).await.unwrap()),
        }
    }
    let details = verified(&store).await;
    assert_eq!(details.len(), 300);
    assert_eq!(details.iter().filter(|d| d.starts_with("stays")).count(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let big = vec![7u8; 1 << 20];
    let appended = join_all((0..20).map(|n| store.append(draft_with_body(&n.to_string(), &big)))).await;
    assert!(commits(&store).await >= 3, "20 MiB of bodies in fewer than 3 commits");
    for durable in appended {
        let kept = bodies::get(&store, durable.unwrap().position()).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].kept.as_ref().unwrap().content, big);
    }
}

#[tokio::test]
async fn an_entry_over_the_limit_is_refused_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let refused = store.append(draft(&"x".repeat(1 << 20))).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    let refused = store.append(draft_with_body("x", &vec![0; (16 << 20) + 1])).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.append(draft("fits")).await.unwrap().position().seq, 0);
}

#[tokio::test]
async fn a_patient_entry_goes_along_with_one_that_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let patient = tokio::spawn({
        let store = store.clone();
        async move { store.append_patiently(draft("patient")).await }
    });
    tokio::task::yield_now().await;
    let waited_for = store.append(draft("waited for")).await.unwrap();
    let patient = patient.await.unwrap().unwrap();
    assert_eq!((patient.position().seq, waited_for.position().seq), (0, 1));
    assert_eq!(commits(&store).await, 1);
}

#[tokio::test]
async fn a_patient_entry_alone_is_committed_soon() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let limit = std::time::Duration::from_secs(10);
    let durable = tokio::time::timeout(limit, store.append_patiently(draft("alone"))).await.unwrap().unwrap();
    assert_eq!(durable.position().seq, 0);
    let unfinished = store.append_patiently(draft("at the end"));
    let (written, ()) = tokio::join!(unfinished, async {
        tokio::task::yield_now().await;
        store.close().await;
    });
    assert_eq!(written.unwrap().position().seq, 1);
}
