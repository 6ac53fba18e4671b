//! Whoever states an address does not reach our own network with it (attack class A7): not as a client's id, not as an
//! issuer or its keys, not as an upstream's authorization server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use chancery_testkit::{TestApp, encoded};
use serde_json::json;

use super::world::World;

/// This machine and what is near it, in every spelling that some reader takes for an address.
const HOSTS: [&str; 22] = [
    "127.0.0.1",
    "127.9.9.9",
    "127.0.0.1.",
    "localhost",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "0.0.0.0",
    "[::]",
    "0",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "169.254.169.254",
    "10.0.0.1",
    "[fd00::1]",
    "user@127.0.0.1",
];

/// A place on this machine that counts who comes.
struct Canary {
    port: u16,
    reached: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let reached = Arc::new(AtomicUsize::new(0));
        let listeners = [Some(listener), tokio::net::TcpListener::bind(("::1", port)).await.ok()];
        for listener in listeners.into_iter().flatten() {
            let counter = reached.clone();
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    counter.fetch_add(1, SeqCst);
                }
            });
        }
        Self { port, reached }
    }

    /// Addresses that lead here, or where nobody is to be led.
    fn addresses(&self, path: &str) -> Vec<String> {
        let port = self.port;
        let web = HOSTS.iter().flat_map(|host| ["http", "https"].map(|s| format!("{s}://{host}:{port}{path}")));
        let other = ["gopher", "ftp", "ws", "HTTP"].map(|scheme| format!("{scheme}://127.0.0.1:{port}{path}"));
        web.chain(other).chain(["file:///etc/passwd".to_owned(), format!("//127.0.0.1:{port}{path}")]).collect()
    }

    fn was_reached(&self) -> usize {
        self.reached.load(SeqCst)
    }
}

async fn adopt(app: &TestApp, url: &str) -> bool {
    app.admin("POST", "/v1/agents/helper/clients", json!({"metadata": url})).await.status.is_success()
}

/// What a client's document is fetched for: an authorization request in its name.
async fn ask_as(app: &TestApp, client: &str) -> u16 {
    let (client, resource) = (encoded(client), encoded(&app.at("/mcp/crm")));
    let query = format!(
        "response_type=code&client_id={client}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&resource={resource}"
    );
    let people = app.app().people_url();
    app.http().get(&format!("{people}/oauth/authorize?{query}")).await.status.as_u16()
}

#[tokio::test]
async fn no_stated_address_leads_into_our_own_network() {
    let (canary, world) = (Canary::start().await, World::start().await);
    let place = world.at("").replace("http://", "");
    let app = world.behind(json!({"mode": "authorization_code"})).config(|config| config.fetch.allow = vec![place]);
    let app = app.start().await;
    app.agent("helper").await;
    let mut tried = 0;
    // A client's id, whether somebody adopts it or not.
    for url in canary.addresses("/client.json") {
        assert!(ask_as(&app, &url).await >= 400, "{url}");
        adopt(&app, &url).await;
        assert!(ask_as(&app, &url).await >= 400, "{url}, adopted");
        tried += 1;
    }
    // An issuer, and an issuer's keys.
    for (number, url) in canary.addresses("").into_iter().enumerate() {
        let source =
            json!({"name": format!("t{number}"), "kind": "oidc", "agent": "helper", "issuer": url, "subject": "x"});
        app.admin("POST", "/v1/trust-sources", source).await;
        let keys = json!({
            "name": format!("k{number}"), "kind": "oidc", "agent": "helper", "issuer": "https://issuer.example",
            "jwks_uri": url, "subject": format!("x{number}"),
        });
        app.admin("POST", "/v1/trust-sources", keys).await;
        for issuer in [url.as_str(), "https://issuer.example"] {
            let claims = json!({"iss": issuer, "sub": "x", "aud": app.url()}).to_string();
            let part = |text: &str| chancery_authenticate::jose::encode(text.as_bytes());
            let token = format!("{}.{}.{}", part(r#"{"alg":"ES256","kid":"k"}"#), part(&claims), part(&"x".repeat(64)));
            let form = format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={token}&resource={}",
                encoded(&app.at("/mcp/crm"))
            );
            let request = http::Request::post(app.at("/oauth/token"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(http_body_util::Full::new(form.into()));
            assert!(app.http().send(request.unwrap()).await.status.as_u16() >= 400, "{issuer}");
        }
        tried += 1;
    }
    // An upstream's authorization server, and where it sends people's codes.
    for url in canary.addresses("") {
        world.set(|behaviour| behaviour.authorization_server = Some(url.clone()));
        let begun = app.admin("POST", "/v1/connections/crm/authorize", json!({})).await;
        assert!(!begun.status.is_success(), "{url}: {}", begun.text());
        tried += 1;
    }
    assert_eq!(canary.was_reached(), 0, "somebody came of {tried} addresses");
    world.set(|behaviour| behaviour.authorization_server = None);
    let begun = app.admin("POST", "/v1/connections/crm/authorize", json!({})).await;
    assert!(begun.status.is_success(), "the place that is listed is reached: {}", begun.text());
}

/// The control: where an administrator lists the place, the same ways lead there.
#[tokio::test]
async fn a_listed_place_is_reached_by_the_same_ways() {
    let canary = Canary::start().await;
    let place = format!("127.0.0.1:{}", canary.port);
    let app = TestApp::builder().config(|config| config.fetch.allow = vec![place.clone()]).start().await;
    app.agent("helper").await;
    let url = format!("http://{place}/client.json");
    assert!(adopt(&app, &url).await);
    ask_as(&app, &url).await;
    let issuer = format!("http://{place}");
    let source = json!({"name": "t", "kind": "oidc", "agent": "helper", "issuer": issuer, "subject": "x"});
    app.admin("POST", "/v1/trust-sources", source).await;
    let reached = async {
        while canary.was_reached() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(chancery_testkit::LONGEST_WAIT, reached).await.expect("it is reached");
}
