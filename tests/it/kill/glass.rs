//! Break-glass: for a while, on the record, and reviewed.

use chancery_model::Span;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

const MARA: &str = "mara@example.com";

async fn people(app: &TestApp) {
    for name in [MARA, "lee@example.com"] {
        app.admin("POST", "/v1/people", json!({"name": name})).await.ok();
    }
}

async fn findings(app: &TestApp) -> Vec<Value> {
    let found = app.admin("GET", "/v1/findings", Value::Null).await.ok();
    let all = found["items"].as_array().unwrap().iter().cloned();
    all.filter(|finding| finding["rule"] == "break-glass-unreviewed").collect()
}

#[tokio::test]
async fn a_break_glass_is_on_the_record_until_it_is_reviewed() {
    let app = TestApp::start().await;
    people(&app).await;
    let open = async |body: Value| app.admin("POST", "/v1/break-glass", body).await;
    for (body, code) in [
        (json!({"person": MARA, "reason": " "}), "C6003"),
        (json!({"person": MARA, "reason": "night", "minutes": 481}), "C6003"),
        (json!({"person": MARA, "reason": "night", "minutes": 0}), "C6003"),
        (json!({"person": "nobody@example.com", "reason": "night"}), "C6030"),
    ] {
        assert_eq!(open(body.clone()).await.json()["code"], code, "{body}");
    }
    let glass = open(json!({"person": MARA, "reason": "night"})).await.ok();
    let id = glass["id"].as_str().unwrap().to_owned();
    assert_eq!(glass["open"], true);
    let at = |field: &str| chancery_model::Timestamp::parse(glass[field].as_str().unwrap()).unwrap();
    assert_eq!(at("until") - at("at"), Span::hours(1), "an hour, if nothing is said");
    assert_eq!(findings(&app).await[0]["subject"], id.as_str(), "somebody has to look at it");

    // Not twice, not by waiting, and not by ending it: by a review.
    let twice = open(json!({"person": MARA, "reason": "longer"})).await;
    assert_eq!((twice.status.as_u16(), twice.json()["code"].as_str()), (409, Some("C2055")), "{}", twice.text());
    let path = |step: &str| format!("/v1/break-glass/{id}/{step}");
    let note = json!({"note": "two lifts, both agreed"});
    assert_eq!(app.admin("POST", &path("review"), note.clone()).await.status, 409, "it is still open");
    app.admin("POST", &path("end"), json!({"reason": "over"})).await.ok();
    assert_eq!(app.admin("POST", &path("end"), json!({})).await.status, 409, "it is over");
    assert_eq!(open(json!({"person": MARA, "reason": "again"})).await.status, 409);
    assert_eq!(app.admin("POST", &path("review"), json!({"note": ""})).await.status, 400, "a note says something");
    let reviewed = app.admin("POST", &path("review"), note.clone()).await.ok();
    assert!(reviewed["reviewed_by"].is_string() && reviewed["review"] == note["note"], "{reviewed}");
    assert_eq!(findings(&app).await.len(), 0, "it is settled");
    assert_eq!(app.admin("POST", &path("review"), note).await.status, 409, "once");

    app.clock().advance(Span::seconds(1));
    let second = open(json!({"person": MARA, "reason": "another night", "minutes": 5})).await.ok();
    app.clock().advance(Span::minutes(5));
    let listed = app.admin("GET", "/v1/break-glass", Value::Null).await.ok();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["open"]), (&second["id"], &json!(false)), "by time");
    assert_eq!(findings(&app).await.len(), 1, "what is over is not yet reviewed");
    let app = app.restart().await;
    assert_eq!(app.admin("POST", "/v1/break-glass", json!({"person": MARA, "reason": "x"})).await.status, 409);
    assert_eq!(app.admin("GET", "/v1/break-glass", Value::Null).await.ok()["items"].as_array().unwrap().len(), 2);

    assert_eq!(super::changes(&app, "break_glass").await, ["open", "end", "review", "open"], "it is on the record");
}
