//! Writers that wait together share a commit.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chancery_model::{AgentId, Changed, Session, SessionId, SessionState, Span, Timestamp};
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{Counting, agent, change_of, commits, draft, draft_with_body, open, place, verified};
use crate::{StoreError, agents, bodies, sessions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_commits() {
    let dir = place();
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
    let dir = place();
    let store = open(&dir).await;
    for n in 0..10u64 {
        assert_eq!(store.append(draft("x")).await.unwrap().position().seq, n);
    }
    assert_eq!(commits(&store).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_who_go_away_leave_the_batch_whole() {
    let dir = place();
    let store = open(&dir).await;
    for n in 0..300 {
        match n % 3 {
            // Polled once, so that it is handed over, then dropped.
            0 => drop(store.append(draft(&format!("gone {n}"))).now_or_never()),
            1 => {
                let change: Option<_> = store
                    .write(draft(&format!("gone with a change {n}")), |_| Box::pin(async { Ok(()) }))
                    .now_or_never();
                drop(change);
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
    let dir = place();
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
    let dir = place();
    let store = open(&dir).await;
    let refused = store.append(draft(&"x".repeat(1 << 20))).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    let refused = store.append(draft_with_body("x", &vec![0; (16 << 20) + 1])).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.append(draft("fits")).await.unwrap().position().seq, 0);
}

#[tokio::test]
async fn a_patient_entry_goes_along_with_one_that_is_waited_for() {
    let dir = place();
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
    let dir = place();
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

pub(super) fn session(agent: &AgentId, number: u64) -> Session {
    let now = Timestamp::from_seconds(1_795_000_000);
    Session {
        id: SessionId::new(now, &Counting((number << 20).into())),
        agent: agent.clone(),
        instance: Some(format!("pod \"{number}\" \u{e9}")),
        manifest: None,
        epoch: 3,
        state: SessionState::Open,
        opened_at: now,
        ends_at: now + Span::minutes(5),
        idle: Span::minutes(1),
        used_at: now,
        parent: None,
        human: None,
        human_epoch: 0,
        purpose: None,
        limits: Arc::default(),
        presence_at: None,
        client: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_opened_together_and_beside_changes() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    let new = crm.clone();
    store
        .write(change_of(&crm, "register"), move |tx| Box::pin(async move { agents::insert(tx, &new).await }))
        .await
        .unwrap();
    let told = Arc::new(Mutex::new(BTreeSet::new()));
    let telling = Arc::clone(&told);
    store.observe(Box::new(move |changed| {
        if let Changed::Session(session) = changed {
            telling.lock().unwrap().insert(session.id.to_string());
        }
    }));
    let refused = AtomicUsize::new(0);
    let one = |number: u64| {
        let (store, id, refused) = (&store, &crm.id, &refused);
        async move {
            match number % 3 {
                0 => {
                    let no = store.write::<(), _>(draft("refused"), |_| Box::pin(async { Err(StoreError::Closed) }));
                    no.await.unwrap_err();
                    refused.fetch_add(1, Ordering::Relaxed);
                    None
                }
                1 => store.append(draft("entry")).await.map(|_| None).unwrap(),
                _ => {
                    let new = session(id, number);
                    store.open_session(draft(new.id.as_str()), new.clone()).await.unwrap();
                    assert_eq!(sessions::get(store, &new.id).await.unwrap(), Some(new.clone()));
                    Some(new.id.to_string())
                }
            }
        }
    };
    let opened: BTreeSet<String> = join_all((0..300).map(one)).await.into_iter().flatten().collect();
    assert_eq!((opened.len(), refused.load(Ordering::Relaxed)), (100, 100));
    assert_eq!(*told.lock().unwrap(), opened, "each is told once it is committed");
    let details = verified(&store).await;
    assert_eq!(details.iter().filter(|detail| opened.contains(*detail)).count(), 100);
    assert_eq!(details.len(), 201);
    assert!(commits(&store).await < 50, "sessions of many are opened together");
}

#[tokio::test]
async fn a_session_that_the_database_refuses_is_nobodys() {
    let dir = place();
    let store = open(&dir).await;
    let nobodys = session(&agent("crm", 1).id, 1);
    let refused = store.open_session(draft("of nobody"), nobodys.clone()).await;
    assert!(matches!(refused, Err(StoreError::Poisoned(_))), "{refused:?}");
    assert_eq!(sessions::get(&store, &nobodys.id).await.unwrap(), None);
    assert!(verified(&store).await.is_empty(), "nor is its entry there");
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    concurrent_appends_share_commits,
    one_after_the_other_is_one_commit_each,
    authors_who_go_away_leave_the_batch_whole,
    a_commit_is_bounded_in_bytes,
    an_entry_over_the_limit_is_refused_and_nothing_else,
    a_patient_entry_goes_along_with_one_that_is_waited_for,
    a_patient_entry_alone_is_committed_soon,
    sessions_are_opened_together_and_beside_changes,
    a_session_that_the_database_refuses_is_nobodys,
];
