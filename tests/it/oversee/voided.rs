//! What the kill switch and an erasure do to requests for approval.

use std::sync::Arc;
use std::time::Duration;

use chancery_it::WallClock;
use chancery_model::{Clock, Span};
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::world::{Client, POLICY, World, ask, list, ran};

#[tokio::test]
async fn a_kill_closes_what_waits_and_what_was_approved() {
    let world = World::start().await;
    let client = world.client().await;
    let (waits, approved) = (ask(&world, &client, 340).await, ask(&world, &client, 341).await);
    assert_eq!(world.say("fin", &approved, "approve").await.status, 200);
    let other = world.app.agent("other").await;
    world.app.grant("other", "s").await;
    world.app.admin("POST", "/v1/agents/other/bearer", json!({"allow": true})).await.ok();
    let elsewhere = Client::of(&other).await;
    let stays = ask(&world, &elsewhere, 342).await;

    let asked = json!({"scope": "agent", "subject": "helper", "reason": "odd refunds"});
    let preview = world.app.admin("POST", "/v1/containments/preview", asked.clone()).await.ok();
    assert_eq!(preview["approvals"], 2, "{preview}");
    let thrown = world.app.admin("POST", "/v1/containments", asked).await.ok();
    let confirmed =
        thrown["confirmations"].as_array().unwrap().iter().find(|c| c["point"] == "approvals").unwrap().clone();
    assert_eq!(confirmed["stopped"], 2, "{thrown}");
    for id in [&waits, &approved] {
        let state = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
        assert_eq!(state["state"], "cancelled", "{state}");
    }
    let left: Vec<Value> = world.pending().await;
    assert!(left.len() == 1 && left[0]["id"] == stays.as_str(), "that of another agent stays: {left:#?}");
    let log = list(&world.app, "/v1/log?limit=50").await;
    let id = thrown["id"].as_str().unwrap();
    assert!(
        log.iter()
            .any(|entry| entry["reason"].as_str().is_some_and(|why| why.contains(id) && why.contains("odd refunds")))
    );
    let told = client.refund(341).await;
    assert_eq!(told["error"]["data"]["chancery/decision"]["code"], "C2050", "the agent is told why: {told}");
    let lift = format!("/v1/containments/{id}/lift");
    world.app.admin("POST", &lift, json!({"reason": "mended"})).await.ok();
    assert!(!ran(&client.refund(341).await));
    assert!(!ran(&world.client().await.refund(341).await), "what was voided stays so");
    assert!(world.upstream.calls().is_empty());
}

#[tokio::test]
async fn erasing_a_body_erases_what_people_were_shown() {
    let world = World::start().await;
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    let path = format!("/v1/approvals/{id}");
    let before = world.app.admin("GET", &path, Value::Null).await.ok();
    let log = list(&world.app, "/v1/log?limit=50").await;
    let entry = log.iter().find(|entry| entry["change"] == "request approval").expect("its entry");
    let erase = format!("/v1/log/{}/erase", entry["id"].as_str().unwrap());
    world.app.admin("POST", &erase, json!({"body": "arguments", "reason": "asked for"})).await.ok();
    let after = world.app.admin("GET", &path, Value::Null).await.ok();
    assert!(before["arguments"].is_string() && after["arguments"].is_null(), "{after}");
    assert_eq!((&after["digest"], &after["state"]), (&before["digest"], &json!("cancelled")), "{after}");
    assert_eq!(world.say("fin", &id, "approve").await.status, 409, "nobody can say yes to what nobody can see");
    let directory = world.app.stop().await;
    let files = std::fs::read_dir(directory.path().join("data")).expect("the data").flatten();
    let mut looked = 0;
    for file in files.filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("a file");
        let text = br#"{\"amount\":340,\"order\":\"o-1\"}"#;
        assert!(!bytes.windows(text.len()).any(|w| w == text), "{}", file.path().display());
        looked += 1;
    }
    assert!(looked > 0);
}

/// What a trigger contains is closed at once, too, and not when somebody looks the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_contains_asks_nobody_any_more() {
    let rule = json!({"name": "loop", "when": {"refusals": 3, "within": "1m"}, "do": "contain"});
    let builder = TestApp::builder().policy("approvals.cedar", POLICY).clock(Arc::new(WallClock));
    let world = World::of(builder.config(|config| config.triggers = vec![serde_json::from_value(rule).unwrap()])).await;
    for name in ["first", "second", "third"] {
        let agent = world.app.agent(name).await;
        world.app.grant(name, "s").await;
        world.app.admin("POST", &format!("/v1/agents/{name}/bearer"), json!({"allow": true})).await.ok();
        let client = Client::of(&agent).await;
        let id = ask(&world, &client, 340).await;
        for _ in 0..3 {
            assert!(!ran(&client.refund(6_000).await));
        }
        let mut contained = None;
        loop {
            let found = list(&world.app, "/v1/containments").await;
            if contained.is_none() && found.iter().any(|item| item["subject"] == name) {
                contained = Some(WallClock.now());
            }
            let state = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
            if state["state"] == "cancelled" {
                break;
            }
            let since = contained.map_or(Span(0), |at| WallClock.now() - at);
            assert!(since < Span::seconds(1), "{name} was contained, and people are still asked: {state:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
