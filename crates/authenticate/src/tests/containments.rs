//! What is contained is refused wherever it is looked at, what was lifted is a watermark, and none of it costs more for
//! more agents.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chancery_model::{
    Agent, AgentId, Changed, Clock, Containment, ContainmentId, Random, Scope, Session, SessionId, Span,
};
use chancery_store::{agents, containments, log, sessions};

use super::exchange::{Lenient, claims_of};
use super::{DOOR, World, config, form};
use crate::At;

impl World {
    async fn contain(&self, scope: Scope, subject: &str) -> Containment {
        let now = self.clock.now();
        let containment = Containment {
            id: ContainmentId::new(now, &*self.random as &dyn Random),
            scope,
            subject: subject.into(),
            reason: "a test".into(),
            by: "local:0".into(),
            at: now,
            lifted_at: None,
            lifted_by: None,
            lift_reason: None,
        };
        let new = containment.clone();
        self.write(move |tx| Box::pin(async move { containments::insert(tx, &new).await })).await;
        containment
    }

    /// Lets it go, and lets a second go by.
    async fn lift(&self, containment: Containment) {
        let lifted = containment.lift(self.clock.now(), "local:0", "a test");
        self.write(move |tx| Box::pin(async move { containments::lift(tx, &lifted).await })).await;
        self.clock.advance(Span::seconds(1));
    }

    fn sid(&self, token: &str) -> SessionId {
        claims_of(token)["sid"].as_str().unwrap().parse().unwrap()
    }

    async fn entries(&self) -> u64 {
        log::writers(&self.store).await.unwrap().iter().map(|(_, entries)| entries).sum()
    }
}

/// `crm` is bob's, and ann answers for it.
const SUBJECTS: [(Scope, &str); 5] = [
    (Scope::Everything, Containment::ALL),
    (Scope::Agent, "crm"),
    (Scope::Instance, "crm"),
    (Scope::Owner, "bob@acme.example"),
    (Scope::Owner, "ann@acme.example"),
];

#[tokio::test]
async fn whoever_is_contained_gets_no_token_and_what_they_hold_is_worth_nothing() {
    let world = World::new().await;
    for (scope, subject) in SUBJECTS {
        let token = world.token().await;
        let caller = world.call_now(&token).unwrap();
        assert!(world.auth.still(&caller, DOOR).is_ok());
        let containment = world.contain(scope, subject).await;
        let refused = world.call_now(&token).unwrap_err();
        assert_eq!((refused.row.code, refused.status()), ("C2050", 403), "{scope}");
        assert_eq!(refused.why, format!("containment {} stops it", containment.id), "its name, and nothing else");
        assert!(refused.challenges().is_empty(), "another token would not help");
        assert_eq!(world.auth.still(&caller, DOOR).unwrap_err().row.code, "C2050");
        for more in [None, Some(world.sid(&token))] {
            let mut form = form(&world.assertion());
            form.extend(more.map(|sid| ("sid".to_owned(), sid.to_string())));
            let refused = world.ask(&form, Some(&world.token_proof())).await.unwrap_err();
            assert_eq!(refused.row.code, "C2050", "{scope}: {}", refused.description);
        }
        assert!(world.auth.sessions().is_empty());
        let refused = world.enrol(&world.code("crm", Span::minutes(15)).await, &world.key).await.unwrap_err();
        assert_eq!(refused.row().code, "C2050");

        // A new session is as good as any; the one from before stays over.
        world.lift(containment.clone()).await;
        assert!(world.call_now(&world.token().await).is_ok(), "{scope}");
        let refused = world.call_now(&token).unwrap_err();
        assert_eq!(refused.row.code, "C1005", "{scope}: {}", refused.why);
        assert!(refused.why.contains(containment.id.as_str()), "{}", refused.why);
        let form = [form(&world.assertion()), vec![("sid".into(), world.sid(&token).to_string())]].concat();
        assert!(world.ask(&form, Some(&world.token_proof())).await.is_err(), "it is not gone on with");
    }
}

#[tokio::test]
async fn what_is_about_others_stops_nobody() {
    let world = World::new().await;
    let token = world.token().await;
    for (scope, subject) in [
        (Scope::Agent, "other"),
        (Scope::Instance, "crm/other"),
        (Scope::Owner, "crm"),
        (Scope::Blueprint, "crm"),
        (Scope::Session, "ses_00000000000000000000000000"),
        (Scope::Tool, "crm/refund"),
        (Scope::Server, "billing"),
    ] {
        world.contain(scope, subject).await;
    }
    let caller = world.call_now(&token).unwrap();
    assert!(world.auth.still(&caller, DOOR).is_ok());
    assert!(world.auth.still(&caller, At { tool: Some("list"), ..DOOR }).is_ok());
    assert_eq!(world.auth.still(&caller, At { tool: Some("refund"), ..DOOR }).unwrap_err().row.code, "C2050");
    assert_eq!(world.auth.still(&caller, At { server: "billing", ..DOOR }).unwrap_err().row.code, "C2050");
}

#[tokio::test]
async fn a_running_copy_is_contained_by_its_name_and_the_others_go_on() {
    let world = World::new().await;
    let copy = async |name: &str| {
        let form = [form(&world.assertion()), vec![("instance".into(), name.into())]].concat();
        world.ask(&form, Some(&world.token_proof())).await.map(|answer| answer.body.access_token.expose().to_owned())
    };
    let (one, two) = (copy("one").await.unwrap(), copy("two").await.unwrap());
    world.contain(Scope::Instance, "crm/one").await;
    assert!(world.call_now(&one).is_err() && world.call_now(&two).is_ok());
    assert_eq!(copy("one").await.unwrap_err().row.code, "C2050");
    assert!(copy("three").await.is_ok());
}

#[tokio::test]
async fn whoever_is_contained_stops_everybody_who_acts_for_them() {
    let world = World::with(config()).await;
    world.auth.set_delegations(Box::new(Lenient));
    let (a, b, c) = (world.party("a").await, world.party("b").await, world.party("c").await);
    let hand = async |from, token: &str, to: &super::exchange::Party| {
        let handed = world.exchanged(from, token, &[("may_act", &to.name)]).await.unwrap();
        world.exchanged(to, handed.access_token.expose(), &[]).await.unwrap().access_token.expose().to_owned()
    };
    for middle in [false, true] {
        let root = world.own_token(&a).await;
        let second = hand(&a, &root, &b).await;
        let third = hand(&b, &second, &c).await;
        let session = world.sid(&second).to_string();
        let (scope, subject) = if middle { (Scope::Session, session.as_str()) } else { (Scope::Agent, "b") };
        let containment = world.contain(scope, subject).await;
        assert!(world.used(&a, &root).is_ok(), "who stands above goes on");
        assert!(world.used(&b, &second).unwrap_err().contains("stops it"));
        assert!(world.used(&c, &third).unwrap_err().contains("stops it"), "{scope}");
        assert!(world.used(&c, &world.own_token(&c).await).is_ok(), "for itself it acts");
        // Nothing is made of it either.
        let onward = world.exchanged(&c, &third, &[("may_act", "a")]).await.unwrap_err();
        assert_eq!(onward.row.code, "C2050", "{}", onward.description);
        if !middle {
            assert!(world.exchanged(&a, &root, &[("may_act", "b")]).await.is_err(), "nobody hands anything to it");
        }
        world.lift(containment).await;
        assert!(world.used(&b, &second).is_err() && world.used(&c, &third).is_err(), "{scope}: they do not come back");
    }
}

/// Not at the next look, but with the change itself.
#[tokio::test]
async fn whoever_waits_is_told_when_they_or_where_they_go_is_contained() {
    use std::pin::pin;
    const NOW: Duration = Duration::ZERO;
    let world = World::new().await;
    let at = At { tool: Some("refund"), ..DOOR };
    for (scope, subject) in [(Scope::Agent, "crm"), (Scope::Tool, "crm/refund"), (Scope::Server, "crm")] {
        let caller = world.call_now(&world.token().await).unwrap();
        let mut stopped = pin!(world.auth.stopped(&caller, at));
        assert!(tokio::time::timeout(NOW, stopped.as_mut()).await.is_err());
        let containment = world.contain(scope, subject).await;
        let refused = tokio::time::timeout(NOW, stopped.as_mut()).await.unwrap_or_else(|_| panic!("{scope}"));
        assert_eq!(refused.row.code, "C2050");
        world.lift(containment).await;
    }
}

#[tokio::test]
async fn it_holds_over_a_restart_and_so_does_its_end() {
    let world = World::new().await;
    let before = world.token().await;
    let containment = world.contain(Scope::Agent, "crm").await;
    let world = world.restart(Span::seconds(1)).await;
    assert_eq!(world.call_now(&before).unwrap_err().row.code, "C2050");
    world.lift(containment).await;
    let world = world.restart(Span::seconds(60)).await;
    assert_eq!(world.call_now(&before).unwrap_err().row.code, "C1005", "it stays over");
    // What is said to have been made before the start is not taken.
    world.clock.advance(Span::seconds(6));
    assert!(world.call_now(&world.token().await).is_ok());
}

/// Once no session is left that is older, what was lifted is not looked at any more.
#[tokio::test]
async fn what_was_lifted_is_forgotten_when_nothing_older_is_left() {
    let world = World::new().await;
    let before = world.token().await;
    let containment = world.contain(Scope::Agent, "crm").await;
    world.lift(containment).await;
    let looked = || world.auth.directory.containments().now().is_some();
    for (later, still) in [(Span::minutes(10), true), (Span::minutes(25), false)] {
        world.clock.advance(later);
        world.auth.tidy().await;
        assert_eq!(looked(), still);
    }
    assert!(world.call_now(&before).is_err());
    assert!(world.call_now(&world.token().await).is_ok());
}

/// Ten thousand agents of one owner, and ten thousand sessions below one, are stopped by one row, one entry and one
/// message to those who look, as one of each is.
#[tokio::test]
async fn what_a_kill_does_is_the_same_for_ten_thousand_as_for_one() {
    const MANY: usize = 10_000;
    let world = World::new().await;
    let told = Arc::new(AtomicUsize::new(0));
    let telling = told.clone();
    world.store.observe(Box::new(move |_: &Changed| {
        telling.fetch_add(1, Ordering::SeqCst);
    }));
    let cost = async |scope: Scope, subject: &str| {
        let (entries, changes) = (world.entries().await, told.load(Ordering::SeqCst));
        let containment = world.contain(scope, subject).await;
        let cost = (world.entries().await - entries, told.load(Ordering::SeqCst) - changes);
        assert_eq!(world.auth.directory.containments().now().unwrap().len(), 1);
        (cost, containment)
    };
    let root = world.sid(&world.token().await);
    let (one, containment) = cost(Scope::Owner, "bob@acme.example").await;
    let of_bob = world.auth.count_reached(&containment);
    assert_eq!((one, of_bob.agents, of_bob.sessions), ((1, 1), 1, 0), "none of its sessions admits anything now");
    world.as_if_never(&containment).await;

    let (like, parent) = ((*world.auth.agent("crm").unwrap()).clone(), world.session(&root).await);
    let (clock, random) = (world.clock.clone(), world.random.clone());
    world
        .write(move |tx| {
            Box::pin(async move {
                for number in 0..MANY {
                    let (now, random) = (clock.now(), &*random as &dyn Random);
                    let (id, name) = (AgentId::new(now, random), format!("crm-{number}"));
                    agents::insert(tx, &Agent { id, name, ..like.clone() }).await?;
                    let (id, above) = (SessionId::new(now, random), Some(parent.id.clone()));
                    sessions::insert(tx, &Session { id, parent: above, ..parent.clone() }).await?;
                }
                Ok(())
            })
        })
        .await;
    assert_eq!(world.auth.sessions().len(), MANY + 1);
    for (scope, subject) in [(Scope::Owner, "bob@acme.example"), (Scope::Session, root.as_str())] {
        let (many, containment) = cost(scope, subject).await;
        assert_eq!(many, one, "{scope}");
        assert!(world.auth.sessions().is_empty(), "{scope}: not one of them admits anything");
        world.as_if_never(&containment).await;
        assert_eq!(world.auth.sessions().len(), MANY + 1, "{scope}: it was that");
    }
}

impl World {
    /// Takes a containment back as if it had never been.
    async fn as_if_never(&self, containment: &Containment) {
        let lifted = containment.clone().lift(self.clock.now(), "local:0", "a test");
        self.write(move |tx| Box::pin(async move { containments::lift(tx, &lifted).await })).await;
        self.auth.directory.containments().forget(&containment.id);
    }

    async fn session(&self, id: &SessionId) -> Session {
        sessions::get(&self.store, id).await.unwrap().unwrap()
    }
}
