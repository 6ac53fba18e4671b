//! Somebody decides in somebody else's place, for a while, and never for themselves.

use chancery_model::{Clock, Span};
use chancery_testkit::{Browser, TestApp};
use serde_json::{Value, json};

use super::world::{World, ask, list, ran, refused};

const POLICY: &str = r#"
@id("big-refund") @approvers("ap-finance") @approve_within("86400") @quorum("2")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 1000 }
unless { context.approval.granted };

@id("refund") @approvers("ap-finance") @approve_within("86400")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 200 }
unless { context.approval.granted };
"#;

async fn world() -> World {
    World::of(TestApp::builder().policy("approvals.cedar", POLICY)).await
}

async fn known(world: &World, names: &[&str]) {
    for name in names {
        // They may be there already.
        world.app.admin("POST", "/v1/people", json!({"name": name})).await;
    }
}

async fn stand_in(world: &World, person: &str, deputy: &str, from: i64, until: i64) -> Value {
    known(world, &[person, deputy]).await;
    let now = world.app.clock().now();
    let [from, until] = [from, until].map(|hours| (now + Span::hours(hours)).rfc3339());
    let asked = json!({"person": person, "deputy": deputy, "from": from, "until": until, "reason": "on holiday"});
    world.app.admin("POST", "/v1/stand-ins", asked).await.ok()
}

#[tokio::test]
async fn a_stand_in_decides_while_it_lasts_and_the_record_says_for_whom() {
    let world = world().await;
    let client = world.client().await;
    let made = stand_in(&world, "fin", "bob", 1, 3).await;
    assert!(made["id"].as_str().unwrap().starts_with("sti_") && made["in_force"] == false, "{made}");
    let id = ask(&world, &client, 340).await;
    assert_eq!(world.say("bob", &id, "approve").await.status, 409, "not before its time");
    world.app.clock().advance(Span::hours(2));
    let mut bob = world.browser("bob").await;
    let page = bob.get(&format!("/approvals/{id}")).await.text();
    assert!(page.contains("You stand in for <strong>fin</strong>"), "{page}");
    let client = world.client().await;
    let id = ask(&world, &client, 341).await;
    assert_eq!(world.say("bob", &id, "approve").await.status, 200);
    assert!(ran(&client.refund(341).await));
    let asked = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert_eq!((&asked["votes"][0]["name"], &asked["votes"][0]["for_person"]), (&json!("bob"), &json!("fin")));
    let log = world.app.log().await;
    assert!(log.iter().any(|entry| entry["change"] == "name stand_in"), "{log:#?}");

    let id = ask(&world, &client, 342).await;
    world.app.clock().advance(Span::hours(2));
    assert_eq!(world.say("bob", &id, "approve").await.status, 409, "not after its time");
    assert!(list(&world.app, "/v1/stand-ins").await.is_empty());
    assert_eq!(list(&world.app, "/v1/stand-ins?all=true").await.len(), 1);
}

#[tokio::test]
async fn one_place_counts_once() {
    let world = world().await;
    let client = world.client().await;
    stand_in(&world, "fin", "bob", 0, 3).await;
    let id = ask(&world, &client, 1_340).await;
    assert!(world.say("bob", &id, "approve").await.text().contains("It needs more people"));
    assert_eq!(world.say("fin", &id, "approve").await.status, 409, "somebody has spoken in their place");
    assert_eq!(refused(&client.refund(1_340).await).0, "C2002");
    assert_eq!(world.say("ann", &id, "approve").await.status, 200);
    assert!(ran(&client.refund(1_340).await));

    let id = ask(&world, &client, 1_341).await;
    assert_eq!(world.say("fin", &id, "approve").await.status, 200);
    assert_eq!(world.say("bob", &id, "approve").await.status, 409, "they have spoken themselves");
    stand_in(&world, "fin", "ann", 0, 3).await;
    assert_eq!(world.say("ann", &id, "approve").await.status, 200, "ann has a place of her own");
    let asked = world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert!(asked["votes"][1]["for_person"].is_null(), "{asked}");
}

#[tokio::test]
async fn who_asks_gets_no_say_by_standing_in() {
    let world = world().await;
    let client = world.client().await;
    let agent = world.app.admin("GET", "/v1/agents/helper", Value::Null).await.ok();
    let owner = agent["owner"].as_str().unwrap().to_owned();
    stand_in(&world, "fin", &owner, 0, 3).await;
    let id = ask(&world, &client, 340).await;
    assert_eq!(world.say(&owner, &id, "approve").await.status, 409);
    let mut owner = world.browser(&owner).await;
    let page = owner.get(&format!("/approvals/{id}")).await;
    assert!(page.status == 403 || page.text().contains("You may look at this"), "{}", page.text());
    assert!(!ran(&client.refund(340).await));
}

#[tokio::test]
async fn people_name_and_end_their_own() {
    let world = world().await;
    known(&world, &["ann", "bob"]).await;
    let (mut fin, _) = Browser::with_roles(&world.app, "fin", &[]).await;
    let (mut eve, _) = Browser::with_roles(&world.app, "eve", &[]).await;
    let until = (world.app.clock().now() + Span::hours(3)).rfc3339();
    let asked = |deputy: &str| json!({"deputy": deputy, "until": until, "reason": "on holiday"});
    let made = fin.api("POST", "/v1/stand-ins", asked("bob")).await.ok();
    assert_eq!((&made["person"], &made["deputy"]), (&json!("fin"), &json!("bob")));
    let mut others = asked("eve");
    others["person"] = json!("fin");
    assert_eq!(eve.api("POST", "/v1/stand-ins", others).await.status, 403, "nobody makes themselves a stand-in");
    let path = format!("/v1/stand-ins/{}/end", made["id"].as_str().unwrap());
    assert_eq!(eve.api("POST", &path, json!({"reason": "x"})).await.status, 403);
    let seen = eve.api("GET", "/v1/stand-ins", Value::Null).await.ok();
    assert_eq!(seen["items"], json!([]), "nor sees those of others");
    assert_eq!(fin.api("POST", "/v1/stand-ins", asked("fin")).await.problem(422), "C2048");
    assert_eq!(fin.api("POST", "/v1/stand-ins/sti_x/end", json!({"reason": "x"})).await.problem(404), "C2047");
    fin.api("POST", &path, json!({"reason": "back"})).await.ok();
    assert_eq!(fin.api("POST", &path, json!({"reason": "back"})).await.problem(422), "C2048");
    let client = world.client().await;
    let id = ask(&world, &client, 340).await;
    assert_eq!(world.say("bob", &id, "approve").await.status, 409, "it is over");
}
