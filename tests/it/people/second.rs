//! Two persons for one change.

use chancery_model::Span;
use chancery_testkit::{Browser, Passkey, TestApp};
use serde_json::{Value, json};

/// A server where groups and secrets need two, and three people: two administrators and an auditor.
struct World {
    app: TestApp,
    mara: Browser,
    lee: Browser,
    lees: Passkey,
    ann: Browser,
}

async fn world() -> World {
    let both = vec!["group.create".to_owned(), "secret.set".to_owned()];
    let app = TestApp::builder().config(|c| c.people.two_person = both).start().await;
    let (mara, _) = Browser::with_roles(&app, "mara", &["admin"]).await;
    let (lee, lees) = Browser::with_roles(&app, "lee", &["admin"]).await;
    let (ann, _) = Browser::with_roles(&app, "ann", &["auditor"]).await;
    World { app, mara, lee, lees, ann }
}

impl World {
    async fn proposed(&mut self, name: &str) -> String {
        let answer = self.mara.api("POST", "/v1/groups", json!({"name": name})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn groups(&self) -> usize {
        self.app.admin("GET", "/v1/groups", Value::Null).await.ok()["items"].as_array().unwrap().len()
    }
}

fn confirm(id: &str) -> String {
    format!("/v1/proposals/{id}/confirm")
}

#[tokio::test]
async fn a_second_person_confirms_and_it_runs_once_as_proposed() {
    let mut world = world().await;
    let id = world.proposed("ap-finance").await;
    assert_eq!(world.groups().await, 0, "one person did it alone");
    let seen = world.lee.api("GET", "/v1/proposals", Value::Null).await.ok();
    let seen = &seen["items"][0];
    assert_eq!((&seen["verb"], &seen["proposed_by"]), (&json!("group.create"), &json!("mara")));
    assert_eq!((&seen["body"], &seen["confirmable"]), (&json!(r#"{"name":"ap-finance"}"#), &json!(true)));

    assert_eq!(world.mara.api("POST", &confirm(&id), json!({})).await.problem(403), "C1088", "the author");
    assert_eq!(world.ann.api("POST", &confirm(&id), json!({})).await.problem(403), "C1082", "another role");
    let ran = world.lee.api("POST", &confirm(&id), json!({"name": "another"})).await;
    assert_eq!(
        (ran.status.as_u16(), &ran.json()["name"]),
        (201, &json!("ap-finance")),
        "what the body says now is nothing"
    );
    assert_eq!(world.groups().await, 1);
    assert_eq!(world.lee.api("POST", &confirm(&id), json!({})).await.problem(404), "C1087", "a second time");

    let log = world.app.log().await;
    let who = |change: &str| {
        let found = log.iter().find(|entry| entry["change"] == change).unwrap_or_else(|| panic!("no {change}"));
        found["human"].clone()
    };
    for (change, by) in
        [("propose proposal", "mara"), ("confirm proposal", "lee"), ("create group", "mara"), ("run proposal", "lee")]
    {
        assert_eq!(who(change), by, "{change}");
    }
}

#[tokio::test]
async fn at_the_same_time_it_still_runs_once() {
    let mut world = world().await;
    let id = world.proposed("ap-finance").await;
    let path = confirm(&id);
    let (mut one, mut two) = (world.lee.clone(), world.lee.clone());
    let (one, two) = tokio::join!(one.api("POST", &path, json!({})), two.api("POST", &path, json!({})));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 404], "{} {}", one.text(), two.text());
}

#[tokio::test]
async fn a_proposal_ends_by_time_by_its_author_and_with_their_role() {
    let mut world = world().await;
    let withdrawn = world.proposed("one").await;
    world.mara.api("POST", &format!("/v1/proposals/{withdrawn}/withdraw"), json!({})).await.ok();
    assert_eq!(world.lee.api("POST", &confirm(&withdrawn), json!({})).await.problem(404), "C1087");

    let orphan = world.proposed("two").await;
    world.app.admin("DELETE", "/v1/people/mara/roles/admin?reason=moved", Value::Null).await.ok();
    assert_eq!(world.lee.api("POST", &confirm(&orphan), json!({})).await.problem(403), "C1082");
    world.app.admin("PUT", "/v1/people/mara/roles/admin", json!({})).await.ok();

    let old = world.proposed("three").await;
    world.app.clock().advance(Span::hours(8));
    assert_eq!(world.lee.enter(&mut world.lees).await.status, 303);
    assert_eq!(world.lee.api("POST", &confirm(&old), json!({})).await.problem(404), "C1087");
    assert_eq!(world.groups().await, 0);
}

#[tokio::test]
async fn a_secret_that_waits_is_shown_to_nobody() {
    let mut world = world().await;
    let answer = world.mara.api("PUT", "/v1/secrets/crm", json!({"value": "s3cr3t-of-crm"})).await;
    assert_eq!(answer.status, 202);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let seen = world.lee.api("GET", "/v1/proposals", Value::Null).await.text();
    assert!(seen.contains(&id) && !seen.contains("s3cr3t"), "{seen}");
    assert!(!world.lee.get("/proposals").await.text().contains("s3cr3t"));
    world.lee.api("POST", &confirm(&id), json!({})).await.ok();
    let secrets = world.app.admin("GET", "/v1/secrets", Value::Null).await.ok();
    assert_eq!(secrets["items"][0]["name"], "crm");
    let data = std::fs::read(world.app.data().join("chancery.db-wal")).unwrap();
    assert!(!data.windows(13).any(|part| part == b"s3cr3t-of-crm"), "it lies in the database in clear");
}

#[tokio::test]
async fn the_page_shows_what_would_be_run() {
    let mut world = world().await;
    let id = world.proposed("ap-finance").await;
    let page = world.lee.get("/proposals").await.text();
    assert!(page.contains("ap-finance") && page.contains("Confirm and run"), "{page}");
    assert!(!world.mara.get("/proposals").await.text().contains("Confirm and run"), "the author");
    assert!(world.ann.get("/proposals").await.text().contains("Nothing waits for you"));
    let key = world.lee.form_key().await;
    let path = format!("/proposals/{id}");
    world.app.clock().advance(Span::minutes(6));
    let form = [("form", key.as_str()), ("answer", "confirm")];
    assert_eq!(world.lee.post(&path, &form).await.header("location"), "/step-up?to=/proposals");
    assert_eq!(world.lee.step_up(&mut world.lees).await.header("location"), "/sign-in");
    let key = world.lee.form_key().await;
    let done = world.lee.post(&path, &[("form", &key), ("answer", "confirm")]).await.text();
    assert!(done.contains("It was run, and answered 201"), "{done}");
    assert_eq!(world.groups().await, 1);
}

#[tokio::test]
async fn the_host_needs_nobody() {
    let world = world().await;
    world.app.admin("POST", "/v1/groups", json!({"name": "ap-finance"})).await.ok();
    assert_eq!(world.groups().await, 1);
}
