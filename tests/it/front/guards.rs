//! What every request must pass, and what every answer carries.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use chancery_testkit::TestApp;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn request(url: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let builder = headers.iter().fold(Request::get(url), |request, (name, value)| request.header(*name, *value));
    builder.body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused() {
    let app = TestApp::start().await;
    let port = app.app().address().port();
    let url = app.at("/healthz");
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "localhost".to_owned(), String::new()] {
        let answer = app.http().send(request(&url, &[("host", &host)])).await;
        assert_eq!(answer.problem(403), "C4009", "Host: {host}");
    }
    for origin in ["http://evil.example", "null", "http://localhost"] {
        let answer = app.http().send(request(&url, &[("origin", origin)])).await;
        assert_eq!(answer.problem(403), "C4009", "Origin: {origin}");
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("LOCALHOST:{port}")] {
        let origin = format!("http://{host}");
        let answer = app.http().send(request(&url, &[("host", &host), ("origin", &origin)])).await;
        assert_eq!(answer.status, 204, "Host: {host}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_no_version() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/nowhere", "/oauth/jwks"] {
        let answer = app.http().get(&app.at(path)).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("server"), "", "{path}");
    }
}

#[tokio::test]
async fn errors_are_problems_with_a_code_and_advice() {
    let app = TestApp::start().await;
    let missing = app.http().get(&app.at("/nowhere")).await;
    assert_eq!(missing.problem(404), "C4011");
    let body = missing.json();
    assert_eq!(body["type"], "urn:chancery:problem:C4011");
    for member in ["title", "detail", "next"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
    }
    assert_eq!(app.http().get(&app.at("/oauth/token")).await.problem(405), "C4012");
    let junk = app.http().post(&app.at("/oauth/enrol"), &[], &serde_json::json!({"code": 1})).await;
    assert_eq!(junk.problem(400), "C7007");
}

#[tokio::test]
async fn bodies_and_headers_have_limits() {
    let app = TestApp::start().await;
    let large = serde_json::json!({"code": "x".repeat(2 << 20)});
    assert_eq!(app.http().post(&app.at("/oauth/enrol"), &[], &large).await.problem(413), "C4008");
    let long = "x".repeat(40 * 1024);
    let answer = app.http().send(request(&app.at("/healthz"), &[("x-long", &long)])).await;
    assert_eq!(answer.status, 431);
}

/// Sends bytes as they are; gives back the status line.
async fn raw(app: &TestApp, text: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(app.app().address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(chancery_testkit::LONGEST_WAIT, read).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn two_hosts_are_ambiguous() {
    let app = TestApp::start().await;
    let port = app.app().address().port();
    let text =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(raw(&app, &text).await.starts_with("HTTP/1.1 4"), "{}", raw(&app, &text).await);
    let plain = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(raw(&app, &plain).await, "HTTP/1.1 204 No Content");
}

#[tokio::test]
async fn only_the_owner_can_open_the_admin_door() {
    let app = TestApp::start().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(app.app().admin_socket()), 0o600);
    assert_eq!(mode(&app.data()), 0o700);
    assert_eq!(mode(&app.data().join("chancery.db")), 0o600);
    assert_eq!(app.http().get(&app.at("/v1/agents")).await.problem(401), "C1031", "nobody is signed in there");
}

#[tokio::test]
async fn nothing_but_loopback_is_listened_on() {
    let places = chancery_server::Places { data: "/nowhere/data".into(), kek: "/nowhere/kek".into(), path: None };
    let mut config = chancery_server::Config::without_file(&places).unwrap();
    config.listen = "0.0.0.0:0".parse().unwrap();
    let clock = chancery_testkit::MockClock::new();
    let random = std::sync::Arc::new(chancery_testkit::SeededRandom::new(1));
    let Err(problem) = chancery_server::App::start(config, clock, random).await else { panic!("it started") };
    assert!(problem.detail.contains("loopback"), "{problem}");
}
