//! Sessions: their times, their owner, their end.

use chancery_model::{Agent, Span};

use super::{World, config, form};
use crate::{Config, SessionLimits};

async fn continued(world: &World, sid: &str) -> Result<String, String> {
    let mut form = form(&world.assertion());
    form.push(("sid".into(), sid.into()));
    match world.ask(&form, Some(&world.token_proof())).await {
        Ok(answer) => {
            assert_eq!(answer.body.sid, sid);
            Ok(answer.body.access_token.expose().to_owned())
        }
        Err(e) => Err(format!("{}: {}", e.error, e.description)),
    }
}

#[tokio::test]
async fn a_session_is_idle_after_a_quarter_of_an_hour() {
    let world = World::new().await;
    let answer = world.ask(&form(&world.assertion()), Some(&world.token_proof())).await.unwrap();
    world.clock.advance(Span::seconds(15 * 60 - 1));
    assert!(continued(&world, &answer.body.sid).await.is_ok(), "a second before");
    world.clock.advance(Span::minutes(15));
    let refused = continued(&world, &answer.body.sid).await.unwrap_err();
    assert!(refused.starts_with("invalid_grant: the session was idle"), "{refused}");
}

#[tokio::test]
async fn a_call_in_an_idle_session_is_refused_although_its_token_lives() {
    let sessions = SessionLimits { idle: Span::seconds(60), ..SessionLimits::default() };
    let world = World::with(Config { sessions, ..config() }).await;
    let token = world.token().await;
    world.clock.advance(Span::seconds(59));
    assert!(world.call_now(&token).is_ok());
    world.clock.advance(Span::seconds(59));
    assert!(world.call_now(&token).is_ok(), "every call counts as use");
    world.clock.advance(Span::seconds(60));
    assert_eq!(world.call_now(&token).unwrap_err().row.code, "C1005");
}

#[tokio::test]
async fn a_session_ends_after_eight_hours_however_busy() {
    let world = World::new().await;
    let answer = world.ask(&form(&world.assertion()), Some(&world.token_proof())).await.unwrap();
    let mut token = String::new();
    for _ in 0..(8 * 60 / 5 - 1) {
        world.clock.advance(Span::minutes(5));
        token = continued(&world, &answer.body.sid).await.unwrap();
    }
    world.clock.advance(Span::seconds(299));
    assert!(world.call_now(&token).is_ok(), "a second before");
    world.clock.advance(Span::seconds(1));
    assert!(world.call_now(&token).is_err());
    assert!(continued(&world, &answer.body.sid).await.unwrap_err().contains("maximum time"));
}

#[tokio::test]
async fn a_session_never_outlives_its_agent() {
    let world = World::new().await;
    let end = chancery_model::Clock::now(&*world.clock) + Span::minutes(3);
    world.change("crm", |agent| Agent { expires_at: end, ..agent }).await;
    world.token().await;
    assert_eq!(world.auth.sessions()[0].ends_at, end);
}

#[tokio::test]
async fn an_ended_session_refuses_the_next_call() {
    let world = World::new().await;
    let (token, other) = (world.token().await, world.token().await);
    let session = world.call_now(&token).unwrap().session.id.clone();
    assert_eq!(world.auth.sessions().len(), 2);
    world.auth.end_session(&session, "local:1000").await.unwrap();
    assert_eq!(world.call_now(&token).unwrap_err().row.code, "C1005");
    assert!(continued(&world, session.as_str()).await.is_err());
    assert!(world.call_now(&other).is_ok());
    world.auth.tidy().await;
    assert_eq!(world.auth.sessions().len(), 1);
    assert!(world.call_now(&token).is_err(), "also when it is forgotten");
}

#[tokio::test]
async fn another_agents_session_cannot_be_continued() {
    let world = World::new().await;
    let token = world.token().await;
    let session = world.call_now(&token).unwrap().session.id.to_string();
    world.register("billing").await;
    let code = world.code("billing", Span::minutes(15)).await;
    let key = crate::client::AgentKey::generate().unwrap();
    world.enrol(&code, &key).await.unwrap();
    let now = chancery_model::Clock::now(&*world.clock);
    let assertion = key.assertion("billing", super::ISSUER, now, &*world.random).unwrap();
    let mut form = form(&assertion);
    form.push(("sid".into(), session));
    let refused = world.ask(&form, Some(&world.token_proof())).await.unwrap_err();
    assert_eq!(refused.error, "invalid_grant");
}

#[tokio::test]
async fn use_becomes_durable_at_most_once_per_quarter_of_the_idle_time() {
    let world = World::new().await;
    let token = world.token().await;
    let session = world.call_now(&token).unwrap().session.id.clone();
    world.clock.advance(Span::seconds(100));
    world.call_now(&token).unwrap();
    assert_eq!(world.auth.touch_due().await.unwrap(), 0, "100 s are less than a quarter");
    world.clock.advance(Span::seconds(150));
    world.call_now(&token).unwrap();
    assert_eq!(world.auth.touch_due().await.unwrap(), 1);
    assert_eq!(world.auth.touch_due().await.unwrap(), 0);
    let stored = chancery_store::sessions::get(&world.store, &session).await.unwrap().unwrap();
    assert_eq!(stored.used_at, chancery_model::Clock::now(&*world.clock));
    let world = world.restart(Span::seconds(1)).await;
    assert!(world.call_now(&token).is_ok(), "the session goes on after a restart");
}

#[tokio::test]
async fn an_agent_has_so_many_sessions_and_no_more() {
    let sessions = SessionLimits { per_agent: 3, ..SessionLimits::default() };
    let world = World::with(Config { sessions, ..config() }).await;
    for _ in 0..3 {
        world.token().await;
    }
    let refused = world.ask(&form(&world.assertion()), Some(&world.token_proof())).await.unwrap_err();
    assert_eq!(refused.error, "temporarily_unavailable");
    world.clock.advance(Span::minutes(16));
    world.token().await;
}
