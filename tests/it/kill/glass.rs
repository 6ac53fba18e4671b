//! Break-glass: for a while, on the record, and reviewed.

use std::time::Duration;

use chancery_model::Span;
use chancery_testkit::{Browser, TestApp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

fn code(answer: &chancery_testkit::Answer) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

async fn break_glass(app: &TestApp, person: &str, minutes: u32) -> String {
    let asked = json!({"person": person, "reason": "nobody else is awake", "minutes": minutes});
    app.admin("POST", "/v1/break-glass", asked).await.ok()["id"].as_str().unwrap().to_owned()
}

/// PROMISES, attack L: it is boxed in time, its acts are in the record under its name, the record goes on, and it opens
/// nothing that would make it last, spread, or disappear.
#[tokio::test]
async fn under_a_break_glass_everything_is_marked_and_what_would_make_it_last_stays_shut() {
    let app = TestApp::start().await;
    app.agent("crm").await;
    let (mut mara, _) = Browser::with_roles(&app, MARA, &[]).await;
    let kill = json!({"scope": "agent", "subject": "crm", "reason": "odd"});
    assert_eq!(code(&mara.api("POST", "/v1/containments", kill.clone()).await), "C1082", "she has no role");

    let id = break_glass(&app, MARA, 4).await;
    let before = app.admin("GET", "/v1/log?limit=500", Value::Null).await.ok()["items"].as_array().unwrap().len();
    let thrown = mara.api("POST", "/v1/containments", kill.clone()).await.ok();
    let lift = format!("/v1/containments/{}/lift", thrown["id"].as_str().unwrap());
    mara.api("POST", &lift, json!({"reason": "it was nothing"})).await.ok();
    let by = format!("{MARA}:{id}");
    assert_eq!(thrown["by"], by.as_str(), "{thrown:#}");
    for (method, path, body) in [
        ("PUT", format!("/v1/people/{MARA}/roles/admin"), json!({})),
        ("POST", "/v1/people".to_owned(), json!({"name": "ann@example.com", "roles": ["admin"]})),
        ("POST", "/v1/people/invitations".to_owned(), json!({"name": "ann@example.com"})),
        ("POST", "/v1/groups".to_owned(), json!({"name": "ap-finance"})),
        ("PUT", format!("/v1/groups/ap-finance/members/{MARA}"), json!({})),
        ("POST", "/v1/log/d-00001k/erase".to_owned(), json!({"body": "arguments"})),
    ] {
        assert_eq!(code(&mara.api(method, &path, body).await), "C1082", "{method} {path}");
    }
    for step in ["", "/end", "/review"] {
        let path = if step.is_empty() { "/v1/break-glass".to_owned() } else { format!("/v1/break-glass/{id}{step}") };
        let asked = json!({"person": MARA, "reason": "longer", "minutes": 480, "note": "fine"});
        assert_eq!(code(&mara.api("POST", &path, asked).await), "C1083", "on the host only: {path}");
    }

    // The record has gone on, and says which of its entries were made under it, and no others.
    let found = app.admin("GET", &format!("/v1/log?break_glass={id}&limit=500"), Value::Null).await.ok();
    let found = found["items"].as_array().unwrap();
    let changes: Vec<&str> = found.iter().map(|entry| entry["change"].as_str().unwrap_or_default()).collect();
    assert_eq!(changes, ["contain containment", "acknowledge containment", "lift containment"], "{found:#?}");
    assert!(found.iter().all(|entry| entry["human"] == by.as_str()), "{found:#?}");
    let after = app.admin("GET", "/v1/log?limit=500", Value::Null).await.ok()["items"].as_array().unwrap().len();
    assert!(after >= before + 3, "{before} and {after}");
    let hers = app.admin("GET", &format!("/v1/log?human={MARA}&limit=500"), Value::Null).await.ok();
    assert!(
        hers["items"].as_array().unwrap().iter().any(|entry| entry["human"] == by.as_str()),
        "also among all of hers"
    );
    let none = app.admin("GET", "/v1/log?break_glass=bgl_00000000000000000000000001", Value::Null).await.ok();
    assert_eq!(none["items"], json!([]));

    app.clock().advance(Span::minutes(4));
    assert_eq!(code(&mara.api("POST", "/v1/containments", kill).await), "C1082", "its time is over");
}

#[tokio::test]
async fn what_takes_two_takes_two_under_a_break_glass_and_neither_by_it() {
    let two = |config: &mut chancery_server::Config| config.people.two_person = vec!["containment.lift".into()];
    let app = TestApp::builder().config(two).start().await;
    app.agent("crm").await;
    let kill = json!({"scope": "agent", "subject": "crm", "reason": "odd"});
    let thrown = app.admin("POST", "/v1/containments", kill).await.ok();
    let lift = format!("/v1/containments/{}/lift", thrown["id"].as_str().unwrap());
    let (mut mara, _) = Browser::with_roles(&app, MARA, &[]).await;
    let (mut lee, _) = Browser::with_roles(&app, "lee@example.com", &[]).await;
    let (mut ann, _) = Browser::with_roles(&app, "ann@example.com", &["admin"]).await;
    let id = break_glass(&app, MARA, 10).await;
    break_glass(&app, "lee@example.com", 10).await;
    let proposed = mara.api("POST", &lift, json!({"reason": "it was nothing"})).await;
    assert_eq!(proposed.status, 202, "{}", proposed.text());
    let confirm = format!("/v1/proposals/{}/confirm", proposed.json()["id"].as_str().unwrap());
    assert_eq!(mara.api("POST", &confirm, json!({})).await.status, 403, "not her own");
    assert_eq!(code(&lee.api("POST", &confirm, json!({})).await), "C1082", "nobody is a second person by it");
    ann.api("POST", &confirm, json!({})).await.ok();
    let found = app.admin("GET", &format!("/v1/log?break_glass={id}"), Value::Null).await.ok();
    let changes: Vec<&str> =
        found["items"].as_array().unwrap().iter().map(|entry| entry["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["propose proposal", "lift containment"], "{found:#}");
}

/// Opens a stream as a page of ours would, and reads its head.
async fn listen(app: &TestApp, browser: &Browser, path: &str) -> TcpStream {
    let home = app.app().people_url();
    let host = home.strip_prefix("http://").unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {}\r\nsec-fetch-site: same-origin\r\nconnection: close\r\n\r\n",
        browser.cookies()
    );
    let mut stream = TcpStream::connect(app.app().address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0, "{}", String::from_utf8_lossy(&head));
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Does it end soon?
async fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_listen_to_ends_with_what_it_hangs_on() {
    let app = TestApp::start().await;
    let (stays, _) = Browser::with_roles(&app, "ann@example.com", &["auditor"]).await;
    let mut kept = listen(&app, &stays, "/v1/log/follow").await;
    for path in ["/v1/log/follow", "/v1/containments/events"] {
        // The break-glass ends.
        let name = format!("glass{}@example.com", path.len());
        let (browser, _) = Browser::with_roles(&app, &name, &[]).await;
        let id = break_glass(&app, &name, 10).await;
        let mut stream = listen(&app, &browser, path).await;
        app.admin("POST", &format!("/v1/break-glass/{id}/end"), json!({"reason": "over"})).await.ok();
        assert!(ends(&mut stream).await, "{path}: the break-glass is over");
        // The role goes.
        let name = format!("role{}@example.com", path.len());
        let (browser, _) = Browser::with_roles(&app, &name, &["auditor"]).await;
        let mut stream = listen(&app, &browser, path).await;
        app.admin("DELETE", &format!("/v1/people/{name}/roles/auditor"), json!({"reason": "moved"})).await.ok();
        assert!(ends(&mut stream).await, "{path}: the role is gone");
        // The login ends.
        let name = format!("login{}@example.com", path.len());
        let (mut browser, _) = Browser::with_roles(&app, &name, &["auditor"]).await;
        let mut stream = listen(&app, &browser, path).await;
        let key = browser.form_key().await;
        browser.post("/sign-out", &[("form", &key)]).await;
        assert!(ends(&mut stream).await, "{path}: signed out");
    }
    let mut more = [0; 64];
    let read = tokio::time::timeout(Duration::from_millis(1), kept.read(&mut more)).await;
    assert!(!matches!(read, Ok(Ok(0))), "whoever may still listen goes on listening");
}
