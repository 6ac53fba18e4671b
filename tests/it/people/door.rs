//! The person's door: who may do what there, and what every request must show first.

use std::fmt::Write as _;

use chancery_model::Span;
use chancery_testkit::{Browser, TestApp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const API: &str = include_str!("../../../crates/server/src/api.rs");
const DOOR: &str = include_str!("../../../crates/server/src/door/person.rs");
/// What each role may. When something changes here on purpose: look at each line of the difference, then copy what the test
/// prints.
const GOLDEN: &str = include_str!("roles.golden");

/// `glass` has no role, and is an administrator for a while.
const ROLES: [&str; 8] = ["none", "admin", "security", "approver", "auditor", "sponsor", "owner", "glass"];

/// Every method and path that the routers name.
fn routes() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for route in [API, DOOR].iter().flat_map(|text| text.split(".route(").skip(1)) {
        let mut parts = route.split('"');
        let path = parts.nth(1).expect("a path").to_owned();
        let handlers: String = parts.collect::<Vec<_>>().concat();
        let handlers = handlers.split("route_layer").next().unwrap_or_default().split("\n}").next().unwrap_or_default();
        let both = if handlers.contains("manifests::of(") { &["GET", "POST"][..] } else { &[] };
        let named = ["get", "post", "put", "delete"].into_iter().filter(|method| {
            handlers
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '('))
                .any(|word| word.split('(').next() == Some(method) && word.contains('('))
        });
        let methods = both.iter().map(|method| (*method).to_owned()).chain(named.map(str::to_uppercase));
        found.extend(methods.map(|method| (method, path.clone())));
    }
    found
}

/// The address of something that is not there; of the one agent where an agent is meant.
fn concrete(path: &str) -> String {
    let name = if path.starts_with("/v1/agents/") { "kept" } else { "ghost" };
    let parts = [("{name}", name), ("{role}", "admin"), ("{level}", "0"), ("{index}", "0"), ("{question}", "reach")];
    let path = parts.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    let rest = ["{id}", "{person}", "{server}", "{urn}"];
    rest.iter().fold(path, |path, from| path.replace(from, "ghost"))
}

/// What the door says to somebody, without waiting for an answer that has no end.
async fn outcome(app: &TestApp, browser: &Browser, key: &str, method: &str, path: &str) -> &'static str {
    let home = app.app().people_url();
    let host = home.strip_prefix("http://").unwrap();
    let (origin, form) = match method {
        "GET" => (String::new(), String::new()),
        _ => (format!("origin: {home}\r\n"), format!("chancery-form: {key}\r\n")),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {}\r\nsec-fetch-site: same-origin\r\n{origin}{form}\
         content-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}",
        browser.cookies()
    );
    let mut stream = TcpStream::connect(app.app().address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        let refused = text.starts_with("HTTP/1.1 401") || text.starts_with("HTTP/1.1 403");
        if text.contains("\r\n\r\n") && !refused {
            return "yes";
        }
        if read == 0 {
            let codes = [("C1082", "no"), ("C1083", "host"), ("C1084", "step-up")];
            let found = codes.into_iter().find(|(code, _)| text.contains(code));
            return found.map_or_else(|| panic!("{method} {path}: {text}"), |(_, said)| said);
        }
    }
}

#[tokio::test]
async fn every_endpoint_asks_for_the_roles_of_the_table() {
    let app = TestApp::start().await;
    let body = json!({"name": "kept", "sponsor": "sponsor", "owner": "owner", "purpose": "is kept"});
    app.admin("POST", "/v1/agents", body).await.ok();
    let mut people = Vec::new();
    for role in ROLES {
        let roles: &[&str] = if ["none", "sponsor", "owner", "glass"].contains(&role) { &[] } else { &[role] };
        let (mut browser, _) = Browser::with_roles(&app, role, roles).await;
        let key = browser.form_key().await;
        people.push((browser, key));
    }
    app.admin("POST", "/v1/break-glass", json!({"person": "glass", "reason": "a walk"})).await.ok();
    // Their passkeys were shown too long ago for what is dangerous: the walk starts nothing of that.
    app.clock().advance(Span::minutes(6));
    let (mut table, mut uncovered) = (String::new(), String::new());
    for (method, path) in routes() {
        let mut said = Vec::new();
        for (browser, key) in &people {
            said.push(outcome(&app, browser, key, &method, &concrete(&path)).await);
        }
        if said.iter().all(|said| *said == "host") {
            let _ = writeln!(uncovered, "{method:<6} {path}");
            continue;
        }
        let _ = write!(table, "{method:<6} {path:<45}");
        said.iter().for_each(|said| write!(table, " {said:<8}").unwrap());
        table = table.trim_end().to_owned() + "\n";
    }
    let head = ROLES.iter().fold(format!("{:<6} {:<45}", "", ""), |head, role| head + &format!(" {role:<8}"));
    let found = format!("{}\n{table}\nOn the host only:\n{uncovered}", head.trim_end());
    assert!(found == GOLDEN, "the roles are others than tests/it/people/roles.golden says:\n{found}");
}

#[tokio::test]
async fn what_the_door_wants_to_see_first() {
    let app = TestApp::start().await;
    let (mut mara, _) = Browser::with_roles(&app, "mara", &["admin"]).await;
    let home = app.app().people_url().to_owned();
    let body = || json!({"name": "ap-finance"});
    let mut nobody = Browser::new(&app);
    assert_eq!(nobody.api_with("GET", "/v1/agents", Value::Null, &[]).await.problem(401), "C1031");
    assert_eq!(nobody.api_with("POST", "/v1/groups", body(), &[("origin", &home)]).await.problem(401), "C1031");

    let key = mara.form_key().await;
    let (form, site, origin) =
        (("chancery-form", key.as_str()), ("sec-fetch-site", "same-origin"), ("origin", home.as_str()));
    for headers in [
        &[][..],
        &[origin, site],
        &[form],
        &[form, ("origin", "https://evil.example"), site],
        &[form, origin, ("sec-fetch-site", "cross-site")],
        &[form, origin, ("sec-fetch-site", "same-site")],
        &[("chancery-form", "AAAA"), origin, site],
        &[("chancery-form", ""), origin, site],
    ] {
        let answer = mara.api_with("POST", "/v1/groups", body(), headers).await;
        assert!([403, 400].contains(&answer.status.as_u16()), "{headers:?}: {}", answer.text());
    }
    for site in ["cross-site", "same-site"] {
        let answer = mara.api_with("GET", "/v1/agents", Value::Null, &[("sec-fetch-site", site)]).await;
        assert_eq!(answer.problem(403), "C1032", "{site}");
    }
    let (mut lee, _) = Browser::with_roles(&app, "lee", &["admin"]).await;
    let theirs = lee.form_key().await;
    let answer = mara.api_with("POST", "/v1/groups", body(), &[("chancery-form", &theirs), origin, site]).await;
    assert_eq!(answer.problem(403), "C1032", "another login's form key");
    assert_eq!(app.admin("GET", "/v1/groups", Value::Null).await.ok()["items"], json!([]), "something passed");

    mara.api("POST", "/v1/groups", body()).await.ok();
    let log = app.log().await;
    let made = log.iter().find(|entry| entry["change"] == "create group").unwrap();
    assert_eq!(made["human"], "mara", "{made}");
}

#[tokio::test]
async fn a_login_without_a_passkey_opens_nothing() {
    let app = TestApp::start().await;
    app.admin("POST", "/v1/people", json!({"name": "mara", "roles": ["admin", "auditor"]})).await.ok();
    let mut browser = Browser::new(&app);
    browser.sign_in(&app, "mara").await;
    assert_eq!(browser.api("GET", "/v1/agents", Value::Null).await.problem(401), "C1084");
    browser.register_passkey().await;
    browser.api("GET", "/v1/agents", Value::Null).await.ok();
}

#[tokio::test]
async fn a_role_that_is_taken_back_is_gone_at_once() {
    let app = TestApp::start().await;
    let (mut mara, _) = Browser::with_roles(&app, "mara", &["security"]).await;
    mara.api("GET", "/v1/log", Value::Null).await.ok();
    app.admin("DELETE", "/v1/people/mara/roles/security?reason=moved", Value::Null).await.ok();
    assert_eq!(mara.api("GET", "/v1/log", Value::Null).await.problem(403), "C1082");
    assert_eq!(mara.api("GET", "/v1/me", Value::Null).await.ok()["roles"], json!([]));
}

#[tokio::test]
async fn who_keeps_an_agent_stops_it_also_as_one_of_a_group() {
    let app = TestApp::start().await;
    app.admin("POST", "/v1/groups", json!({"name": "platform"})).await.ok();
    for (name, owner) in [("ours", "platform"), ("theirs", "sales")] {
        let body = json!({"name": name, "sponsor": "lee@example.com", "owner": owner, "purpose": "is kept"});
        app.admin("POST", "/v1/agents", body).await.ok();
    }
    let (mut mara, _) = Browser::with_roles(&app, "mara", &[]).await;
    let stop = |name: &str| format!("/v1/agents/{name}/suspend");
    assert_eq!(mara.api("POST", &stop("ours"), json!({})).await.problem(403), "C1082");
    app.admin("PUT", "/v1/groups/platform/members/mara", json!({})).await.ok();
    mara.api("POST", &stop("ours"), json!({})).await.ok();
    assert_eq!(mara.api("POST", &stop("theirs"), json!({})).await.problem(403), "C1082");
    assert_eq!(mara.api("POST", &stop("ours/../theirs"), json!({})).await.status, 404);
    app.admin("DELETE", "/v1/groups/platform/members/mara?reason=left", Value::Null).await.ok();
    assert_eq!(mara.api("POST", "/v1/agents/ours/resume", json!({})).await.problem(403), "C1082");
}
