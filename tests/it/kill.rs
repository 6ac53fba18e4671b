//! The kill switch through the front door: what waits is cut, what is pending comes to nothing, and it outlives a restart.

mod drills;
mod glass;
mod incidents;
mod pending;
mod pushed;
mod waiting;

use chancery_testkit::{Answer, TestApp};
use serde_json::{Value, json};

/// Whoever has it may hand it on.
pub(crate) const RULES: &str =
    r#"@id("hand-on") permit (principal is Agent, action == Action::"delegate", resource is Agent);"#;

/// Throws the switch.
pub(crate) async fn throw(app: &TestApp, scope: &str, subject: &str) -> Answer {
    app.admin("POST", "/v1/containments", json!({"scope": scope, "subject": subject, "reason": "a test"})).await
}

/// The same, and the acknowledgement.
pub(crate) async fn kill(app: &TestApp, scope: &str, subject: &str) -> Value {
    throw(app, scope, subject).await.ok()
}

/// Lets what was killed go.
pub(crate) async fn unkill(app: &TestApp, thrown: &Value) -> Value {
    let path = format!("/v1/containments/{}/lift", thrown["id"].as_str().expect("an id"));
    app.admin("POST", &path, json!({"reason": "it is mended"})).await.ok()
}

/// How much a place found to stop.
pub(crate) fn stopped(thrown: &Value, point: &str) -> u64 {
    let points = thrown["confirmations"].as_array().expect("confirmations");
    let point = points.iter().find(|confirmed| confirmed["point"] == point).unwrap_or_else(|| panic!("no {point}"));
    point["stopped"].as_u64().expect("a number")
}

/// The code that an answer at the gateway was refused with, be it a tool's result or an error.
pub(crate) fn code(answer: &Answer) -> String {
    let said = answer.json();
    let about = |part: &str| said.pointer(part).and_then(Value::as_str).map(str::to_owned);
    let found = about("/result/_meta/chancery~1decision/code").or_else(|| about("/error/data/chancery~1decision/code"));
    found.unwrap_or_else(|| panic!("nothing was refused: {said}"))
}

#[tokio::test]
async fn killing_twice_is_said_and_so_is_letting_go_twice() {
    let app = TestApp::start().await;
    app.agent("worker").await;
    let first = kill(&app, "agent", "worker").await;
    assert_eq!((&first["already"], &first["in_force"], &first["by"].is_string()), (&json!(false), &json!(true), &true));
    let again = kill(&app, "agent", "worker").await;
    assert_eq!((&again["already"], &again["id"]), (&json!(true), &first["id"]));
    let listed = app.admin("GET", "/v1/containments", Value::Null).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");

    let path = format!("/v1/containments/{}/lift", first["id"].as_str().unwrap());
    for bad in [json!({}), json!({"reason": "  "})] {
        let refused = app.admin("POST", &path, bad).await;
        assert!(refused.status == 400 || refused.status == 422, "a reason is needed: {}", refused.text());
    }
    let lifted = unkill(&app, &first).await;
    assert_eq!((&lifted["already"], &lifted["lift_reason"]), (&json!(false), &json!("it is mended")));
    assert_eq!(unkill(&app, &first).await["already"], true);
    assert_eq!(app.admin("GET", "/v1/containments", Value::Null).await.ok()["items"], json!([]));
    let all = app.admin("GET", "/v1/containments?all=true", Value::Null).await.ok();
    assert_eq!(all["items"][0]["id"], first["id"]);
    let one = app.admin("GET", &format!("/v1/containments/{}", first["id"].as_str().unwrap()), Value::Null).await.ok();
    assert_eq!(one["in_force"], false);

    assert_eq!(
        changes(&app, "containment").await,
        ["contain", "acknowledge", "lift"],
        "what changed nothing is no entry"
    );
    let again = kill(&app, "agent", "worker").await;
    assert_ne!(again["id"], first["id"], "the next one is another");
}

/// What was done to nouns of this kind, in its order.
pub(crate) async fn changes(app: &TestApp, noun: &str) -> Vec<String> {
    let log = app.log().await;
    let said = log.iter().filter_map(|entry| entry["change"].as_str()?.split_once(' '));
    said.filter(|(_, changed)| *changed == noun).map(|(verb, _)| verb.to_owned()).collect()
}

#[tokio::test]
async fn what_is_not_there_cannot_be_killed_by_mistake() {
    let app = TestApp::start().await;
    app.agent("worker").await;
    for (scope, subject) in [
        ("agent", "wrker"),
        ("instance", "wrker/one"),
        ("instance", "worker/"),
        ("owner", "nobody@example.com"),
        ("blueprint", "worker"),
        ("session", "ses_00000000000000000000000000"),
        ("tool", "refund"),
        ("tool", "billing/refund"),
        ("server", "billing"),
        ("everything", "worker"),
    ] {
        let refused = throw(&app, scope, subject).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["code"].as_str()),
            (422, Some("C2052")),
            "{scope} {subject}"
        );
    }
    assert_eq!(app.admin("GET", "/v1/containments/ctm_x", Value::Null).await.json()["code"], "C2051");
    assert_eq!(app.admin("GET", "/v1/containments", Value::Null).await.ok()["items"], json!([]));
}

/// What a dry run says is what the switch then does, and nothing is written by it.
#[tokio::test]
async fn a_preview_counts_and_changes_nothing() {
    let app = TestApp::start().await;
    let (one, two) = (app.agent("one").await, app.agent("two").await);
    let access = app.at("/access/v1");
    for agent in [&one, &one.copy("b"), &two] {
        agent.token(&access).await;
    }
    let before = app.log().await.len();
    let preview = async |scope: &str, subject: &str| {
        let asked = json!({"scope": scope, "subject": subject});
        app.admin("POST", "/v1/containments/preview", asked).await.ok()
    };
    let counts = |preview: &Value| [&preview["agents"], &preview["sessions"], &preview["calls"]].map(Value::as_u64);
    assert_eq!(counts(&preview("agent", "one").await), [1, 2, 0].map(Some));
    assert_eq!(counts(&preview("owner", "lee@example.com").await), [2, 3, 0].map(Some));
    assert_eq!(counts(&preview("everything", "").await), [2, 3, 0].map(Some));
    assert_eq!(app.log().await.len(), before, "looking leaves no trace, and stops nobody");
    let thrown = kill(&app, "agent", "one").await;
    let again = preview("agent", "one").await;
    assert_eq!((&again["already"], &again["sessions"]), (&thrown["id"], &json!(0)));
    assert_eq!(counts(&preview("everything", "").await), [2, 1, 0].map(Some));
}

/// Other enforcers are told the same, and an enforcer that is contained itself is told nothing.
#[tokio::test]
async fn enforcers_are_told_of_whoever_is_contained() {
    let app = TestApp::builder().policy("all.cedar", RULES).start().await;
    app.agent("worker").await;
    app.agent("other").await;
    let enforcer = app.service_account("enforcer").await;
    let question = json!({
        "subject": {"type": "Agent", "id": "worker"}, "action": {"name": "delegate"},
        "resource": {"type": "Agent", "id": "other"}, "context": {"depth": 1},
    });
    assert_eq!(enforcer.ask("evaluation", &question).await.ok()["decision"], true);
    let thrown = kill(&app, "agent", "worker").await;
    let denied = enforcer.ask("evaluation", &question).await.ok();
    assert_eq!((&denied["decision"], &denied["context"]["code"]), (&json!(false), &json!("C2050")), "{denied}");
    assert!(denied["context"]["reason_user"]["en"].as_str().unwrap().contains(thrown["id"].as_str().unwrap()));
    let several = json!({"evaluations": [question]});
    assert_eq!(enforcer.ask("evaluations", &several).await.ok()["evaluations"][0]["decision"], false);
    unkill(&app, &thrown).await;
    assert_eq!(enforcer.ask("evaluation", &question).await.ok()["decision"], true);
    kill(&app, "everything", "").await;
    let refused = enforcer.ask("evaluation", &question).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (403, Some("C2050")), "{}", refused.text());
    assert_eq!(app.admin("GET", "/v1/status", Value::Null).await.status, 200, "the administration goes on");
    assert!(!app.log().await.is_empty(), "and so does the record");
}
