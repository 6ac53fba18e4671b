//! What is told, to whom, and how it gets there.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chancery_model::Span;
use chancery_server::SignalReceiver;
use chancery_testkit::{Agent, HttpUpstream, TestApp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::receiver::payload;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
pub const PUSH: &str = "urn:ietf:rfc:8935";
const KINDS: [&str; 7] = [
    "session-revoked",
    "credential-change",
    "token-claims-change",
    "risk-level-change",
    "assurance-level-change",
    "session-established",
    "session-presented",
];

/// What a sink is to answer, and what it was sent.
#[derive(Clone, Default)]
struct Answers {
    next: Arc<Mutex<Vec<(u16, &'static str)>>>,
    got: Arc<Mutex<Vec<(String, Value)>>>,
}

/// A receiver that pushes go to.
pub struct Sink {
    pub url: String,
    answers: Answers,
    task: JoinHandle<()>,
}

impl Sink {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let answers = Answers::default();
        let router = Router::new().route("/events", post(take)).with_state(answers.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, answers, task }
    }

    /// What it answers next, the last of these first; then 202.
    fn answer(&self, answers: &[(u16, &'static str)]) {
        *self.answers.next.lock().unwrap() = answers.to_vec();
    }

    /// The names of what came, in order, the refused ones too.
    fn names(&self) -> Vec<String> {
        self.answers.got.lock().unwrap().iter().map(|(_, claims)| claims["jti"].as_str().unwrap().to_owned()).collect()
    }

    fn headers(&self) -> Vec<String> {
        self.answers.got.lock().unwrap().iter().map(|(header, _)| header.clone()).collect()
    }

    /// Waits until so many came.
    async fn wait(&self, count: usize) -> Vec<Value> {
        for _ in 0..400 {
            let got = self.answers.got.lock().unwrap().clone();
            if got.len() >= count {
                return got.into_iter().map(|(_, claims)| claims).collect();
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{count} events did not come: {:#?}", self.answers.got.lock().unwrap());
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(answers): State<Answers>, headers: HeaderMap, body: String) -> (StatusCode, &'static str) {
    let header = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    answers.got.lock().unwrap().push((header.unwrap_or_default(), payload(&body)));
    let (status, body) = answers.next.lock().unwrap().pop().unwrap_or((202, ""));
    (StatusCode::from_u16(status).unwrap(), body)
}

/// A server with receivers `crm-receiver` and `other-receiver`.
pub async fn server() -> (TestApp, Agent) {
    let receiver = |name: &str| SignalReceiver { receiver: name.to_owned(), audience: Some(format!("urn:{name}")) };
    let app = TestApp::builder()
        .config(|config| {
            config.fetch.allow = vec!["127.0.0.1:*".to_owned()];
            config.signals.transmit = vec![receiver("crm-receiver"), receiver("other-receiver")];
        })
        .start()
        .await;
    let agent = app.service_account("crm-receiver").await;
    (app, agent)
}

/// A request of a receiver.
pub async fn ask(app: &TestApp, agent: &Agent, method: &str, path: &str, body: Value) -> chancery_testkit::Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    agent.send(&app.at("/ssf"), path, method, &[], &body).await
}

pub fn all_kinds() -> Vec<String> {
    KINDS.iter().map(|kind| format!("{CAEP}{kind}")).collect()
}

/// For tests that count what comes: nothing but revocations.
fn revocations() -> Vec<String> {
    vec![format!("{CAEP}session-revoked")]
}

/// Somebody comes and leaves.
async fn suspend(app: &TestApp, name: &str) {
    app.admin("POST", "/v1/people", json!({"name": name})).await.ok();
    app.admin("POST", &format!("/v1/people/{name}/suspend"), json!({"reason": "left"})).await.ok();
}

/// A stream of everything, polled.
pub async fn polled(app: &TestApp, agent: &Agent) -> Value {
    ask(app, agent, "POST", "/streams", json!({"events_requested": all_kinds()})).await.ok()
}

/// Polls and acknowledges until an event of this kind comes whose subject has this text in it; the others go by.
pub async fn next(app: &TestApp, agent: &Agent, stream: &Value, kind: &str, about: &str) -> Value {
    let id = stream["stream_id"].as_str().unwrap();
    for _ in 0..40 {
        let asked = json!({"maxEvents": 1, "returnImmediately": false});
        let answer = ask(app, agent, "POST", &format!("/poll/{id}"), asked).await.ok();
        for (jti, set) in answer["sets"].as_object().unwrap() {
            let claims = payload(set.as_str().unwrap());
            let ack = json!({"ack": [jti], "maxEvents": 0});
            ask(app, agent, "POST", &format!("/poll/{id}"), ack).await.ok();
            if let Some(event) = claims["events"].get(format!("{CAEP}{kind}"))
                && claims["sub_id"].to_string().contains(about)
            {
                assert!(event["event_timestamp"].is_i64(), "{claims:#}");
                return claims;
            }
        }
    }
    panic!("no {kind} about {about} came");
}

#[tokio::test]
async fn what_happens_to_agents_and_people_is_told() {
    let upstream = HttpUpstream::start().await;
    let receiver = SignalReceiver { receiver: "crm-receiver".to_owned(), audience: None };
    let app = TestApp::builder()
        .http("crm", &upstream)
        .config(|config| config.signals.transmit = vec![receiver])
        .start()
        .await;
    let crm = app.service_account("crm-receiver").await;
    let stream = polled(&app, &crm).await;
    let agent = app.agent("helper").await;
    let id = app.admin("GET", "/v1/agents/helper", Value::Null).await.ok()["id"].clone();
    let us = json!({"format": "iss_sub", "iss": app.url(), "sub": id});
    let me = id.as_str().unwrap();
    let event = |claims: &Value, kind: &str| claims["events"][format!("{CAEP}{kind}")].clone();

    let claims = next(&app, &crm, &stream, "credential-change", me).await;
    assert_eq!(claims["sub_id"], us);
    assert_eq!(event(&claims, "credential-change")["credential_type"], "public-key");
    let receiver = app.admin("GET", "/v1/agents/crm-receiver", Value::Null).await.ok()["id"].clone();
    assert_eq!(claims["aud"], receiver, "the receiver's id, where the configuration says nothing");

    app.grant("helper", "crm").await;
    let claims = next(&app, &crm, &stream, "token-claims-change", me).await;
    assert_eq!(event(&claims, "token-claims-change")["claims"]["grant"]["state"], "given");

    agent.token(&agent.mcp("crm")).await;
    let sid = agent.sid("crm").await;
    let claims = next(&app, &crm, &stream, "session-established", me).await;
    let session =
        json!({"format": "complex", "user": us, "application": us, "session": {"format": "opaque", "id": sid}});
    assert_eq!(claims["sub_id"], session, "as our token names it: sub, client_id, sid");
    app.admin("POST", &format!("/v1/sessions/{sid}/end"), json!({"reason": "enough"})).await.ok();
    let claims = next(&app, &crm, &stream, "session-revoked", me).await;
    assert_eq!(claims["sub_id"], session);
    let revoked = event(&claims, "session-revoked");
    assert_eq!(revoked["initiating_entity"], "admin");
    assert!(revoked["reason_admin"]["en"].as_str().unwrap().ends_with("enough"), "{revoked}");

    app.admin("POST", "/v1/agents/helper/bearer", json!({"allow": true, "reason": "a test"})).await.ok();
    app.admin("POST", "/v1/agents/helper/suspend", json!({"reason": "strange calls"})).await.ok();
    let claims = next(&app, &crm, &stream, "session-revoked", me).await;
    assert_eq!(claims["sub_id"], us);
    assert!(claims["txn"].as_str().unwrap().starts_with("d-"), "the entry that caused it");

    suspend(&app, "mara@example.com").await;
    let claims = next(&app, &crm, &stream, "session-revoked", "mara").await;
    assert_eq!(claims["sub_id"], json!({"format": "email", "email": "mara@example.com"}));
    let made = app.admin("POST", "/v1/people", json!({"name": "lee"})).await.ok();
    app.admin("POST", "/v1/people/lee/suspend", json!({"reason": "left"})).await.ok();
    let claims = next(&app, &crm, &stream, "session-revoked", made["id"].as_str().unwrap()).await;
    assert_eq!(claims["sub_id"], json!({"format": "iss_sub", "iss": app.url(), "sub": made["id"]}));
}

#[tokio::test]
async fn a_receiver_sees_its_own_stream_and_needs_to_be_named() {
    let (app, crm) = server().await;
    let stream = polled(&app, &crm).await;
    assert_eq!(stream["aud"], "urn:crm-receiver");
    let id = stream["stream_id"].as_str().unwrap();
    let other = app.service_account("other-receiver").await;
    for (method, path, body) in [
        ("DELETE", format!("/streams?stream_id={id}"), Value::Null),
        ("PATCH", "/streams".to_owned(), json!({"stream_id": id, "description": "mine"})),
        ("POST", "/status".to_owned(), json!({"stream_id": id, "status": "disabled"})),
        ("POST", "/verify".to_owned(), json!({"stream_id": id})),
        ("POST", format!("/poll/{id}"), json!({"returnImmediately": true})),
        ("POST", "/subjects/remove".to_owned(), json!({"stream_id": id, "subject": {"format": "opaque", "id": "x"}})),
    ] {
        let answer = ask(&app, &other, method, &path, body.clone()).await;
        assert_eq!(answer.problem(404), "C1092", "{method} {path}");
    }
    let stranger = app.service_account("stranger").await;
    assert_eq!(ask(&app, &stranger, "GET", "/streams", Value::Null).await.problem(403), "C1090");
    let agent = app.agent("crm-agent").await;
    assert_eq!(ask(&app, &agent, "GET", "/streams", Value::Null).await.problem(403), "C2001");
    assert_eq!(ask(&app, &crm, "GET", "/streams", Value::Null).await.ok().as_array().unwrap().len(), 1);
    // A token for another resource of ours is none for this one.
    let foreign = crm.token(&app.at("/access/v1")).await;
    let header = format!("Bearer {foreign}");
    let answer = app.http().post(&app.at("/ssf/streams"), &[("authorization", &header)], &json!({})).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn pushes_are_in_order_and_are_repeated_until_they_are_taken() {
    let (app, crm) = server().await;
    let sink = Sink::start().await;
    let wanted = json!({
        "events_requested": revocations(),
        "delivery": {"method": PUSH, "endpoint_url": sink.url, "authorization_header": "Bearer what-we-agreed"},
    });
    let stream = ask(&app, &crm, "POST", "/streams", wanted).await.ok();
    assert_eq!(stream["delivery"], json!({"method": PUSH, "endpoint_url": sink.url}), "the header is not shown");
    sink.answer(&[(500, ""), (503, "")]);
    for name in ["ann@example.com", "bob@example.com", "cid@example.com"] {
        suspend(&app, name).await;
    }
    sink.wait(1).await;
    // Nothing more is tried before its time, which only the test moves.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(sink.names().len(), 1);
    let came = until(&app, &sink, 5).await;
    let emails: Vec<&str> = came.iter().map(|claims| claims["sub_id"]["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["ann@example.com", "ann@example.com", "ann@example.com", "bob@example.com", "cid@example.com"]);
    let names = sink.names();
    assert!(names[0] == names[1] && names[1] == names[2], "it is the same event each time");
    assert!(sink.headers().iter().all(|header| header == "Bearer what-we-agreed"));
    let stored = std::fs::read(app.data().join("chancery.db")).unwrap();
    let wal = std::fs::read(app.data().join("chancery.db-wal")).unwrap_or_default();
    let plain = |bytes: &[u8]| bytes.windows(14).any(|window| window == b"what-we-agreed");
    assert!(!plain(&stored) && !plain(&wal), "the header lies sealed on the disk");
}

/// Lets time go on until so many came. What failed is tried again some seconds after that was written down, and when it
/// is written down nobody outside sees.
async fn until(app: &TestApp, sink: &Sink, many: usize) -> Vec<Value> {
    for _ in 0..100 {
        if sink.names().len() >= many {
            break;
        }
        app.clock().advance(Span::seconds(1));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    sink.wait(many).await
}

#[tokio::test]
async fn an_event_that_is_refused_is_not_sent_again_and_is_a_finding() {
    let (app, crm) = server().await;
    let sink = Sink::start().await;
    let wanted = json!({"events_requested": revocations(), "delivery": {"method": PUSH, "endpoint_url": sink.url}});
    ask(&app, &crm, "POST", "/streams", wanted).await.ok();
    sink.answer(&[(400, r#"{"err":"invalid_audience","description":"not us"}"#)]);
    for name in ["ann@example.com", "bob@example.com"] {
        suspend(&app, name).await;
    }
    let came = sink.wait(2).await;
    assert_eq!(came[1]["sub_id"]["email"], "bob@example.com", "the next one goes on");
    let refused = json!("signals-refused");
    for _ in 0..200 {
        let findings = app.admin("GET", "/v1/findings", Value::Null).await.ok();
        if findings["items"].as_array().unwrap().iter().any(|finding| finding["rule"] == refused) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no finding");
}

#[tokio::test]
async fn a_paused_stream_holds_and_a_disabled_one_forgets() {
    let (app, crm) = server().await;
    // Another receiver sees when an entry was read for all streams.
    let other = app.service_account("other-receiver").await;
    let seen = polled(&app, &other).await;
    let asked = json!({"events_requested": revocations()});
    let stream = ask(&app, &crm, "POST", "/streams", asked).await.ok();
    let id = stream["stream_id"].as_str().unwrap();
    let status = |word: &str| json!({"stream_id": id, "status": word});
    let now = json!({"returnImmediately": true});

    ask(&app, &crm, "POST", "/status", status("paused")).await.ok();
    suspend(&app, "ann@example.com").await;
    next(&app, &other, &seen, "session-revoked", "ann").await;
    let answer = ask(&app, &crm, "POST", &format!("/poll/{id}"), now.clone()).await.ok();
    assert_eq!(answer, json!({"sets": {}, "moreAvailable": false}), "nothing goes over a paused stream");
    ask(&app, &crm, "POST", "/status", status("enabled")).await.ok();
    next(&app, &crm, &stream, "session-revoked", "ann").await;

    ask(&app, &crm, "POST", "/status", status("disabled")).await.ok();
    suspend(&app, "bob@example.com").await;
    next(&app, &other, &seen, "session-revoked", "bob").await;
    ask(&app, &crm, "POST", "/status", status("enabled")).await.ok();
    suspend(&app, "cid@example.com").await;
    next(&app, &other, &seen, "session-revoked", "cid").await;
    let claims = next(&app, &crm, &stream, "session-revoked", "").await;
    assert_eq!(claims["sub_id"]["email"], "cid@example.com", "what was while it was disabled is not told");

    // When we change it ourselves, the receiver is told over the stream.
    let reason = json!({"status": "paused", "reason": "maintenance"});
    app.admin("POST", &format!("/v1/signals/streams/{id}/status"), reason).await.ok();
    let answer = ask(&app, &crm, "POST", &format!("/poll/{id}"), now).await.ok();
    let sets: Vec<Value> =
        answer["sets"].as_object().unwrap().values().map(|set| payload(set.as_str().unwrap())).collect();
    let updated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
    assert_eq!(sets[0]["events"][updated], json!({"status": "paused", "reason": "maintenance"}));
    assert_eq!(sets[0]["sub_id"], json!({"format": "opaque", "id": id}));
}

#[tokio::test]
async fn a_poll_waits_for_an_event_and_reports_errors() {
    let (app, crm) = server().await;
    let stream = ask(&app, &crm, "POST", "/streams", json!({"events_requested": revocations()})).await.ok();
    let path = format!("/poll/{}", stream["stream_id"].as_str().unwrap());
    let (waiting, _) = tokio::join!(ask(&app, &crm, "POST", &path, json!({"maxEvents": 5})), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        suspend(&app, "ann@example.com").await;
    });
    let sets = waiting.ok()["sets"].as_object().unwrap().clone();
    let (jti, _) = sets.iter().next().expect("it came while it was waited for");
    let errors =
        json!({"setErrs": {jti: {"err": "invalid_key", "description": "no such key"}}, "returnImmediately": true});
    assert_eq!(ask(&app, &crm, "POST", &path, errors).await.ok()["sets"], json!({}));
    let delivered = app.log().await;
    let entry = delivered.iter().rev().find(|entry| entry["change"] == "deliver stream").expect("an entry");
    assert!(entry.to_string().contains("invalid_key"), "{entry:#}");
}
