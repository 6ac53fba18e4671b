//! Slack and Teams, by what their interfaces are known to answer.

use chancery_model::Span;
use chancery_oversee::notify::{Channel, ChannelKind};
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::channels::{channel, with};
use super::sinks::{Reply, WebSink, delivered, resume, suspend};

const TOKEN: &str = "xoxb-canary-token";

fn bot(sink: &WebSink) -> Channel {
    Channel {
        url: Some(format!("{}/api", sink.url)),
        secret: Some("slack".to_owned()),
        room: Some("C024BE91L".to_owned()),
        ..channel("chat", ChannelKind::Slack, &["agent.suspended", "agent.resumed"])
    }
}

async fn start(channel: Channel, secret: &str) -> TestApp {
    let app = with([channel]).start().await;
    app.secret("slack", secret).await;
    app.register("crm", "agent").await;
    app
}

/// As `chat.postMessage` and `chat.update` answer.
fn ok(ts: &str) -> Reply {
    (200, None, json!({"ok": true, "channel": "C024BE91L", "ts": ts, "message": {"text": "…"}}).to_string())
}

fn not_ok(error: &str) -> Reply {
    (200, None, json!({"ok": false, "error": error}).to_string())
}

#[tokio::test]
async fn a_slack_message_is_changed_when_it_is_known_what_became_of_it() {
    let sink = WebSink::start().await;
    sink.answers([
        ok("1795004800.000100"),
        ok("1795004800.000100"),
        not_ok("edit_window_closed"),
        ok("1795004900.000200"),
    ]);
    let app = start(bot(&sink), TOKEN).await;
    suspend(&app, "crm").await;
    resume(&app, "crm").await;
    let came = sink.until(2).await;
    let paths: Vec<&str> = came.iter().map(|came| came.path.as_str()).collect();
    assert_eq!(paths, ["/api/chat.postMessage", "/api/chat.update"]);
    assert_eq!(came[0].header("authorization"), format!("Bearer {TOKEN}"));
    let (posted, changed) = (came[0].json(), came[1].json());
    assert_eq!((&posted["channel"], &posted["ts"]), (&json!("C024BE91L"), &Value::Null));
    assert_eq!((&changed["channel"], &changed["ts"]), (&json!("C024BE91L"), &json!("1795004800.000100")));
    assert!(changed["text"].as_str().unwrap().contains("resumed"), "{changed}");
    assert_eq!(posted["blocks"][0]["text"]["type"], "plain_text", "nothing in it is mrkdwn: {posted}");
    assert!(posted["blocks"][2]["elements"][0]["url"].as_str().unwrap().starts_with(app.url()));
    // It cannot be changed any more: it is written anew.
    suspend(&app, "crm").await;
    let came = sink.until(4).await;
    assert_eq!((came[2].path.as_str(), came[3].path.as_str()), ("/api/chat.update", "/api/chat.postMessage"));
    app.stop().await;
}

#[tokio::test]
async fn slack_says_no_with_the_status_200() {
    let sink = WebSink::start().await;
    let limited = (429, Some(("retry-after", "30")), json!({"ok": false, "error": "ratelimited"}).to_string());
    sink.answers([not_ok("invalid_auth"), limited, ok("1.2")]);
    let app = start(bot(&sink), TOKEN).await;
    suspend(&app, "crm").await;
    let log = delivered(&app, "chat", |log| log.iter().any(|one| one["attempts"] == 1)).await;
    assert_eq!((&log[0]["state"], &log[0]["answer"]), (&json!("waiting"), &json!("Slack: invalid_auth")));
    app.clock().advance(Span::seconds(2));
    delivered(&app, "chat", |log| log[0]["attempts"] == 2).await;
    app.clock().advance(Span::seconds(31));
    delivered(&app, "chat", |log| log[0]["state"] == "delivered").await;
    assert_eq!(sink.came().len(), 3);
    app.stop().await;
}

#[tokio::test]
async fn an_address_that_is_a_secret_is_told_to_nobody() {
    let sink = WebSink::start().await;
    let hook =
        Channel { secret: Some("slack".to_owned()), ..channel("chat", ChannelKind::Slack, &["agent.suspended"]) };
    let app = start(hook, &format!("{}/services/T0/B0/CANARY", sink.url)).await;
    suspend(&app, "crm").await;
    let came = sink.until(1).await.remove(0);
    assert_eq!(came.path, "/services/T0/B0/CANARY");
    assert!(came.json()["channel"].is_null() && came.header("authorization").is_empty());
    // An address that may not be used is not shown either.
    app.secret("slack", "http://192.0.2.7/services/T0/B0/CANARY").await;
    resume(&app, "crm").await;
    suspend(&app, "crm").await;
    let log = delivered(&app, "chat", |log| log.len() == 2 && log[1]["attempts"] == 1).await;
    assert_eq!(log[1]["answer"], "the address may not be used");
    let shown = app.admin("GET", "/v1/deliveries", Value::Null).await.text();
    assert!(!shown.contains("CANARY") && !shown.contains("192.0.2.7"), "{shown}");
    app.stop().await;
}

#[tokio::test]
async fn a_card_in_teams_knows_no_markdown() {
    let sink = WebSink::start().await;
    // A workflow answers 202.
    sink.answers([(202, None, String::new())]);
    let card =
        Channel { secret: Some("slack".to_owned()), ..channel("cards", ChannelKind::Teams, &["agent.suspended"]) };
    let app = with([card]).start().await;
    app.secret("slack", &format!("{}/workflows/CANARY", sink.url)).await;
    app.register("crm", "agent").await;
    suspend(&app, "crm").await;
    let body = sink.until(1).await.remove(0).json();
    let content = &body["attachments"][0]["content"];
    assert_eq!((&body["type"], &content["type"]), (&json!("message"), &json!("AdaptiveCard")));
    assert!(content["body"].as_array().unwrap().iter().all(|block| block["type"] == "RichTextBlock"), "{content}");
    assert!(content["actions"][0]["url"].as_str().unwrap().starts_with(app.url()));
    delivered(&app, "cards", |log| log.iter().any(|one| one["answer"] == "HTTP 202")).await;
    app.stop().await;
}
