//! Several `chancery serve` on one lent PostgreSQL, each a process of its own that reaches the database over a link that can
//! stall; and one program that is all of that and can be made to be wrong.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chancery_authenticate::SystemRandom;
use chancery_it::WallClock;
use chancery_lend::Postgres;
use chancery_server::{App, Config, Places};
use chancery_testkit::{Agent, Answer, Http, unix};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::promises::p1::subject::command;

/// Nothing takes longer than this.
const SOON: Duration = Duration::from_secs(30);
/// What the helper process is told by its environment.
const CONFIG: &str = "CHANCERY_TEST_NODE";
const FAULTS: &str = "CHANCERY_TEST_FAULTS";
/// The server whose times are measured, where it is not the one beside this program (`cargo xtask promises --full`).
const PROGRAM: &str = "CHANCERY_TEST_PROGRAM";

const RULES: &str = r#"
@id("connect") permit (principal, action == Action::"mcp/connect", resource is Server);
@id("agents-call") permit (principal is Agent, action in Action::"tools/call", resource);
@id("hand-on") permit (principal is Agent, action == Action::"delegate", resource is Agent);
"#;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// The program that is shipped.
    Shipped,
    /// The same rooms in this program, wrong in these ways.
    Wrong(&'static [&'static str]),
}

/// Nodes that have one URL.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) url: String,
    pub(super) database: String,
    pub(super) postgres: Postgres,
    home: TempDir,
}

/// A process that this test started. Dropping it ends it.
pub(super) struct Node {
    child: Child,
    pub(super) address: SocketAddr,
    socket: PathBuf,
    link: Link,
}

impl Cluster {
    /// So many, before these upstream servers; nothing where there is no PostgreSQL.
    pub(super) async fn start(size: usize, build: Build, servers: &[(&str, String)]) -> Option<Self> {
        let postgres = Postgres::start()?;
        let database = postgres.database();
        let home = tempfile::Builder::new().prefix("chancery-p3-").tempdir().unwrap();
        std::fs::create_dir(home.path().join("policies")).unwrap();
        std::fs::write(home.path().join("policies/rules.cedar"), RULES).unwrap();
        let mut cluster = Self { nodes: Vec::new(), url: String::new(), database, postgres, home };
        for _ in 0..size {
            cluster.join(build, servers).await;
        }
        Some(cluster)
    }

    async fn join(&mut self, build: Build, servers: &[(&str, String)]) {
        let number = self.nodes.len();
        let address = free_address();
        if number == 0 {
            self.url = format!("http://{address}");
        }
        let link = Link::open(&self.database);
        let home = self.home.path();
        let mut text = format!(
            "listen = \"{address}\"\npublic_url = \"{}\"\ndata = {:?}\nkek = {:?}\npolicies = \"policies\"\n\
             [store]\nurl = \"{}\"\n[node]\nname = \"n{number}\"\n",
            self.url,
            home.join(format!("data{number}")),
            home.join("kek"),
            link.url,
        );
        if number > 0 {
            let token = self.admin(0, "POST", "/v1/nodes/tokens", json!({})).await.ok();
            std::fs::write(home.join(format!("join{number}")), token["token"].as_str().unwrap()).unwrap();
            text += &format!("join_file = \"join{number}\"\n");
        }
        servers.iter().for_each(|(name, url)| text += &format!("[servers.{name}]\nurl = \"{url}\"\n"));
        let config = home.join(format!("node{number}.toml"));
        std::fs::write(&config, text).unwrap();
        let log = home.join(format!("node{number}.log"));
        let child = spawn(build, &config, &log);
        let socket = home.join(format!("data{number}/admin.sock"));
        let mut node = Node { child, address, socket, link };
        until("a node is ready", async || {
            if let Some(status) = node.child.try_wait().unwrap() {
                panic!("a node ended at once ({status}): {}", std::fs::read_to_string(&log).unwrap());
            }
            node.is_ready().await
        })
        .await;
        self.nodes.push(node);
    }

    /// A request to the admin socket of a node.
    pub(super) async fn admin(&self, node: usize, method: &str, path: &str, body: Value) -> Answer {
        unix(&self.nodes[node].socket, Method::from_bytes(method.as_bytes()).unwrap(), path, &body).await
    }

    /// Registers an agent and enrols a key for it, at the first node.
    pub(super) async fn agent(&self, name: &str, owner: &str, sponsor: &str) -> Agent {
        let body = json!({"name": name, "sponsor": sponsor, "owner": owner, "purpose": "is tested"});
        let made = self.admin(0, "POST", "/v1/agents", body).await.ok();
        self.enrol(name, made["enrolment"]["code"].as_str().unwrap()).await
    }

    pub(super) async fn enrol(&self, name: &str, code: &str) -> Agent {
        let place = (self.url.as_str(), self.nodes[0].address);
        let agent = Agent::enrol_at(place, (Arc::new(WallClock), Arc::new(SystemRandom)), (name, code)).await;
        self.known_everywhere().await;
        agent
    }

    /// What stops nobody need not be known at every node when it is answered.
    async fn known_everywhere(&self) {
        let behind = "SELECT COUNT(*) FROM nodes WHERE confirmed < (SELECT MAX(number) FROM feed)";
        until("every node knows", async || self.count(behind) == 0).await;
    }

    /// Throws the switch at a node.
    pub(super) async fn kill(&self, node: usize, scope: &str, subject: &str) -> Answer {
        let body = json!({"scope": scope, "subject": subject, "reason": "a test"});
        self.admin(node, "POST", "/v1/containments", body).await
    }

    /// Lets it go again, and everywhere.
    pub(super) async fn lift(&self, node: usize, id: &str) {
        let path = format!("/v1/containments/{id}/lift");
        self.admin(node, "POST", &path, json!({"reason": "the test goes on"})).await.ok();
        self.known_everywhere().await;
    }

    /// What became of the act of this intent, once that is known: its result, and why.
    pub(super) async fn became(&self, node: usize, intent: &str) -> (String, String) {
        let path = format!("/v1/decisions/{intent}");
        for _ in 0..500 {
            let found = self.admin(node, "GET", &path, Value::Null).await;
            if found.status == 200
                && let Some(ended) = found.json().get("result_of").filter(|ended| ended.is_object())
            {
                let text = |name: &str| ended[name].as_str().unwrap_or_default().to_owned();
                return (text("result"), text("detail"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ("unknown".to_owned(), String::new())
    }

    /// A number that the database knows.
    pub(super) fn count(&self, sql: &str) -> i64 {
        self.postgres.sql(&self.database, sql).trim().parse().unwrap()
    }
}

impl Node {
    pub(super) async fn is_ready(&self) -> bool {
        if TcpStream::connect(self.address).await.is_err() {
            return false;
        }
        Http::new().get(&format!("http://{}/readyz", self.address)).await.status.is_success()
    }

    pub(super) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(super) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Nothing goes over its link to the database from now on, and no end of it is told.
    pub(super) fn part(&self) {
        self.link.stalled.send_replace(true);
    }

    pub(super) fn rejoin(&self) {
        self.link.stalled.send_replace(false);
    }

    fn signal(&self, name: &str) {
        assert!(command("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already. One that is stopped is killed all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(build: Build, config: &Path, log: &Path) -> Child {
    let here = std::env::current_exe().unwrap();
    let mut serve = match build {
        Build::Shipped => {
            #[expect(clippy::disallowed_methods, reason = "a test's parameter has no other way in")]
            let named = std::env::var_os(PROGRAM).map(PathBuf::from);
            let program = named.unwrap_or_else(|| here.ancestors().nth(2).unwrap().join("chancery"));
            assert!(program.is_file(), "{} is not built: cargo build --workspace --bins", program.display());
            let mut serve = command(program);
            serve.arg("serve").arg("--config").arg(config).args(["--log", "warn"]);
            serve
        }
        Build::Wrong(faults) => {
            let mut serve = command(here);
            serve.args(["promises::p3::cluster::a_node", "--exact", "--nocapture"]);
            serve.env(CONFIG, config).env(FAULTS, faults.join(","));
            serve
        }
    };
    let log = std::fs::File::create(log).unwrap();
    serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// A node of a cluster in this program. The tests beside it start it; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node() {
    #[expect(clippy::disallowed_methods, reason = "a helper process has no other way to be told")]
    let (config, faults) = (std::env::var_os(CONFIG), std::env::var(FAULTS).unwrap_or_default());
    let Some(config) = config else { return };
    for fault in faults.split(',').filter(|fault| !fault.is_empty()) {
        let switch = match fault {
            "unleased" => &chancery_store::faults::UNLEASED,
            "hasty" => &chancery_store::faults::HASTY,
            "uncut" => &chancery_authenticate::faults::UNCUT,
            "uncontained" => &chancery_authenticate::faults::UNCONTAINED,
            other => panic!("`{other}` is no fault"),
        };
        switch.store(true, Ordering::SeqCst);
    }
    let config = PathBuf::from(config);
    let places = Places { data: config.with_extension("data"), kek: config.with_extension("kek"), path: None };
    let config = Config::read(&config, &places).unwrap();
    let app = App::start(config, Arc::new(WallClock), Arc::new(SystemRandom)).await.unwrap();
    panic!("it cannot go on: {}", app.failed().await);
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

/// The way to the database: a relay that can stop passing on, without closing anything. On a thread of its own: the calls of
/// the crowd do not delay it.
struct Link {
    url: String,
    stalled: watch::Sender<bool>,
    /// The thread ends with it.
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Link {
    fn open(database: &str) -> Self {
        let (user, rest) = database.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("{user}@{}/{name}", listener.local_addr().unwrap());
        let (stalled, watching) = watch::channel(false);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = server.to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = relay(listener, &server, watching) => {}
                    _ = ended => {}
                }
            });
        });
        Self { url, stalled, _end: end }
    }
}

async fn relay(listener: tokio::net::TcpListener, server: &str, stalled: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = TcpStream::connect(server).await else { continue };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(near_in, far_out, stalled.clone()));
        tokio::spawn(carry(far_in, near_out, stalled.clone()));
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut stalled: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer).await {
        let goes_on = stalled.wait_for(|stalled| !stalled).await.is_ok();
        if length == 0 || !goes_on || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Waits until something holds.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"));
}
