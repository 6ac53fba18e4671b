//! What people are asked and told, and what others say of them: what is written is what is read.

use std::sync::atomic::AtomicU64;

use chancery_model::{
    Approval, ApprovalId, ApprovalState, Demand, Digest, Group, GroupId, HeldId, HeldSignal, Person, PersonId,
    PersonState, Position, Role, SessionId, SignalAction, Span, Timestamp,
};

use super::{Counting, agent, draft, open, place};
use crate::deliveries::{Delivery, DeliveryState, Gone};
use crate::{BoxFuture, Store, StoreError, Tx, agents, approvals, deliveries, followers, groups, persons, signals};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

async fn write<T, F>(store: &Store, change: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
{
    store.write(draft("change"), change).await.map(|written| written.value)
}

fn later(seconds: i64) -> Timestamp {
    NOW + Span::seconds(seconds)
}

fn numbers(number: u64) -> Counting {
    Counting(AtomicU64::new(number << 32))
}

fn approval(number: u64) -> Approval {
    let crm = agent("crm", 1);
    Approval {
        id: ApprovalId::new(later(number as i64), &numbers(number)),
        call: Digest([7; 32]),
        agent: crm.id,
        agent_name: crm.name,
        session: SessionId::new(NOW, &numbers(1)),
        chain: vec!["crm".into()],
        human: None,
        owners: vec![crm.owner],
        server: "billing".into(),
        method: "tools/call".into(),
        target: "refund".into(),
        definition: None,
        arguments: Some(r#"{"amount":10}"#.into()),
        input: None,
        reason: Some("it was asked for; \u{fe0f}".into()),
        policy_version: "v1".into(),
        demands: vec![Demand::of("refunds".into())],
        created_at: later(number as i64),
        expires_at: later(number as i64 + 3_600),
        dry_run: None,
        enforcer: None,
        decoy: false,
        state: ApprovalState::Pending,
        votes: Vec::new(),
        decided_at: None,
        used_at: None,
        erased: None,
    }
}

#[tokio::test]
async fn an_approval_is_used_once_and_in_time() {
    let dir = place();
    let store = open(&dir).await;
    let crm = agent("crm", 1);
    write(&store, move |tx| Box::pin(async move { agents::insert(tx, &crm).await })).await.unwrap();
    let asked = approval(1);
    let new = asked.clone();
    write(&store, move |tx| Box::pin(async move { approvals::insert(tx, &new).await })).await.unwrap();
    assert_eq!(approvals::get(&store, &asked.id).await.unwrap().as_ref(), Some(&asked));
    assert_eq!(approvals::pending(&store, later(2)).await.unwrap(), std::slice::from_ref(&asked));
    assert_eq!(approvals::counts(&store, &asked.agent, later(2), NOW).await.unwrap(), (1, 1));
    assert_eq!(approvals::overdue(&store, later(3_601)).await.unwrap(), std::slice::from_ref(&asked));

    let consume = async |call: Digest, at: Timestamp| {
        let id = asked.id.clone();
        write(&store, move |tx| Box::pin(async move { approvals::consume(tx, &id, &call, at).await })).await.unwrap()
    };
    assert!(!consume(asked.call, later(2)).await, "nobody said yes");
    let approved = Approval { state: ApprovalState::Approved, decided_at: Some(later(2)), ..asked.clone() };
    let new = approved.clone();
    write(&store, move |tx| Box::pin(async move { approvals::update(tx, &new).await })).await.unwrap();
    assert_eq!(approvals::of_call(&store, &asked.call).await.unwrap(), Some(approved));
    assert!(!consume(Digest([8; 32]), later(3)).await, "it is for another call");
    assert!(!consume(asked.call, asked.expires_at).await, "it is over");
    assert!(consume(asked.call, later(3)).await);
    assert!(!consume(asked.call, later(3)).await, "once");
    let used = approvals::last_used(&store, &asked.agent, ("billing", "refund"), later(9)).await.unwrap().unwrap();
    assert_eq!((used.state, used.used_at), (ApprovalState::Used, Some(later(3))));
    assert_eq!(approvals::since(&store, NOW, 10).await.unwrap().len(), 1);
    assert_eq!(approvals::counts(&store, &asked.agent, later(2), later(2)).await.unwrap(), (0, 0));
}

fn delivery(seq: u64, thread: &str) -> Delivery {
    Delivery {
        channel: "pager".into(),
        id: format!("d-{seq}"),
        event: "containment.contained".into(),
        thread: thread.into(),
        payload: "{}".into(),
        committed_at: later(seq as i64),
        position: Position { writer: 0, seq },
        state: DeliveryState::Waiting,
        attempts: 0,
        answer: String::new(),
        posted: None,
        next_at: NOW,
        ended_at: None,
    }
}

#[tokio::test]
async fn messages_of_a_thread_go_out_in_their_order() {
    let dir = place();
    let store = open(&dir).await;
    let (first, second, other) = (delivery(1, "a"), delivery(2, "a"), delivery(3, "b"));
    deliveries::insert(&store, vec![second.clone(), first.clone(), other.clone()]).await.unwrap();
    deliveries::insert(&store, vec![first.clone()]).await.unwrap();
    assert_eq!(deliveries::list(&store, Some("pager"), None, 10).await.unwrap().len(), 3, "one that is there stays");
    assert_eq!(deliveries::due(&store, "pager", later(9)).await.unwrap().unwrap().id, first.id);
    let late = Delivery { attempts: 1, answer: "503".into(), next_at: later(60), ..first.clone() };
    deliveries::record(&store, late).await.unwrap();
    assert_eq!(deliveries::due(&store, "pager", later(9)).await.unwrap().unwrap().id, other.id, "not past the first");
    let (state, ended_at) = (DeliveryState::Delivered, Some(later(61)));
    let done = Delivery { attempts: 2, state, posted: Some("m1".into()), ended_at, ..first.clone() };
    deliveries::record(&store, done).await.unwrap();
    assert_eq!(deliveries::due(&store, "pager", later(99)).await.unwrap().unwrap().id, second.id);
    assert_eq!(deliveries::posted(&store, "pager", "a").await.unwrap().as_deref(), Some("m1"));
    let stands = deliveries::standing(&store, "pager").await.unwrap();
    assert_eq!((stands.waiting, stands.failed, stands.delivered_at), (2, 0, Some(later(61))));

    deliveries::record(&store, Delivery { state: DeliveryState::Failed, ended_at: Some(later(70)), ..other.clone() })
        .await
        .unwrap();
    let failed = deliveries::list(&store, None, Some(DeliveryState::Failed), 10).await.unwrap();
    assert_eq!(failed.len(), 1);
    let again = write(&store, |tx| Box::pin(async { deliveries::again(tx, "pager", Some("d-3"), later(80)).await }));
    assert_eq!(again.await.unwrap(), 1);
    assert!(deliveries::waits(&store, "pager").await.unwrap());
    deliveries::prune(&store, later(1_000)).await.unwrap();
    assert!(deliveries::list(&store, None, Some(DeliveryState::Delivered), 10).await.unwrap().is_empty());

    let gone = Gone { channel: "pager".into(), since: NOW, answer: "410".into() };
    let new = gone.clone();
    write(&store, move |tx| Box::pin(async move { deliveries::set_gone(tx, &new).await })).await.unwrap();
    assert_eq!(deliveries::gone(&store).await.unwrap(), [gone]);
    write(&store, |tx| Box::pin(async { deliveries::set_back(tx, "pager").await })).await.unwrap();
    assert!(deliveries::gone(&store).await.unwrap().is_empty());
}

#[tokio::test]
async fn followers_go_on_where_they_were() {
    let dir = place();
    let store = open(&dir).await;
    assert!(followers::places(&store, "notify").await.unwrap().is_empty());
    followers::save(&store, "notify", vec![(0, 7), (3, 1)]).await.unwrap();
    followers::save(&store, "notify", vec![(0, 9)]).await.unwrap();
    followers::save(&store, "trigger", vec![(0, 2)]).await.unwrap();
    assert_eq!(followers::places(&store, "notify").await.unwrap(), [(0, 9), (3, 1)]);
    assert_eq!(followers::places(&store, "trigger").await.unwrap(), [(0, 2)]);
}

fn person(name: &str, number: u64) -> Person {
    Person {
        id: PersonId::new(NOW, &numbers(number)),
        name: name.to_owned(),
        display: None,
        state: PersonState::Active,
        roles: vec![Role::Admin],
        epoch: 1,
        created_at: NOW,
    }
}

#[tokio::test]
async fn people_and_their_groups() {
    let dir = place();
    let store = open(&dir).await;
    let (mara, lee) = (person("mara@example.com", 1), person("lee@example.com", 2));
    for one in [&mara, &lee] {
        let new = one.clone();
        write(&store, move |tx| Box::pin(async move { persons::insert(tx, &new).await })).await.unwrap();
    }
    let twice = Person { id: PersonId::new(NOW, &numbers(3)), ..mara.clone() };
    let twice = write(&store, move |tx| Box::pin(async move { persons::insert(tx, &twice).await })).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    let changed = Person { display: Some("Mara".into()), roles: Vec::new(), epoch: 2, ..mara.clone() };
    let new = changed.clone();
    write(&store, move |tx| Box::pin(async move { persons::update(tx, &new).await })).await.unwrap();
    assert_eq!(persons::get(&store, &mara.id).await.unwrap(), Some(changed.clone()));
    assert_eq!(persons::by_name(&store, "lee@example.com").await.unwrap(), Some(lee.clone()));
    assert_eq!(persons::all(&store).await.unwrap(), [lee.clone(), changed]);

    let mut members = vec![mara.id.clone(), lee.id.clone()];
    members.sort();
    let group = Group { id: GroupId::new(NOW, &numbers(4)), name: "oncall".into(), members, created_at: NOW };
    let new = group.clone();
    write(&store, move |tx| Box::pin(async move { groups::insert(tx, &new).await })).await.unwrap();
    assert_eq!(groups::all(&store).await.unwrap(), std::slice::from_ref(&group));
    let smaller = Group { members: vec![lee.id], ..group };
    let new = smaller.clone();
    write(&store, move |tx| Box::pin(async move { groups::update(tx, &new).await })).await.unwrap();
    let found = write(&store, |tx| Box::pin(async { groups::by_name(tx, "oncall").await })).await.unwrap();
    assert_eq!(found, Some(smaller));
}

#[tokio::test]
async fn what_others_say_of_people_is_taken_once_and_held() {
    let dir = place();
    let store = open(&dir).await;
    let receive = async |jti: &'static str, at: Timestamp, person: Option<&'static str>| {
        let change = write(&store, move |tx| {
            Box::pin(async move { signals::receive(tx, "head", (jti, [9; 32]), at, person).await })
        });
        change.await
    };
    receive("one", NOW, Some("mara@example.com")).await.unwrap();
    assert!(receive("one", NOW, None).await.is_err(), "each once");
    receive("two", later(5), Some("lee@example.com")).await.unwrap();
    receive("three", later(6), None).await.unwrap();
    assert_eq!(signals::received(&store, "head", "one").await.unwrap(), Some([9; 32]));
    assert_eq!(signals::received(&store, "branch", "one").await.unwrap(), None);
    assert_eq!(signals::people_since(&store, "head", later(-1), "mara@example.com").await.unwrap(), 1);
    write(&store, |tx| Box::pin(async { signals::forget_received(tx, "head", later(5)).await })).await.unwrap();
    assert_eq!(signals::received(&store, "head", "one").await.unwrap(), None);

    let held = HeldSignal {
        id: HeldId::new(NOW, &numbers(1)),
        transmitter: "head".into(),
        event: "session-revoked".into(),
        person: "mara@example.com".into(),
        action: SignalAction::End,
        reason: None,
        received_at: NOW,
        decided_at: None,
        decided_by: None,
        applied: None,
    };
    let new = held.clone();
    write(&store, move |tx| Box::pin(async move { signals::hold(tx, &new).await })).await.unwrap();
    assert_eq!(signals::held_ones(&store).await.unwrap(), std::slice::from_ref(&held));
    let decide = async || {
        let id = held.id.clone();
        let change = write(&store, move |tx| {
            Box::pin(async move { signals::decide(tx, &id, "lee@example.com", later(9), true).await })
        });
        change.await.unwrap()
    };
    assert!(decide().await);
    assert!(!decide().await, "once");
    let decided = signals::held(&store, &held.id).await.unwrap().unwrap();
    assert_eq!((decided.decided_at, decided.applied), (Some(later(9)), Some(true)));
    assert!(signals::held_ones(&store).await.unwrap().is_empty());
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    an_approval_is_used_once_and_in_time,
    messages_of_a_thread_go_out_in_their_order,
    followers_go_on_where_they_were,
    people_and_their_groups,
    what_others_say_of_people_is_taken_once_and_held,
];
