//! Oversight as data: read off the log, each row provable, exercises told apart.

use chancery_model::Span;
use serde_json::{Value, json};

use super::world::{World, ran, refused};

async fn oversight(world: &World, query: &str) -> Value {
    world.app.admin("GET", &format!("/v1/oversight{query}"), Value::Null).await.ok()
}

fn kinds(found: &Value) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect()
}

fn times<'a>(found: &'a Value, kind: &str) -> Option<&'a Value> {
    found["times"].as_array().unwrap().iter().find(|row| row["kind"] == kind)
}

async fn drill(world: &World, agent: &str) -> chancery_testkit::Answer {
    world.app.admin("POST", "/v1/drills", json!({"agent": agent})).await
}

#[tokio::test]
async fn interventions_are_told_with_their_times_and_each_is_proved_by_its_entry() {
    let world = World::start().await;
    let client = world.client().await;
    for (amount, seconds, say) in [(340, 10, "approve"), (350, 30, "deny")] {
        assert_eq!(refused(&client.refund(amount).await).0, "C2002");
        let id = world.pending().await[0]["id"].as_str().unwrap().to_owned();
        world.app.clock().advance(Span::seconds(seconds));
        assert_eq!(world.say("fin", &id, say).await.status, 200);
    }
    let killed = crate::kill::kill(&world.app, "agent", "helper").await;
    crate::kill::unkill(&world.app, &killed).await;

    let found = oversight(&world, "").await;
    let expected = [
        "containment.lifted",
        "containment.acknowledged",
        // What was approved for the agent and not used is taken back with it.
        "approval.cancelled",
        "containment.contained",
        "approval.denied",
        "approval.requested",
        "approval.approved",
        "approval.requested",
    ];
    assert_eq!(kinds(&found), expected, "{found:#}");
    let row = |kind: &str| found["items"].as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap();
    let approved = row("approval.approved");
    assert_eq!(
        (&approved["by"], &approved["agent"], &approved["what"]),
        (&json!("fin"), &json!("helper"), &json!("s/refund"))
    );
    assert_eq!((&approved["took_us"], &row("approval.denied")["took_us"]), (&json!(10_000_000), &json!(30_000_000)));
    let acknowledged = row("containment.acknowledged");
    assert_eq!(acknowledged["took_us"], killed["took_us"], "as it was told whoever threw it");
    assert_eq!(acknowledged["detail"]["confirmations"], killed["confirmations"]);
    assert_eq!(times(&found, "approval.denied").unwrap()["p95_us"], 30_000_000);
    assert_eq!(times(&found, "containment.acknowledged").unwrap()["count"], 1);

    for row in found["items"].as_array().unwrap() {
        let entry = row["entry"].as_str().unwrap();
        let proof = world.app.admin("GET", &format!("/v1/log/proof/{entry}"), Value::Null).await;
        assert_eq!(proof.status, 200, "{entry}: {}", proof.text());
    }
    // Where it is asked for nothing, there is nothing.
    let before = oversight(&world, "?until=2020-01-01").await;
    assert!(kinds(&before).is_empty() && before["times"] == json!([]), "{before}");
    assert_eq!(world.app.admin("GET", "/v1/oversight?by=week", Value::Null).await.status, 400);
}

#[tokio::test]
async fn response_times_are_put_together_by_day() {
    let world = World::start().await;
    for seconds in [10, 20] {
        let client = world.client().await;
        refused(&client.refund(300 + seconds).await);
        let id = world.pending().await[0]["id"].as_str().unwrap().to_owned();
        world.app.clock().advance(Span::seconds(seconds));
        world.say("fin", &id, "deny").await;
        world.app.clock().advance(Span::hours(24));
    }
    let found = oversight(&world, "?by=day").await;
    let days: Vec<&Value> =
        found["times"].as_array().unwrap().iter().filter(|row| row["kind"] == "approval.denied").collect();
    assert_eq!(days.len(), 2, "{found:#}");
    assert_eq!([&days[0]["p50_us"], &days[1]["p50_us"]], [10_000_000, 20_000_000]);
    assert!(days[0]["period"].as_str() < days[1]["period"].as_str());
    let both = oversight(&world, "").await;
    let both = times(&both, "approval.denied").unwrap();
    assert_eq!((&both["count"], &both["p50_us"], &both["p95_us"]), (&json!(2), &json!(10_000_000), &json!(20_000_000)));
    let newest = oversight(&world, "?limit=1").await;
    assert_eq!((kinds(&newest).len(), &newest["more"]), (1, &json!(true)));
}

#[tokio::test]
async fn a_drill_throws_the_switch_measures_and_lets_go() {
    let world = World::start().await;
    let before = world.client().await;
    assert!(ran(&before.refund(1).await));
    let drilled = drill(&world, "helper").await.ok();
    assert_eq!((&drilled["acknowledged"], &drilled["agent"]), (&json!(true), &json!("helper")));
    assert!(drilled["confirmations"].as_array().unwrap().len() > 1, "{drilled}");
    assert!(!ran(&before.refund(1).await), "its sessions from before are over: it was the switch itself");
    world.app.clock().advance(Span::seconds(1));
    assert!(ran(&world.client().await.refund(1).await), "and it was let go by itself");
    let standing = world.app.admin("GET", "/v1/containments", Value::Null).await.ok();
    assert_eq!(standing["items"], json!([]));

    let found = oversight(&world, "").await;
    assert_eq!(
        kinds(&found),
        ["drill.ended", "containment.lifted", "containment.acknowledged", "containment.contained"],
        "{found:#}"
    );
    let all = found["items"].as_array().unwrap();
    assert!(all.iter().all(|row| row["drill"] == true && row["by"].as_str().unwrap().starts_with("drill:local:")));
    assert!(times(&found, "containment.acknowledged").is_none(), "an exercise is no emergency");
    assert_eq!(times(&found, "drill.ended").unwrap()["p50_us"], drilled["took_us"]);
    assert_eq!(all[0]["entry"], drilled["entry"]);
}

#[tokio::test]
async fn a_drill_lets_nothing_go_that_is_contained() {
    let world = World::start().await;
    crate::kill::kill(&world.app, "agent", "helper").await;
    assert_eq!(drill(&world, "helper").await.problem(422), "C2052");
    assert_eq!(drill(&world, "nobody").await.problem(422), "C2052");
    let standing = world.app.admin("GET", "/v1/containments", Value::Null).await.ok();
    assert_eq!(standing["items"].as_array().unwrap().len(), 1, "it stands");
}
