//! Roles of people, and groups of them.

use chancery_testkit::TestApp;
use serde_json::{Value, json};

const MARA: &str = "mara@example.com";

async fn with_mara() -> TestApp {
    let app = TestApp::start().await;
    app.admin("POST", "/v1/people", json!({"name": MARA})).await.ok();
    app
}

#[tokio::test]
async fn roles_come_and_go_and_outlive_a_restart() {
    let app = with_mara().await;
    let role = |role: &str| format!("/v1/people/{MARA}/roles/{role}");
    assert_eq!(app.admin("PUT", &role("security"), json!({})).await.ok()["roles"], json!(["security"]));
    assert_eq!(app.admin("PUT", &role("admin"), json!({})).await.ok()["roles"], json!(["admin", "security"]));
    assert_eq!(app.admin("PUT", &role("admin"), json!({})).await.problem(409), "C6032");
    assert_eq!(app.admin("PUT", &role("root"), json!({})).await.problem(400), "C6003");
    assert_eq!(app.admin("PUT", "/v1/people/ghost/roles/admin", json!({})).await.problem(404), "C6030");

    let app = app.restart().await;
    let people = app.admin("GET", "/v1/people", Value::Null).await.ok();
    assert_eq!(people["items"][0]["roles"], json!(["admin", "security"]));
    let gone = app.admin("DELETE", &format!("{}?reason=moved", role("admin")), Value::Null).await.ok();
    assert_eq!(gone["roles"], json!(["security"]));
    assert_eq!(app.admin("DELETE", &role("admin"), Value::Null).await.problem(409), "C6032");
    let log = app.log().await;
    let changes: Vec<&str> = log.iter().filter_map(|e| e["change"].as_str()).collect();
    assert!(changes.contains(&"add_role person") && changes.contains(&"remove_role person"), "{changes:?}");
}

#[tokio::test]
async fn groups_have_members_and_names_of_their_own() {
    let app = with_mara().await;
    app.admin("POST", "/v1/people", json!({"name": "lee", "roles": ["approver", "approver"]})).await.ok();
    app.admin("POST", "/v1/groups", json!({"name": "ap-finance"})).await.ok();
    for taken in ["ap-finance", "lee"] {
        assert_eq!(app.admin("POST", "/v1/groups", json!({"name": taken})).await.problem(409), "C1081", "{taken}");
    }
    assert_eq!(app.admin("POST", "/v1/groups", json!({"name": "AP"})).await.problem(400), "C6003");
    assert_eq!(app.admin("POST", "/v1/people", json!({"name": "ap-finance"})).await.problem(409), "C1081");

    let member = |group: &str, person: &str| format!("/v1/groups/{group}/members/{person}");
    for person in [MARA, "lee"] {
        app.admin("PUT", &member("ap-finance", person), json!({})).await.ok();
    }
    assert_eq!(app.admin("PUT", &member("ap-finance", "lee"), json!({})).await.problem(409), "C6032");
    assert_eq!(app.admin("PUT", &member("nobody", "lee"), json!({})).await.problem(404), "C1080");
    assert_eq!(app.admin("PUT", &member("ap-finance", "ghost"), json!({})).await.problem(404), "C6030");

    let app = app.restart().await;
    let groups = app.admin("GET", "/v1/groups", Value::Null).await.ok();
    assert_eq!(groups["items"][0]["members"], json!(["lee", MARA]));
    let left = app.admin("DELETE", &format!("{}?reason=left", member("ap-finance", "lee")), Value::Null).await.ok();
    assert_eq!(left["members"], json!([MARA]));
    assert_eq!(app.admin("DELETE", &member("ap-finance", "lee"), Value::Null).await.problem(409), "C6032");
}

#[tokio::test]
async fn a_setup_link_makes_an_administrator() {
    let app = with_mara().await;
    let made = app.admin("POST", "/v1/admin/setup-link", json!({"name": MARA})).await.ok();
    assert!(made["link"].as_str().is_some_and(|link| link.contains("/sign-in/chy-link-")), "{made}");
    app.admin("POST", "/v1/admin/setup-link", json!({"name": MARA})).await.ok();
    app.admin("POST", "/v1/admin/setup-link", json!({"name": "lee", "display": "Lee"})).await.ok();
    let people = app.admin("GET", "/v1/people", Value::Null).await.ok();
    for at in [0, 1] {
        assert_eq!(people["items"][at]["roles"], json!(["admin"]), "{people}");
    }
    app.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left"})).await.ok();
    assert_eq!(app.admin("POST", "/v1/admin/setup-link", json!({"name": MARA})).await.problem(409), "C6032");
}

#[tokio::test]
async fn an_invitation_adds_a_person_with_roles() {
    let app = with_mara().await;
    let wanted = json!({"name": "lee", "display": "Lee", "roles": ["approver"]});
    let made = app.admin("POST", "/v1/people/invitations", wanted.clone()).await.ok();
    assert_eq!(made["person"], "lee");
    assert_eq!(app.admin("POST", "/v1/people/invitations", wanted).await.problem(409), "C6031");
    let people = app.admin("GET", "/v1/people", Value::Null).await.ok();
    assert_eq!(people["items"][0]["roles"], json!(["approver"]));
}
