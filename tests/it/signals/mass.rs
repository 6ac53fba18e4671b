//! A transmitter that ends things for many people in a short time is held up, and a human decides.

use chancery_model::Span;
use serde_json::{Value, json};

use super::receiver::{CAEP, Idp, email};

async fn crowd(idp: &Idp, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("person-{n}@example.com")).collect();
    for name in &names {
        idp.app.admin("POST", "/v1/people", json!({"name": name})).await.ok();
    }
    names
}

async fn ended(idp: &Idp) -> usize {
    let people = idp.app.admin("GET", "/v1/people", Value::Null).await.ok();
    people["items"].as_array().unwrap().iter().filter(|person| person["epoch"] != 1).count()
}

#[tokio::test]
async fn too_many_at_once_wait_for_a_human() {
    let idp = Idp::with(|transmitter| (transmitter.most_people, transmitter.within_minutes) = (3, 10)).await;
    let people = crowd(&idp, 8).await;
    let kind = format!("{CAEP}session-revoked");
    for name in &people[..6] {
        idp.tell(&kind, email(name), json!({"reason_admin": {"en": "a breach"}})).await;
    }
    assert_eq!(ended(&idp).await, 3);
    assert_eq!(idp.findings().await, ["signals-mass"]);
    // Somebody for whom something was ended already is not one more.
    idp.tell(&kind, email(&people[0]), json!({})).await;
    let held = idp.app.admin("GET", "/v1/signals/held", Value::Null).await.ok();
    let held = held["items"].as_array().unwrap().clone();
    assert_eq!(held.len(), 3);
    let mut who: Vec<&str> = held.iter().map(|held| held["person"].as_str().unwrap()).collect();
    who.sort_unstable();
    assert_eq!(who, people[3..6]);
    assert_eq!((held[0]["event"].clone(), held[0]["reason"].clone()), (json!("session-revoked"), json!("a breach")));

    let path = |at: usize, verb: &str| format!("/v1/signals/held/{}/{verb}", held[at]["id"].as_str().unwrap());
    let because = json!({"reason": "looked at it"});
    idp.app.admin("POST", &path(0, "apply"), because.clone()).await.ok();
    assert_eq!(ended(&idp).await, 4);
    idp.app.admin("POST", &path(1, "dismiss"), because.clone()).await.ok();
    assert_eq!(ended(&idp).await, 4);
    let again = idp.app.admin("POST", &path(0, "apply"), because.clone()).await;
    assert_eq!(again.problem(404), "C1098", "once");
    assert_eq!(idp.findings().await, ["signals-mass"]);
    idp.app.admin("POST", &path(2, "apply"), because).await.ok();
    assert_eq!((ended(&idp).await, idp.findings().await), (5, Vec::<String>::new()));

    idp.app.clock().advance(Span::minutes(11));
    idp.tell(&kind, email(&people[6]), json!({})).await;
    assert_eq!(ended(&idp).await, 6, "later it may go on");
}

#[tokio::test]
async fn many_at_the_same_time_are_not_more_than_the_limit() {
    let idp = Idp::with(|transmitter| transmitter.most_people = 5).await;
    let people = crowd(&idp, 20).await;
    let kind = format!("{CAEP}session-revoked");
    let tokens: Vec<String> = people.iter().map(|name| idp.sign(&idp.claims(&kind, email(name), json!({})))).collect();
    let mut answers = futures_util::future::join_all(tokens.iter().map(|token| idp.push(token))).await;
    // Those that came into each other's way are sent again, as a transmitter does.
    while answers.iter().any(|answer| answer.status == 503) {
        answers = futures_util::future::join_all(tokens.iter().map(|token| idp.push(token))).await;
    }
    assert!(answers.iter().all(|answer| answer.status == 202));
    assert_eq!(ended(&idp).await, 5);
    let held = idp.app.admin("GET", "/v1/signals/held", Value::Null).await.ok();
    assert_eq!(held["items"].as_array().unwrap().len(), 15);
}
