//! What is contained, and who is elevated: what is written is what is read, on either engine.

use chancery_model::{
    BreakGlass, BreakGlassId, Containment, ContainmentId, Person, PersonId, PersonState, Scope, Span, StandIn,
    StandInId, Timestamp,
};

use super::{Counting, agent, draft, open, place};
use crate::{StoreError, agents, break_glass, containments, persons, stand_ins};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn containment(scope: Scope, subject: &str, number: u64) -> Containment {
    Containment {
        id: ContainmentId::new(NOW, &Counting(number.into())),
        scope,
        subject: subject.into(),
        reason: "odd".into(),
        by: "local:0".into(),
        at: NOW,
        lifted_at: None,
        lifted_by: None,
        lift_reason: None,
    }
}

#[tokio::test]
async fn of_a_subject_one_containment_is_in_force() {
    let dir = place();
    let store = open(&dir).await;
    let first = containment(Scope::Agent, "crm", 1);
    let insert = async |new: &Containment| {
        let new = new.clone();
        store.write(draft("contain"), move |tx| Box::pin(async move { containments::insert(tx, &new).await })).await
    };
    insert(&first).await.unwrap();
    let twice = insert(&containment(Scope::Agent, "crm", 2 << 32)).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    insert(&containment(Scope::Blueprint, "crm", 3 << 32)).await.unwrap();
    assert_eq!(containments::in_force(&store, Scope::Agent, "crm").await.unwrap().as_ref(), Some(&first));
    assert_eq!(containments::standing(&store).await.unwrap().len(), 2);

    let lifted = first.clone().lift(NOW + Span::seconds(5), "local:1", "mended");
    let new = lifted.clone();
    let lift = store.write(draft("lift"), move |tx| Box::pin(async move { containments::lift(tx, &new).await }));
    lift.await.unwrap();
    assert_eq!(containments::get(&store, &first.id).await.unwrap(), Some(lifted));
    assert_eq!(containments::in_force(&store, Scope::Agent, "crm").await.unwrap(), None);
    insert(&containment(Scope::Agent, "crm", 4 << 32)).await.unwrap();
    assert_eq!(
        (containments::standing(&store).await.unwrap().len(), containments::all(&store).await.unwrap().len()),
        (2, 3)
    );
    assert_eq!(containments::latest_opening(&store).await.unwrap(), None);

    let crm = agent("crm", 1);
    store.write(draft("register"), move |tx| Box::pin(async move { agents::insert(tx, &crm).await })).await.unwrap();
    for (name, there) in [("ada@example.com", true), ("grace@example.com", true), ("crm", false)] {
        assert_eq!(containments::answers_for_somebody(&store, name).await.unwrap(), there, "{name}");
    }
}

fn person(name: &str, number: u64) -> Person {
    Person {
        id: PersonId::new(NOW, &Counting((number << 32).into())),
        name: name.into(),
        display: None,
        state: PersonState::Active,
        epoch: 0,
        roles: Vec::new(),
        created_at: NOW,
    }
}

#[tokio::test]
async fn a_stand_in_is_in_force_for_its_time() {
    let dir = place();
    let store = open(&dir).await;
    let (fin, bob) = (person("fin", 1), person("bob", 2));
    for new in [fin.clone(), bob.clone()] {
        let add = store.write(draft("add"), move |tx| Box::pin(async move { persons::insert(tx, &new).await }));
        add.await.unwrap();
    }
    let made = StandIn {
        id: StandInId::new(NOW, &Counting(7.into())),
        person: fin.id.clone(),
        name: fin.name.clone(),
        deputy: bob.id.clone(),
        deputy_name: bob.name.clone(),
        reason: "on holiday".into(),
        by: "local:0".into(),
        at: NOW,
        from: NOW + Span::hours(1),
        until: NOW + Span::hours(2),
        ended_at: None,
    };
    let new = made.clone();
    let add = store.write(draft("name"), move |tx| Box::pin(async move { stand_ins::insert(tx, &new).await }));
    add.await.unwrap();
    assert_eq!(stand_ins::get(&store, &made.id).await.unwrap().as_ref(), Some(&made));
    let holds =
        async |at: Timestamp, deputy: &Person| stand_ins::of_deputy(&store, &deputy.id, at).await.unwrap().len();
    let within = made.from + Span::minutes(1);
    assert_eq!([holds(NOW, &bob).await, holds(made.from, &bob).await, holds(made.until, &bob).await], [0, 1, 0]);
    assert_eq!(holds(within, &fin).await, 0, "it is bob who stands in");
    assert_eq!(
        (
            stand_ins::standing(&store, NOW).await.unwrap().len(),
            stand_ins::standing(&store, made.until).await.unwrap().len()
        ),
        (1, 0)
    );
    let end = async || {
        let id = made.id.clone();
        store
            .write(draft("end"), move |tx| Box::pin(async move { stand_ins::end(tx, &id, within).await }))
            .await
            .unwrap()
            .value
    };
    assert!(end().await && !end().await, "once");
    assert_eq!((holds(within, &bob).await, stand_ins::all(&store).await.unwrap().len()), (0, 1));
}

#[tokio::test]
async fn of_a_person_one_break_glass_is_unreviewed() {
    let dir = place();
    let store = open(&dir).await;
    let glass = |number: u64| BreakGlass {
        id: BreakGlassId::new(NOW, &Counting(number.into())),
        person: "mara".into(),
        reason: "night".into(),
        by: "local:0".into(),
        at: NOW,
        until: NOW + BreakGlass::USUAL,
        ended_at: None,
        reviewed_by: None,
        reviewed_at: None,
        review: None,
    };
    let insert = async |new: BreakGlass| {
        store.write(draft("open"), move |tx| Box::pin(async move { break_glass::insert(tx, &new).await })).await
    };
    let first = glass(1);
    insert(first.clone()).await.unwrap();
    assert!(matches!(insert(glass(2 << 32)).await, Err(StoreError::Conflict(_))));
    assert_eq!(break_glass::unreviewed(&store, "mara").await.unwrap().as_ref(), Some(&first));
    let reviewed = BreakGlass {
        ended_at: Some(NOW),
        reviewed_by: Some("lee".into()),
        reviewed_at: Some(NOW),
        review: Some("fine".into()),
        ..first
    };
    let new = reviewed.clone();
    let update = store.write(draft("review"), move |tx| Box::pin(async move { break_glass::update(tx, &new).await }));
    update.await.unwrap();
    assert_eq!(break_glass::get(&store, &reviewed.id).await.unwrap(), Some(reviewed));
    assert_eq!(break_glass::unreviewed(&store, "mara").await.unwrap(), None);
    insert(glass(3 << 32)).await.unwrap();
    assert_eq!(break_glass::all(&store).await.unwrap().len(), 2);
}

pub(super) const ON_BOTH: &[chancery_lend::Case] = chancery_lend::cases![
    of_a_subject_one_containment_is_in_force,
    of_a_person_one_break_glass_is_unreviewed,
    a_stand_in_is_in_force_for_its_time,
];
