//! A real client asks, a person approves on a phone by passkey, the call goes on, and another amount asks anew.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use chancery_model::Span;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::world::{Client, World, ask};
use crate::gateway::peers::{command, directory, node};

const STYLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/server/src/pages/page.css");
const POLICY: &str = r#"
@id("big-refund") @approvers("ap-finance") @approve_within("600") @risk("high")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 200 }
unless { context.approval.granted };
"#;

/// A program that is told one line at a time and says one line at a time. It ends with this.
struct Talk {
    child: Child,
    input: ChildStdin,
    output: Option<BufReader<ChildStdout>>,
}

impl Talk {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a program");
        let (input, output) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        Self { child, input, output: Some(BufReader::new(output)) }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("a program that listens");
    }

    /// What it says next.
    async fn hear(&mut self) -> Value {
        let mut output = self.output.take().expect("its output");
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).expect("a line");
            (output, line)
        });
        let (output, line) = read.await.expect("a line");
        self.output = Some(output);
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    async fn ask(&mut self, asked: Value) -> Value {
        self.tell(&asked.to_string());
        let said = self.hear().await;
        assert!(said["failed"].is_null(), "{asked}: {said:#}");
        assert_eq!(said["policy"], json!([]), "the content policy was broken: {said:#}");
        if !said["axe"].is_null() {
            assert_eq!(said["axe"], json!([]), "{said:#}");
        }
        said
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the peers are, if a browser and both clients are there.
fn peers() -> Option<PathBuf> {
    let peers = directory("Chromium, axe-core and official clients")?;
    let there = Path::new("/usr/bin/chromium").exists() && peers.join("node_modules/axe-core").exists();
    if !there {
        println!("skipped: Chromium or axe-core is not installed");
    }
    there.then_some(peers)
}

/// A phone whose person has registered a passkey.
async fn phone(world: &World, peers: &Path, person: &str) -> Talk {
    world.app.admin("POST", "/v1/people", json!({"name": person, "display": "Fin O'Hara"})).await.ok();
    let link = world.app.admin("POST", &format!("/v1/people/{person}/setup-link"), json!({})).await.ok();
    let mut command = command(&node(peers), peers, &["approval.mjs"]);
    let given = json!({"chromium": "/usr/bin/chromium", "style": STYLE, "pictures": peers.join("approvals")});
    command.env("GIVEN", given.to_string());
    let mut phone = Talk::start(command);
    let said = phone.ask(json!({"do": "setup", "link": link["link"]})).await;
    assert_eq!(said["title"], "Your passkeys", "{said:#}");
    phone
}

fn text(said: &Value) -> &str {
    said["text"].as_str().unwrap_or_default()
}

async fn world() -> World {
    let builder = TestApp::builder().policy("approvals.cedar", POLICY).config(|c| c.approvals.hold = 90);
    World::of(builder).await
}

/// Each official client on each wire: held, approved on the phone, done; then another amount.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_client_waits_for_a_passkey_on_a_phone() {
    let Some(peers) = peers() else { return };
    let world = world().await;
    let mut phone = phone(&world, &peers, "fin").await;
    let url = world.agent.mcp("s");
    for (at, (language, mode)) in
        [("python", "auto"), ("typescript", "auto"), ("python", "legacy"), ("typescript", "legacy")]
            .into_iter()
            .enumerate()
    {
        let amount = 340 + at;
        let program = if language == "python" { peers.join("venv/bin/python") } else { node(&peers) };
        let script = if language == "python" { "approving.py" } else { "approving.mjs" };
        let arguments = |amount: usize| json!({"order": "o-1", "amount": amount}).to_string();
        let (call, changed) = (arguments(amount), arguments(amount + 1_000));
        let mut command = command(&program, &peers, &[script, &url, mode, &call, &changed]);
        command.env("TOKEN", world.agent.bearer().token(&url).await);
        let mut client = Talk::start(command);

        let open = client.hear().await["open"].clone();
        assert_eq!(world.upstream.calls().len(), at, "nothing runs before somebody approved it");
        // Pictures of the first: the others look the same.
        let name = if at == 0 { json!("first") } else { Value::Null };
        let said = phone.ask(json!({"do": "approve", "url": open, "name": name})).await;
        assert_eq!(
            (&said["first"], &said["waiting"]["title"]),
            (&json!("Sign in first"), &json!("Approve this call?"))
        );
        let shown = format!("helper wants to use refund on s: amount {amount}, order o-1");
        assert!(text(&said["waiting"]).contains(&shown), "{said:#}");
        assert_eq!(said["title"], "Approved", "{said:#}");
        let (top, height) = (said["yes"]["y"].as_f64().unwrap(), said["yes"]["height"].as_f64().unwrap());
        assert!(top > 422.0 && top + height <= 844.0 && height >= 44.0, "within reach of a thumb: {said:#}");
        if mode == "legacy" {
            client.tell("approved");
        }
        let ran = client.hear().await["ran"].clone();
        assert_eq!(ran["content"][0]["text"], format!("refunded {amount} on \"o-1\""), "{language} {mode}: {ran}");

        let anew = client.hear().await["open"].clone();
        assert_ne!(anew, open, "another amount is another request");
        assert_eq!(client.hear().await["ran"]["isError"], true);
        assert_eq!(world.upstream.calls().len(), at + 1, "and does not run");
        println!("{language} {mode}: held, approved by passkey, ran; {} asked anew", amount + 1_000);
    }
    let votes = world.app.admin("GET", "/v1/approvals?all=true", Value::Null).await.ok();
    let voted = |asked: &&Value| asked["state"] == "used" && asked["votes"][0]["passkey"].is_string();
    assert_eq!(votes["items"].as_array().unwrap().iter().filter(voted).count(), 4, "{votes:#}");
}

/// The page in every other state that it can be in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_can_be_read_in_every_state() {
    let Some(peers) = peers() else { return };
    let world = world().await;
    let mut phone = phone(&world, &peers, "fin").await;
    let client = world.client().await;
    for amount in [20, 35, 35, 120] {
        client.refund(amount).await;
    }
    let used = address(&world, &client, 340).await;
    phone.ask(json!({"do": "approve", "url": used, "name": "states-first"})).await;
    let unused = phone.ask(json!({"do": "look", "url": used, "name": "approved"})).await;
    assert!(text(&unused).contains("has not run yet"), "{unused:#}");
    assert!(super::world::ran(&client.refund(340).await));
    world.app.clock().advance(Span::seconds(90));
    let said = phone.ask(json!({"do": "look", "url": used, "name": "used"})).await;
    assert_eq!(said["title"], "Approved and used", "{said:#}");
    assert!(text(&said).contains("fin said yes, with a passkey"), "{said:#}");

    let next = address(&world, &client, 900).await;
    let said = phone.ask(json!({"do": "look", "url": next, "name": "waiting"})).await;
    for part in [
        "was 340",
        "others this week",
        "median",
        "can delete or overwrite",
        "the customer <b>insists</b>",
        "10 minutes left",
    ] {
        assert!(text(&said).contains(part), "{part}: {said:#}");
    }
    let said = phone.ask(json!({"do": "stale", "url": next})).await;
    assert!(text(&said).contains("C2042"), "{said:#}");
    let said = phone.ask(json!({"do": "deny", "url": next})).await;
    assert_eq!(said["title"], "Denied", "{said:#}");
    let said = phone.ask(json!({"do": "look", "url": next, "name": "denied"})).await;
    assert!(text(&said).contains("will not run"), "{said:#}");

    let late = address(&world, &client, 901).await;
    world.app.clock().advance(Span::minutes(11));
    let said = phone.ask(json!({"do": "look", "url": late, "name": "expired"})).await;
    assert_eq!(said["title"], "Too late", "{said:#}");
    println!("pictures: {}", peers.join("approvals").display());
}

/// The address where a call is approved.
async fn address(world: &World, client: &Client, amount: i64) -> String {
    format!("{}/approvals/{}", world.app.app().people_url(), ask(world, client, amount).await)
}
