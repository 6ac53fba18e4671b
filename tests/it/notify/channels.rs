//! Webhooks and mail: what is said, how often it is tried, and what a channel that fails may not do.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_model::Span;
use chancery_oversee::notify::{Channel, ChannelKind, MailTls};
use chancery_testkit::{Builder, TestApp};
use serde_json::{Value, json};

use super::sinks::{Came, MailSink, WebSink, delivered, eventually, resume, suspend};

/// 32 bytes, in base64 after its prefix.
pub const SECRET: &str = "whsec_Q0FOQVJZLWNhbmFyeS1DQU5BUlktY2FuYXJ5LTEyMzQ=";

pub fn channel(name: &str, kind: ChannelKind, events: &[&str]) -> Channel {
    Channel {
        name: name.to_owned(),
        kind,
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        url: None,
        secret: None,
        secret_file: None,
        server: None,
        tls: MailTls::default(),
        username: None,
        from: None,
        to: Vec::new(),
        room: None,
    }
}

pub fn webhook(name: &str, sink: &WebSink, events: &[&str]) -> Channel {
    let (url, secret) = (Some(format!("{}/{name}", sink.url)), Some("pager".to_owned()));
    Channel { url, secret, ..channel(name, ChannelKind::Webhook, events) }
}

pub fn mail(name: &str, sink: &MailSink, events: &[&str]) -> Channel {
    Channel {
        server: Some(sink.server.clone()),
        tls: MailTls::None,
        from: Some("Chancery <chancery@acme.example>".to_owned()),
        to: vec!["security@acme.example".to_owned()],
        ..channel(name, ChannelKind::Smtp, events)
    }
}

/// A server with these channels, which may reach this machine.
pub fn with(channels: impl IntoIterator<Item = Channel>) -> Builder {
    let channels: Vec<Channel> = channels.into_iter().collect();
    TestApp::builder().config(|config| {
        config.channels = channels;
        config.fetch.allow.push("127.0.0.1:*".to_owned());
    })
}

async fn start(channels: impl IntoIterator<Item = Channel>) -> TestApp {
    let app = with(channels).start().await;
    app.secret("pager", SECRET).await;
    app.register("crm", "agent").await;
    app
}

/// As the specification says: HMAC-SHA256 over id, time and body.
fn is_signed(came: &Came) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap());
    let content =
        [came.header("webhook-id").as_bytes(), came.header("webhook-timestamp").as_bytes(), &came.body].join(&b'.');
    let signature = came.header("webhook-signature").strip_prefix("v1,").unwrap();
    hmac::verify(&key, &content, &STANDARD.decode(signature).unwrap()).is_ok()
}

#[tokio::test]
async fn a_message_is_signed_and_says_what_happened() {
    let sink = WebSink::start().await;
    let app = start([webhook("pager", &sink, &["agent.suspended"])]).await;
    suspend(&app, "crm").await;
    resume(&app, "crm").await;
    let came = sink.until(1).await.remove(0);
    assert!(is_signed(&came) && came.path == "/pager");
    assert_eq!(came.header("content-type"), "application/cloudevents+json; charset=utf-8");
    let said = came.json();
    assert_eq!((&said["type"], &said["subject"]), (&json!("agent.suspended"), &json!("agent/crm")));
    assert_eq!((&said["id"], &said["source"]), (&json!(came.header("webhook-id")), &json!(app.url())));
    assert_eq!(said["data"]["facts"]["reason"], "it misbehaves");
    assert!(said["data"]["facts"]["by"].as_str().unwrap().starts_with("local:"));
    let why = app.log().await.into_iter().find(|entry| entry["id"] == said["id"]).expect("the entry is in the log");
    assert_eq!(why["change"], "suspend agent", "{why}");
    let log = delivered(&app, "pager", |log| log.iter().any(|one| one["state"] == "delivered")).await;
    assert_eq!((log.len(), &log[0]["answer"], &log[0]["attempts"]), (1, &json!("HTTP 200"), &json!(1)), "{log:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_channel_that_fails_is_tried_again_in_order_and_holds_up_nobody() {
    let (failing, well) = (WebSink::start().await, WebSink::start().await);
    failing.answers([(500, None, String::new()), (429, Some(("retry-after", "30")), String::new())]);
    let app = start([webhook("failing", &failing, &["agent.*"]), webhook("well", &well, &["agent.*"])]).await;
    suspend(&app, "crm").await;
    resume(&app, "crm").await;
    assert_eq!(well.until(3).await.len(), 3, "registered, suspended, resumed");
    // The first message (registered) failed; it is alone in its thread with the other two behind it.
    failing.until(1).await;
    app.clock().advance(Span::seconds(2));
    let log = delivered(&app, "failing", |log| log.len() == 3 && log[0]["attempts"] == 2).await;
    assert_eq!(log[0]["answer"], "HTTP 429", "{log:?}");
    app.clock().advance(Span::seconds(10));
    app.clock().advance(Span::seconds(21));
    let came = failing.until(5).await;
    let ids: Vec<&str> = came.iter().map(|came| came.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "one id on every attempt: {ids:?}");
    let types: Vec<Value> = came[2..].iter().map(|came| came.json()["type"].clone()).collect();
    assert_eq!(types, ["agent.registered", "agent.suspended", "agent.resumed"]);
    assert!(came.iter().all(is_signed));
    assert_ne!(came[0].header("webhook-timestamp"), came[2].header("webhook-timestamp"), "signed anew each time");
    app.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_gone_is_left_alone_until_somebody_asks() {
    let (sink, other) = (WebSink::start().await, WebSink::start().await);
    sink.answers([(410, None, String::new())]);
    let app = start([webhook("pager", &sink, &["agent.suspended"]), webhook("other", &other, &["finding.*"])]).await;
    suspend(&app, "crm").await;
    let told = other.until(1).await.remove(0).json();
    assert_eq!((&told["type"], &told["data"]["facts"]["rule"]), (&json!("finding.opened"), &json!("channel-gone")));
    let state = async || app.admin("GET", "/v1/channels", Value::Null).await.ok()["items"][0]["state"].clone();
    assert_eq!(state().await, "gone");
    let app = app.restart().await;
    let state = async || app.admin("GET", "/v1/channels", Value::Null).await.ok()["items"][0]["state"].clone();
    assert_eq!(state().await, "gone", "a restart does not bring it back");
    resume(&app, "crm").await;
    suspend(&app, "crm").await;
    delivered(&app, "pager", |log| log.len() == 2).await;
    assert_eq!(sink.came().len(), 1, "nothing is sent to a channel that said it is gone");
    assert_eq!(app.admin("POST", "/v1/channels/pager/retry", json!({})).await.ok()["messages"], 2);
    sink.until(3).await;
    assert_eq!(state().await, "ok");
    let told = other.until(2).await.remove(1).json();
    assert_eq!(told["type"], "finding.closed");
    app.stop().await;
}

#[tokio::test]
async fn a_mail_says_it_in_plain_text() {
    let sink = MailSink::start().await;
    let app = start([mail("security", &sink, &["agent.suspended", "agent.resumed"])]).await;
    suspend(&app, "crm").await;
    resume(&app, "crm").await;
    let mails = sink.until(2).await;
    for line in [
        "RCPT TO:<security@acme.example>",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain",
        "reason: it misbehaves",
    ] {
        assert!(mails[0].contains(line), "{line}: {}", mails[0]);
    }
    assert!(mails[0].contains("Subject: [medium] an agent was suspended: agent crm"), "{}", mails[0]);
    let header = |mail: &str, name: &str| {
        mail.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {mail}")).to_owned()
    };
    let (first, second) = (&mails[0], &mails[1]);
    assert_ne!(header(first, "Message-ID: "), header(second, "Message-ID: "));
    assert_eq!(header(first, "References: "), header(second, "References: "), "one thread");
    app.stop().await;
}

#[tokio::test]
async fn a_test_is_sent_to_one_channel_and_secrets_are_nowhere() {
    let (sink, other) = (WebSink::start().await, WebSink::start().await);
    let app = start([webhook("pager", &sink, &["approval.*"]), webhook("other", &other, &["*"])]).await;
    let sent = app.admin("POST", "/v1/channels/pager/test", json!({})).await.ok();
    let came = sink.until(1).await.remove(0).json();
    assert_eq!((&came["id"], &came["type"]), (&sent["id"], &json!("channel.tested")));
    assert_eq!(app.admin("POST", "/v1/channels/none/test", json!({})).await.problem(404), "C6040");
    let retry = json!({"id": "d-000000"});
    assert_eq!(app.admin("POST", "/v1/channels/pager/retry", retry).await.problem(404), "C6041");
    delivered(&app, "other", |log| log.iter().all(|one| one["state"] == "delivered")).await;
    assert!(other.came().iter().all(|came| came.json()["type"] != "channel.tested"));
    for path in ["/v1/channels", "/v1/deliveries", "/v1/log?limit=1000"] {
        let shown = app.admin("GET", path, Value::Null).await.text();
        assert!(!shown.contains("whsec_") && !shown.contains("Q0FOQVJZ"), "{path}: {shown}");
    }
    for came in sink.came().iter().chain(&other.came()) {
        assert!(!String::from_utf8_lossy(&came.body).contains("whsec_"));
    }
    app.stop().await;
}

#[tokio::test]
async fn without_its_secret_a_message_waits() {
    let sink = WebSink::start().await;
    let app = with([webhook("pager", &sink, &["agent.suspended"])]).start().await;
    app.register("crm", "agent").await;
    suspend(&app, "crm").await;
    let log = delivered(&app, "pager", |log| log.iter().any(|one| one["attempts"] != 0)).await;
    assert_eq!(log[0]["answer"], "no secret `pager` is stored");
    assert!(sink.came().is_empty());
    app.secret("pager", SECRET).await;
    app.clock().advance(Span::seconds(5));
    assert!(is_signed(&sink.until(1).await[0]));
    app.stop().await;
}

#[tokio::test]
async fn many_attempts_in_vain_are_a_finding_until_one_succeeds() {
    let sink = WebSink::start().await;
    sink.answers((0..8).map(|_| (503, None, String::new())));
    let app = start([webhook("pager", &sink, &["agent.suspended"])]).await;
    suspend(&app, "crm").await;
    let open = async |rule: &str| {
        let found = app.admin("GET", "/v1/findings", Value::Null).await.ok();
        found["items"].as_array().unwrap().iter().any(|finding| finding["rule"] == rule)
    };
    for attempt in 1..8 {
        sink.until(attempt).await;
        assert!(!open("channel-failing").await, "after {attempt} attempts");
        delivered(&app, "pager", |log| log[0]["attempts"] == attempt).await;
        app.clock().advance(Span::minutes(16));
    }
    sink.until(8).await;
    eventually("the finding", async || open("channel-failing").await).await;
    app.clock().advance(Span::minutes(16));
    sink.until(9).await;
    eventually("the finding is closed", async || !open("channel-failing").await).await;
    app.stop().await;
}
