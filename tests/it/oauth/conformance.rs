//! The authorization server mode of the MCP conformance suite: its client, its callback, its checks. The person is ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::client::{Flow, onward};
use super::document::Document;
use crate::gateway::peers::{command, directory, node};

/// The suite, once it waits for somebody to sign in. It ends with this.
struct Suite {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    /// What it wants opened in a browser.
    page: String,
}

impl Suite {
    fn start(mut command: Command, issuer: &str) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the suite");
        let mut said = BufReader::new(child.stdout.take().expect("its output"));
        let (mut line, mut all, start) = (String::new(), String::new(), format!("{issuer}/oauth/authorize?"));
        while !line.starts_with(&start) {
            all.push_str(&line);
            line.clear();
            assert!(said.read_line(&mut line).expect("a line") > 0, "it ended before anybody was asked: {all}");
        }
        Self { child, said, page: line.trim().to_owned() }
    }

    /// Its last words, and whether it ended well.
    fn end(mut self) -> (String, bool) {
        let mut rest = String::new();
        while self.said.read_line(&mut rest).expect("a line") > 0 {}
        (rest, self.child.wait().expect("its end").success())
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: the suite wants to be told one.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port().to_string()
}

/// Returns once the suite listens for the person's answer: it says the address to open before that.
async fn listening(port: &str) {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the suite does not listen");
}

/// Every check that was kept, and how it ended.
fn checks(folder: &Path) -> Vec<(String, String)> {
    let kept = std::fs::read_dir(folder).expect("results").flatten().map(|entry| entry.path().join("checks.json"));
    let mut found = Vec::new();
    for file in kept.filter(|file| file.exists()) {
        let text = std::fs::read_to_string(file).expect("checks");
        for check in serde_json::from_str::<Vec<Value>>(&text).expect("checks") {
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            found.push((text("id"), format!("{} {}", text("status"), text("errorMessage")).trim().to_owned()));
        }
    }
    found.sort();
    found
}

/// The suite's client is a public one that cannot sign proofs, so that its agent may use bearer tokens here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_check_of_the_suite_for_authorization_servers_passes() {
    let Some(peers) = directory("MCP conformance of the authorization server") else { return };
    let document = Document::serve(&["http://127.0.0.1/callback"]).await;
    let mut flow = Flow::with(document.within_reach(TestApp::builder())).await;
    document.adopt(&flow.app).await;
    let reason = json!({"allow": true, "reason": "the suite cannot sign"});
    flow.app.admin("POST", "/v1/agents/helper/bearer", reason).await.ok();

    let (results, issuer, resource, port) =
        (tempfile::tempdir().unwrap(), flow.app.url().to_owned(), flow.resource(), free_port());
    let suite = peers.join("node_modules/@modelcontextprotocol/conformance/dist/index.js").display().to_string();
    let folder = results.path().display().to_string();
    let arguments = [
        &suite,
        "authorization",
        "--url",
        &issuer,
        "--client-id",
        &document.url,
        "--resource",
        &resource,
        "--port",
        &port,
        "--output-dir",
        &folder,
    ];
    let mut suite = Suite::start(command(&node(&peers), &peers, &arguments), &issuer);
    let page = flow.browser.get(&std::mem::take(&mut suite.page)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let answer = flow.press(&page, "allow").await;
    let back = onward(&answer);
    assert!(back.starts_with(&format!("http://127.0.0.1:{port}/callback?code=")), "{back} {}", answer.text());
    listening(&port).await;
    assert_eq!(flow.app.http().get(&back).await.status, 200);
    let (said, well) = tokio::task::spawn_blocking(move || suite.end()).await.unwrap();

    let passed = |id: &str| (id.to_owned(), "SUCCESS".to_owned());
    let ids = ["authorization-code-grant", "authorization-server-metadata", "authorization-server-metadata-cimd"];
    let found = checks(results.path());
    println!(
        "authorization server conformance: {} of {} checks pass",
        found.iter().filter(|(_, s)| s == "SUCCESS").count(),
        found.len()
    );
    assert_eq!(found, ids.map(passed), "{said}");
    assert!(well, "{said}");
}
