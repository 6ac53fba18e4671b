//! People's pages in Chromium with a virtual authenticator.

use std::path::Path;
use std::sync::Arc;

use chancery_it::WallClock;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use crate::gateway::peers::{command, directory, node, output};

const MARA: &str = "mara@example.com";
const STYLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/server/src/pages/page.css");

/// The whole way of a first administrator, at the size of a phone; the pictures of each page lie beside the peers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_registers_and_shows_a_passkey() {
    let Some(peers) = directory("Chromium, playwright-core and axe-core") else { return };
    let chromium = Path::new("/usr/bin/chromium");
    if !chromium.exists() || !peers.join("node_modules/axe-core").exists() {
        println!("skipped: Chromium or axe-core is not installed");
        return;
    }
    let app =
        TestApp::builder().clock(Arc::new(WallClock)).config(|c| c.people.two_person = vec!["group.create".into()]);
    let app = app.start().await;
    let wanted = json!({"name": MARA, "display": "Mara K."});
    let link = app.admin("POST", "/v1/admin/setup-link", wanted).await.ok()["link"].clone();
    let given = json!({
        "home": app.app().people_url(), "link": link, "chromium": chromium, "style": STYLE,
        "pictures": peers.join("people"),
    });
    let mut command = command(&node(&peers), &peers, &["passkeys.mjs"]);
    command.env("GIVEN", given.to_string());
    let output = output(command).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"));

    let has = |name: &str, part: &str| said[name].as_str().is_some_and(|text| text.contains(part));
    assert!(has("without", "no passkey for this place"), "{said:#}");
    assert!(has("first", "Register a passkey") && has("first", MARA), "{said:#}");
    assert_eq!(said["registered"], "Mara's phone", "{said:#}");
    assert_eq!(said["keys"], json!([{"resident": true, "rp": "localhost"}]), "{said:#}");
    assert!(has("out", "Nobody is signed in"), "{said:#}");
    assert_eq!(said["in"], "Connect a device", "back where the person wanted to be: {said:#}");
    assert_eq!(said["cookies"], json!([{"httpOnly": true, "sameSite": "Strict", "domain": "localhost"}]), "{said:#}");
    assert_eq!(said["rotated"], true, "{said:#}");
    assert!(has("unverified", "/step-up"), "{said:#}");
    assert_eq!(said["again"], "The sign-in link is not valid", "{said:#}");
    assert_eq!(said["policy"], json!([]), "the content policy was broken: {said:#}");
    assert_eq!(said["axe"], json!([]), "{said:#}");
    assert_eq!(said["pages"].as_array().map(Vec::len), Some(8), "{said:#}");
}
