//! The flows with other people's clients: oauth4webapi, openid-client, joserfc, Authlib, and Chromium for the pages.

use std::path::Path;
use std::sync::Arc;

use chancery_it::WallClock;
use chancery_testkit::{Browser, HttpUpstream, TestApp};
use serde_json::{Value, json};

use super::client::{CALLBACK, MARA, query};
use crate::gateway::peers::{command, directory, node, output};

const PEOPLE: &str = r#"
@id("consent") permit (principal is Human, action == Action::"delegate", resource is Agent);
@id("hand-over") permit (principal == Agent::"helper", action == Action::"delegate", resource == Agent::"worker");
"#;

async fn server(upstream: &HttpUpstream) -> TestApp {
    let builder = TestApp::builder().clock(Arc::new(WallClock)).policy("people.cedar", PEOPLE);
    let app = builder.http("crm", upstream).http("billing", upstream).start().await;
    app.admin("POST", "/v1/people", json!({"name": MARA, "display": "Mara K."})).await.ok();
    app
}

/// Runs a script with what it is given; what it printed.
async fn script(peers: &Path, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = command(program, peers, arguments);
    command.envs(environment.iter().copied());
    let output = output(command).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_peoples_oauth_clients_complete_every_flow() {
    let Some(peers) = directory("oauth4webapi and openid-client") else { return };
    let upstream = HttpUpstream::start().await;
    let app = server(&upstream).await;
    let (helper, worker) = (app.register("helper", "agent").await, app.register("worker", "agent").await);
    app.admin("POST", "/v1/agents/helper/clients", json!({"redirect_uris": [CALLBACK]})).await.ok();
    let given = json!({
        "issuer": app.url(), "resource": app.at("/mcp/crm"), "callback": CALLBACK,
        "helper": helper, "worker": worker, "link": app.sign_in_link(MARA).await,
    });
    let said = script(&peers, &node(&peers), &["oauth.mjs"], &[("GIVEN", &given.to_string())]).await;

    let people = app.admin("GET", "/v1/people", Value::Null).await.ok();
    let mara = people["items"][0]["id"].clone();
    let helper = app.admin("GET", "/v1/agents/helper", Value::Null).await.ok();
    let worker = app.admin("GET", "/v1/agents/worker", Value::Null).await.ok();
    let details = json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"]}]);

    let low = &said["oauth4webapi"];
    assert_eq!(low["client_credentials"], json!({"token_type": "dpop", "typ": "at+jwt"}), "{said:#}");
    assert_eq!(low["authorization_code"]["details"], details, "{said:#}");
    assert_eq!(low["authorization_code"]["claims"]["sub"], mara);
    assert_eq!(low["authorization_code"]["claims"]["act"]["sub"], helper["id"]);
    assert_eq!(low["refresh"], json!({"rotated": true, "sid": true}));
    assert_eq!(low["validated"]["sub"], mara, "validateJwtAccessToken");
    assert!(low["mix_up"].is_string() && low["other_audience"].is_string(), "{said:#}");
    assert_eq!(low["device"], mara);
    assert_eq!(low["exchange"]["sub"], mara, "it still stands for the person");
    assert_eq!(low["exchange"]["act"], json!({"sub": worker["id"], "act": {"sub": helper["id"]}}), "newest outermost");
    assert_eq!(low["introspected"], json!({"active": true, "username": MARA}));
    assert_eq!(low["revoked"], false);

    let high = &said["openid_client"];
    assert_eq!(high["client_credentials"], "dpop");
    assert_eq!(
        (&high["pushed"], &high["authorization_code"], &high["refresh"]),
        (&json!(true), &details, &json!(true))
    );
    assert_eq!((&high["device"], &high["handed_over"]), (&json!(app.at("/mcp/crm")), &json!(app.url())));
    assert_eq!((&high["introspected"], &high["revoked"]), (&json!(true), &json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_asks_a_person_who_is_somewhere_else() {
    let Some(peers) = directory("openid-client and CIBA") else { return };
    let upstream = HttpUpstream::start().await;
    let app = server(&upstream).await;
    let helper = app.register("helper", "agent").await;
    let mut mara = Browser::new(&app);
    mara.sign_in(&app, MARA).await;
    mara.register_passkey().await;
    let given =
        json!({"issuer": app.url(), "resource": app.at("/mcp/crm"), "helper": helper, "person": MARA}).to_string();
    let asking = tokio::spawn(async move { script(&peers, &node(&peers), &["ciba.mjs"], &[("GIVEN", &given)]).await });
    let page = until_asked(&mut mara).await;
    assert!(page.text().contains("W4SCT"), "{}", page.text());
    assert_eq!(super::backchannel::allow(&mut mara).await.status, 200);
    let said = asking.await.unwrap();
    let people = app.admin("GET", "/v1/people", Value::Null).await.ok();
    let expected = json!({
        "nobody": "unknown_user_id", "expires_in": 120, "token_type": "dpop", "sub": people["items"][0]["id"],
        "bound": "string", "refreshed": true,
    });
    assert_eq!(said, expected);
}

/// The page of questions, once there is one.
async fn until_asked(browser: &mut Browser) -> chancery_testkit::Answer {
    for _ in 0..300 {
        let page = browser.get("/asked").await;
        if page.text().contains("/asked/ask_") {
            return page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("nobody was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_peoples_libraries_verify_our_tokens() {
    let Some(peers) = directory("joserfc and Authlib") else { return };
    let upstream = HttpUpstream::start().await;
    let app = server(&upstream).await;
    let agent = app.agent("helper").await;
    let token = agent.token(&agent.mcp("crm")).await;
    let python = peers.join("venv/bin/python");
    let (url, resource) = (app.url().to_owned(), agent.mcp("crm"));
    let arguments = ["verify_tokens.py", url.as_str(), resource.as_str()];
    let said = script(&peers, &python, &arguments, &[("TOKEN", &token), ("PYTHONWARNINGS", "ignore")]).await;
    assert_eq!(said["joserfc"]["typ"], "at+jwt");
    assert_eq!(said["joserfc"]["claims"]["aud"], resource);
    assert_eq!(said["authlib"], said["joserfc"]["claims"]["sub"], "{said:#}");
    for refused in ["joserfc_other_audience", "joserfc_changed", "authlib_changed"] {
        assert!(said[refused].is_string(), "{refused}: {said:#}");
    }
}

/// The pages in a real browser: the cookie survives the way from another site, nothing breaks the content policy, and
/// the form comes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_goes_through_the_pages() {
    let Some(peers) = directory("Chromium and playwright-core") else { return };
    let chromium = Path::new("/usr/bin/chromium");
    if !chromium.exists() {
        println!("skipped: Chromium is not installed");
        return;
    }
    let upstream = HttpUpstream::start().await;
    let app = server(&upstream).await;
    app.agent("helper").await;
    let other = other_site().await;
    // Another site than the one of people's pages: `127.0.0.1` is not `localhost`.
    let callback = format!("http://127.0.0.1:{other}/cb");
    app.admin("POST", "/v1/agents/helper/clients", json!({"redirect_uris": [callback]})).await.ok();
    let resource = app.at("/mcp/crm");
    let request = [
        ("response_type", "code"),
        ("client_id", "helper"),
        ("redirect_uri", callback.as_str()),
        ("state", "s"),
        ("code_challenge", super::client::CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", resource.as_str()),
        ("authorization_details", r#"[{"type":"mcp_tool","server":"crm","tools":["echo","add"],"calls":20},{"type":"mcp_tool","server":"billing","tools":["refund"],"constraints":{"amount":{"max":100},"currency":{"one_of":["EUR","USD"]}}},{"type":"mcp_resource","server":"crm"}]"#),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given = json!({
        "issuer": app.url(), "chromium": chromium, "link": app.sign_in_link(MARA).await,
        "authorize": format!("{}/oauth/authorize?{}", app.url(), query(&request)),
        "other": format!("http://127.0.0.1:{other}/"), "pictures": peers.join("pages"),
    });
    let said = script(&peers, &node(&peers), &["pages.mjs"], &[("GIVEN", &given.to_string())]).await;
    assert_eq!(said["violations"], json!([]), "{said:#}");
    assert_eq!(said["signed_in"], true, "{said:#}");
    assert!(
        said["consent"].as_str().unwrap().contains("Let helper act for you?"),
        "the cookie was lost on the way: {said:#}"
    );
    let back = said["back"].as_str().unwrap();
    assert!(back.starts_with(&callback) && back.contains("code=") && back.contains("iss="), "{said:#}");
    assert_eq!(said["framed"], false, "{said:#}");
}

/// A page of somebody else with a link to wherever its fragment says; and whatever comes back to it.
async fn other_site() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = |body: &'static str| axum::response::Html(body);
    let router = axum::Router::new().fallback(move || async move { page("<h1>Another site</h1>") });
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}
