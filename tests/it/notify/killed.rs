//! A server that is killed at random moments tells everything all the same, and what it tells twice has one name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chancery_it::{Seeded, WallClock};
use chancery_testkit::TestApp;
use serde_json::Value;
use tempfile::TempDir;

use super::channels::SECRET;
use super::sinks::{WebSink, eventually};
use crate::gateway::peers::{command, output};
use crate::promises::{Size, size};

struct Installation {
    home: TempDir,
    address: SocketAddr,
}

/// The server's own process. Dropping it kills it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("chancery");
    assert!(path.is_file(), "{} is not there: build the whole workspace with all its targets", path.display());
    path
}

impl Installation {
    async fn new(sink: &WebSink) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let app = TestApp::builder().clock(Arc::new(WallClock)).start().await;
        app.secret("pager", SECRET).await;
        app.register("crm", "agent").await;
        let home = app.stop().await;
        let text = format!(
            "listen = \"{address}\"\ndata = {:?}\nkek = {:?}\npolicies = \"policies\"\n\
             [fetch]\nallow = [\"127.0.0.1:*\"]\n\
             [[channel]]\nname = \"pager\"\nkind = \"webhook\"\nurl = \"{}/pager\"\nsecret = \"pager\"\n\
             events = [\"agent.suspended\", \"agent.resumed\"]\n",
            home.path().join("data"),
            home.path().join("kek"),
            sink.url,
        );
        std::fs::write(home.path().join("chancery.toml"), text).unwrap();
        Self { home, address }
    }

    fn serve(&self) -> Serving {
        let log = std::fs::File::create(self.home.path().join("serve.log")).unwrap();
        let mut serve = command(&binary(), self.home.path(), &["serve", "--config", "chancery.toml"]);
        Serving(serve.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// The product's own command line; nothing if the server was not there for it.
    async fn run(&self, words: &[&str]) -> Option<Value> {
        let words = [&["--config", "chancery.toml", "-o", "json"], words].concat();
        let output = output(command(&binary(), self.home.path(), &words)).await;
        if output.status.success() { serde_json::from_slice(&output.stdout).ok() } else { None }
    }

    /// The entries that are to be told.
    async fn happened(&self) -> Vec<String> {
        let log = self.run(&["log", "tail", "--lines", "1000"]).await.expect("the log");
        let wanted = |entry: &&Value| entry["change"] == "suspend agent" || entry["change"] == "resume agent";
        let entries = log.as_array().expect("entries").iter().filter(wanted);
        entries.map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
    }

    async fn ready(&self) {
        let health = format!("http://{}/healthz", self.address);
        eventually("the server is ready", async || {
            tokio::net::TcpStream::connect(self.address).await.is_ok()
                && chancery_testkit::Http::new().get(&health).await.status.is_success()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_to_kill_9_and_doubles_have_one_name() {
    let kills = if size() == Size::Full { 50 } else { 6 };
    let random = Seeded::new(0x6b69_6c6c);
    let sink = WebSink::start().await;
    let installation = Installation::new(&sink).await;
    for kill in 0..kills {
        let mut serving = installation.serve();
        installation.ready().await;
        // So that some messages still wait for their second attempt when the kill comes.
        sink.answers((kill % 3 == 1).then(|| (500, None, String::new())));
        for verb in ["suspend", "resume"] {
            installation.run(&["agent", verb, "crm", "--reason", "a test"]).await;
        }
        tokio::time::sleep(Duration::from_millis(random.between(0, 120))).await;
        serving.0.kill().unwrap();
        serving.0.wait().unwrap();
    }
    let _serving = installation.serve();
    installation.ready().await;
    // The follower takes up what was written before the kill, and what failed is tried again.
    let mut log = Vec::new();
    eventually("everything is told", async || {
        log = installation.happened().await;
        log.iter().all(|id| sink.came().iter().any(|came| came.header("webhook-id") == id))
    })
    .await;
    assert!(log.len() >= kills, "{log:?}");
    let mut told: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for came in sink.came() {
        told.entry(came.header("webhook-id").to_owned()).or_default().insert(came.body.to_vec());
    }
    assert_eq!(told.len(), log.len(), "nothing else was told");
    assert!(told.values().all(|bodies| bodies.len() == 1), "one name, one message");
    println!("{kills} kills, {} entries, {} requests, none missed", log.len(), sink.came().len());
}
