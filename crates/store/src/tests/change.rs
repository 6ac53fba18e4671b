//! A change and its entry are one.

use std::sync::{Arc, Mutex};

use chancery_model::{AgentState, Changed};
use futures_util::future::join_all;

use super::{agent, change_of, draft, open, place, verified};
use crate::{StoreError, agents};

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("not on a {0}")]
struct NotOn(&'static str);

#[tokio::test]
async fn a_change_and_its_entry_are_both_there() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    let new = crm.clone();
    let written = store
        .write(change_of(&crm, "register"), move |tx| {
            Box::pin(async move {
                agents::insert(tx, &new).await?;
                Ok(agents::by_name(tx, "crm").await?.is_some())
            })
        })
        .await
        .unwrap();
    assert!(written.value, "the change sees its own writes");
    assert_eq!(written.durable.position().seq, 0);
    assert_eq!(agents::get(&store, &crm.id).await.unwrap(), Some(crm));
    assert_eq!(verified(&store).await, ["crm"]);
}

#[tokio::test]
async fn a_change_that_refuses_leaves_no_trace() {
    let dir = place();
    let store = open(&dir).await;
    let told = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&told);
    store.observe(Box::new(move |_| *counter.lock().unwrap() += 1));
    let crm = agent("crm", 1);
    let refused = store
        .write::<(), _>(change_of(&crm, "register"), move |tx| {
            Box::pin(async move {
                agents::insert(tx, &crm).await?;
                Err(StoreError::refuse(NotOn("sunday")))
            })
        })
        .await;
    assert_eq!(refused.unwrap_err().refusal::<NotOn>().unwrap(), NotOn("sunday"));
    assert_eq!(agents::by_name(&store, "crm").await.unwrap(), None);
    assert_eq!(*told.lock().unwrap(), 0);
    assert_eq!(store.append(draft("next")).await.unwrap().position().seq, 0);
    assert_eq!(verified(&store).await, ["next"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_takes_nothing_else_with_it() {
    let dir = place();
    let store = open(&dir).await;
    let writes = (0..40u64).map(|n| {
        // Every fourth name is the same: only one of them can be first.
        let new = agent(&if n % 4 == 0 { "same".to_owned() } else { format!("agent-{n}") }, n);
        let entry = change_of(&new, "register");
        let store = store.clone();
        async move { store.write(entry, move |tx| Box::pin(async move { agents::insert(tx, &new).await })).await }
    });
    let outcomes = join_all(writes).await;
    let conflicts = outcomes.iter().filter(|o| matches!(o, Err(StoreError::Conflict(_)))).count();
    assert_eq!(conflicts, 9);
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 31);
    assert_eq!(agents::all(&store).await.unwrap().len(), 31);
    assert_eq!(verified(&store).await.len(), 31);
}

#[tokio::test]
async fn a_change_that_panics_is_undone_and_the_writer_lives() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    let later = store
        .write::<(), _>(change_of(&crm, "register"), move |tx| {
            Box::pin(async move {
                agents::insert(tx, &crm).await?;
                panic!("in the middle")
            })
        })
        .await;
    assert!(matches!(later, Err(StoreError::Panicked(why)) if why == "in the middle"));
    let at_once = store.write::<(), _>(draft("x"), |_| panic!("at once")).await;
    assert!(matches!(at_once, Err(StoreError::Panicked(_))));
    assert_eq!(agents::all(&store).await.unwrap(), []);
    store.append(draft("next")).await.unwrap();
    assert_eq!(verified(&store).await, ["next"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_are_told_in_order_and_before_the_author() {
    let dir = place();
    let store = open(&dir).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    store.observe(Box::new(move |changed| {
        if let Changed::Agent(agent) = changed {
            list.lock().unwrap().push(agent.name.clone());
        }
    }));
    let writes = (0..50u64).map(|n| {
        let (store, seen, new) = (store.clone(), Arc::clone(&seen), agent(&format!("a{n}"), n));
        tokio::spawn(async move {
            let (name, entry) = (new.name.clone(), change_of(&new, "register"));
            let written =
                store.write(entry, move |tx| Box::pin(async move { agents::insert(tx, &new).await })).await.unwrap();
            assert!(seen.lock().unwrap().contains(&name), "the author knew before the observer");
            (written.durable.position().seq, name)
        })
    });
    let mut by_position: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
    by_position.sort();
    let names: Vec<String> = by_position.into_iter().map(|(_, name)| name).collect();
    assert_eq!(*seen.lock().unwrap(), names);
}

#[tokio::test]
async fn a_later_change_sees_an_earlier_one_of_the_same_commit() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    let (first, second) = (crm.clone(), crm.clone());
    let register =
        store.write(change_of(&crm, "register"), move |tx| Box::pin(async move { agents::insert(tx, &first).await }));
    let suspend = store.write(change_of(&crm, "suspend"), move |tx| {
        Box::pin(async move {
            let found = agents::get(&mut *tx, &second.id).await?;
            let found = found.ok_or(StoreError::Missing { noun: "agent", id: second.name })?;
            let suspended = found.suspend().map_err(StoreError::refuse)?;
            agents::update(tx, &suspended).await?;
            Ok(suspended)
        })
    });
    let (registered, suspended) = tokio::join!(register, suspend);
    registered.unwrap();
    assert_eq!(suspended.unwrap().value.state, AgentState::Suspended);
    assert_eq!(agents::get(&store, &crm.id).await.unwrap().unwrap().epoch, 1);
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    a_change_and_its_entry_are_both_there,
    a_change_that_refuses_leaves_no_trace,
    a_refusal_takes_nothing_else_with_it,
    a_change_that_panics_is_undone_and_the_writer_lives,
    observers_are_told_in_order_and_before_the_author,
    a_later_change_sees_an_earlier_one_of_the_same_commit,
];
