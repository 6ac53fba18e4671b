//! How people decide is measured, and whoever does not look is found.

use chancery_model::Span;
use chancery_testkit::{TestApp, hidden};
use serde_json::{Value, json};

use super::world::{POLICY, World, ask, list, ran, refused};

/// Sees a request, takes a while, decides.
async fn decide(world: &World, person: &str, amount: i64, takes: i64, say: &str) {
    let client = world.client().await;
    let id = ask(world, &client, amount).await;
    let mut browser = world.browser(person).await;
    let path = format!("/approvals/{id}");
    let page = browser.get(&path).await.text();
    world.app.clock().advance(Span::seconds(takes));
    let (form, seen) = (hidden(&page, "form"), hidden(&page, "seen"));
    let said = browser.post(&path, &[("form", &form), ("seen", &seen), ("say", say), ("comment", "")]).await;
    assert_eq!(said.status, 200, "{}", said.text());
}

async fn of(world: &World, person: &str) -> Value {
    let all = list(&world.app, "/v1/approvals/metrics").await;
    all.into_iter().find(|metrics| metrics["person"] == person).unwrap_or_default()
}

async fn hasty(world: &World) -> Vec<Value> {
    let mut found = list(&world.app, "/v1/findings").await;
    found.retain(|finding| finding["rule"] == "approves-at-a-glance");
    found
}

#[tokio::test]
async fn who_decides_at_a_glance_is_found_and_let_go_again() {
    let builder = TestApp::builder().policy("approvals.cedar", POLICY).config(|c| c.approvals.hourly = 1_000);
    let world = World::of(builder).await;
    for amount in 0..19 {
        decide(&world, "fin", 300 + amount, 1, "approve").await;
    }
    assert!(hasty(&world).await.is_empty(), "too few to say anything");
    decide(&world, "ann", 400, 30, "deny").await;
    decide(&world, "fin", 319, 1, "approve").await;
    let found = hasty(&world).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0]["subject"] == "fin" && found[0]["evidence"].as_str().unwrap().contains("20 of the last 20"),
        "{found:#?}"
    );
    let fin = of(&world, "fin").await;
    assert_eq!(
        [&fin["decisions"], &fin["approved"], &fin["median_seconds"], &fin["under_3_s"]],
        [&json!(20), &json!(20), &json!(1.0), &json!(1.0)],
        "{fin}"
    );
    let ann = of(&world, "ann").await;
    assert_eq!([&ann["approved"], &ann["median_seconds"], &ann["under_3_s"]], [&json!(0), &json!(30.0), &json!(0.0)]);
    for amount in 0..21 {
        decide(&world, "fin", 500 + amount, 5, "approve").await;
    }
    assert!(hasty(&world).await.is_empty(), "they look again");
}

#[tokio::test]
async fn a_yes_that_others_turn_down_or_take_back_counts_against_it() {
    let policy = POLICY.replace("@approve_within", "@quorum(\"2\") @approve_within");
    let world = World::of(TestApp::builder().policy("approvals.cedar", &policy)).await;
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    assert_eq!(world.say("ann", &id, "deny").await.status, 200);
    let id = ask(&world, &client, 341).await;
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    world.app.admin("POST", &format!("/v1/approvals/{id}/cancel"), json!({"reason": "no"})).await.ok();
    let (fin, ann) = (of(&world, "fin").await, of(&world, "ann").await);
    assert_eq!((&fin["overridden"], &ann["overridden"]), (&json!(1.0), &json!(1.0)), "{fin} {ann}");
}

#[tokio::test]
async fn who_says_yes_to_a_decoy_is_found_and_nothing_runs() {
    let world =
        World::of(TestApp::builder().policy("approvals.cedar", POLICY).config(|c| c.approvals.decoys = 1)).await;
    let client = world.client().await;
    let real = ask(&world, &client, 340).await;
    let decoy = of_amount(&world, 34_000).await.expect("a decoy");
    assert!(decoy["decoy"].is_null(), "nobody is told before they decided: {decoy}");
    let id = decoy["id"].as_str().unwrap();
    let said = world.say("fin", id, "approve").await;
    assert!(said.status == 200 && said.text().contains("This one was a test"), "{}", said.text());
    let after = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert_eq!((&after["state"], &after["decoy"]), (&json!("cancelled"), &json!(true)), "{after}");
    assert_eq!(refused(&client.refund(34_000).await).0, "C2001", "it is beyond what policies allow");
    let taken_in = async || {
        let mut found = list(&world.app, "/v1/findings").await;
        found.retain(|finding| finding["rule"] == "approved-a-decoy");
        found
    };
    let found = taken_in().await;
    assert!(found.len() == 1 && found[0]["subject"] == "fin", "{found:#?}");
    let marked = |entry: &&Value| {
        entry["changed"] == id && entry["after"].as_str().is_some_and(|after| after.contains("\"decoy\":true"))
    };
    assert_eq!(world.app.log().await.iter().filter(marked).count(), 2, "asked for and decided");

    // The real one is as it was.
    assert_eq!(world.say("fin", &real, "approve").await.status, 200);
    assert!(ran(&client.refund(340).await));
    ask(&world, &client, 341).await;
    let next = of_amount(&world, 34_100).await.expect("another");
    assert_eq!(world.say("fin", next["id"].as_str().unwrap(), "deny").await.status, 200);
    assert!(taken_in().await.is_empty(), "they looked");
    assert_eq!(world.upstream.calls().len(), 1);
}

#[tokio::test]
async fn without_the_setting_there_are_no_decoys() {
    let world = World::start().await;
    let client = world.client().await;
    ask(&world, &client, 340).await;
    ask(&world, &client, 341).await;
    assert_eq!(world.pending().await.len(), 2);
}

/// What waits for people and has this amount.
async fn of_amount(world: &World, amount: i64) -> Option<Value> {
    let part = format!("\"amount\":{amount},");
    world.pending().await.into_iter().find(|asked| asked["arguments"].as_str().is_some_and(|text| text.contains(&part)))
}
