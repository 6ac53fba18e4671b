//! (d) The whole server: agents call a tool through `chancery serve` while it is killed, or while the power is cut.
//! What the upstream was asked to do is a subset of the intents in the verified log.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use chancery_it::{Seeded, WallClock};
use chancery_model::{ActResult, DecisionId, Kind, Position};
use chancery_testkit::{Agent, Http, HttpUpstream, TestApp};
use serde_json::json;
use tempfile::TempDir;

use super::power::{Disk, NO_SYNCS, disk_or_skip, strace_or_skip};
use super::subject::command;
use super::{Claim, Seen, seeded, verify};
use crate::promises::{Size, size};

/// Each upstream request names its intent.
const INTENT: &str = "chancery-intent";
const INTENDED: Claim =
    Claim { name: |entry| (entry.draft.kind == Kind::Intent).then(|| DecisionId(entry.header.position).to_string()) };

const CALLERS: usize = 8;
/// Steps of 10 ms in which something must have happened.
const PATIENCE: u32 = 3_000;

/// An installation with an upstream that remembers everything it was asked, whatever becomes of the server.
pub(crate) struct Installation {
    pub(crate) home: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) upstream: HttpUpstream,
    pub(crate) agents: Vec<Agent>,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// The server's own process. Dropping it ends it.
pub(crate) struct Serving(Child);

impl Serving {
    /// Tells it to stop, and waits until it did.
    pub(crate) fn end_in_order(mut self) {
        assert!(command("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        wait_until("the server stops", || self.0.try_wait().unwrap().is_some());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if done() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within 30 seconds");
}

/// An address that stays ours while nobody listens there: below the ports that outgoing connections and listeners on
/// port 0 are given, or a stranger could have taken it by the time the server comes back.
pub(crate) fn lasting_address() -> SocketAddr {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (start..start + 2_000).find(free).expect("a free port below 32,000");
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Installation {
    /// Registers an agent that may use the upstream's tools, in order; then the server is stopped.
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = lasting_address();
        let (home, upstream, agents) = runtime.block_on(async {
            let upstream = HttpUpstream::start().await;
            let builder = TestApp::builder().http("crm", &upstream).clock(Arc::new(WallClock));
            let app = builder.config(|config| config.listen = address).start().await;
            let agent = app.agent("worker").await;
            app.grant("worker", "crm").await;
            assert!(agent.tools("crm").await.contains(&"echo".to_owned()));
            let agents = (0..CALLERS).map(|_| agent.at(&app)).collect();
            (app.stop().await, upstream, agents)
        });
        let data = home.path().join("data");
        Self { home, data, address, upstream, agents, runtime }
    }

    /// From now on the data is on this disk.
    fn move_to(&mut self, disk: &Disk) {
        let data = disk.mount_point().join("data");
        std::fs::create_dir(&data).unwrap();
        for file in std::fs::read_dir(&self.data).unwrap() {
            let path = file.unwrap().path();
            let copy = data.join(path.file_name().unwrap());
            if path.is_file() {
                std::fs::copy(&path, &copy).unwrap();
                std::fs::File::open(&copy).unwrap().sync_all().unwrap();
            }
        }
        std::fs::File::open(&data).unwrap().sync_all().unwrap();
        std::fs::File::open(disk.mount_point()).unwrap().sync_all().unwrap();
        self.data = data;
    }

    /// `chancery serve`, behind a wrapper if there is one, ready to answer.
    pub(crate) fn serve(&self, wrapper: &[&str]) -> Serving {
        let config = self.home.path().join("chancery.toml");
        let kek = self.home.path().join("kek");
        let text = format!(
            "listen = \"{}\"\ndata = {:?}\nkek = {kek:?}\npolicies = \"policies\"\n[servers.crm]\nurl = \"{}\"\n",
            self.address,
            self.data,
            self.upstream.url()
        );
        std::fs::write(&config, text).unwrap();
        let program = binary();
        let words: Vec<&Path> = wrapper.iter().map(Path::new).chain([program.as_path()]).collect();
        let mut serve = command(words[0]);
        serve.args(&words[1..]).arg("serve").arg("--config").arg(&config);
        let words = self.home.path().join("serve.log");
        let log = std::fs::File::create(&words).unwrap();
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut serving = Serving(serve.spawn().unwrap());
        wait_until("`chancery serve` is ready", || {
            if let Some(status) = serving.0.try_wait().unwrap() {
                panic!("`chancery serve` ended at once ({status}): {}", std::fs::read_to_string(&words).unwrap());
            }
            TcpStream::connect(self.address).is_ok()
        });
        // The port is there before the doors are open: an answer says that the log was looked through.
        self.runtime.block_on(Http::new().get(&format!("http://{}/healthz", self.address)));
        serving
    }

    /// All agents call at once, without end, until `ending` has ended the server.
    fn call_while(&self, ending: impl FnOnce()) {
        let before = self.upstream.calls().len();
        let calls: Vec<_> = self.agents.iter().cloned().map(|agent| self.runtime.spawn(call(agent))).collect();
        wait_until("the upstream is called", || self.upstream.calls().len() > before);
        ending();
        // Calls to a server that is gone end by themselves, with an error; nobody needs it.
        calls.iter().for_each(|call| call.abort());
    }

    /// Every intent the upstream was shown so far. A call without one is a breach at once.
    pub(crate) fn seen(&self) -> Result<Seen, String> {
        let calls = self.upstream.calls();
        let seen: Option<Seen> = calls.iter().map(|call| Some((call.header(INTENT)?.to_owned(), None))).collect();
        let seen = seen.ok_or("the upstream was called without an intent")?;
        if seen.len() < calls.len() {
            return Err(format!("{} calls under {} intents", calls.len(), seen.len()));
        }
        Ok(seen)
    }

    /// Every intent in the log, with what became of it.
    pub(crate) fn outcomes(&self) -> BTreeMap<Position, Option<ActResult>> {
        let mut outcomes = BTreeMap::new();
        verify(&self.data, |entry| match (entry.draft.kind, entry.draft.closes) {
            (Kind::Intent, _) => drop(outcomes.insert(entry.header.position, None)),
            (Kind::Outcome, Some(intent)) => drop(outcomes.insert(intent, entry.draft.result)),
            _ => {}
        })
        .unwrap();
        outcomes
    }

    fn left_open(&self) -> Vec<Position> {
        self.outcomes().into_iter().filter(|(_, result)| result.is_none()).map(|(intent, _)| intent).collect()
    }
}

async fn call(agent: Agent) {
    for n in 0u64.. {
        agent.call("crm", "echo", json!({"text": n.to_string()})).await;
    }
}

/// The product's binary, which is built beside these tests.
fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("chancery");
    assert!(path.is_file(), "{} is not there: build the whole workspace with all its targets", path.display());
    path
}

fn a_moment(random: &Seeded) {
    sleep(Duration::from_micros(random.between(10_000, 300_000)));
}

#[test]
fn no_call_reaches_the_upstream_without_its_intent_when_the_server_is_killed() {
    let kills = if size() == Size::Full { 1_000 } else { 20 };
    let random = seeded("kill -9 of the server");
    let installation = Installation::new();
    let mut unknown = Vec::new();
    for kill in 1..=kills {
        let mut serving = installation.serve(&[]);
        installation.call_while(|| {
            a_moment(&random);
            serving.0.kill().unwrap();
            serving.0.wait().unwrap();
        });
        let seen = installation.seen().unwrap();
        INTENDED.check(&installation.data, &seen).unwrap_or_else(|breach| panic!("kill {kill}: {breach}"));
        unknown.extend(installation.left_open());
    }
    // The next start says of each that nobody knows. It ends in order, for its own listing of tools is an intent too.
    installation.serve(&[]).end_in_order();
    let outcomes = installation.outcomes();
    assert!(!unknown.is_empty(), "no kill left an intent open: nothing was tried");
    assert!(unknown.iter().all(|intent| outcomes[intent] == Some(ActResult::Indeterminate)));
    assert!(outcomes.values().all(Option::is_some), "an intent was dropped in silence");
    let called = installation.seen().unwrap().len();
    println!(
        "promise P1 server, kill -9: {kills} kills, {called} upstream calls, each with its intent in the verified log; \
         {} intents of unknown outcome, all listed as indeterminate",
        unknown.len()
    );
}

/// Cuts the power under a serving server; returns the upstream calls before the last cut, and the breach.
fn cut_while_serving(mut disk: Disk, cuts: u32, wrapper: &[&str]) -> Result<(usize, Option<String>), String> {
    let random = seeded("power cuts under the server");
    let mut installation = Installation::new();
    installation.move_to(&disk);
    let mut called = 0;
    for _ in 0..cuts {
        let (mut serving, switch) = (installation.serve(wrapper), disk.switch()?);
        let mut seen = Ok(Seen::new());
        installation.call_while(|| {
            a_moment(&random);
            seen = installation.seen();
            switch.cut().unwrap();
            // It cannot write any more: it refuses everything and ends.
            wait_until("the server gives up", || serving.0.try_wait().unwrap().is_some());
        });
        let seen = seen?;
        called = seen.len();
        disk = disk.come_back()?;
        if let Err(breach) = INTENDED.check(&installation.data, &seen) {
            return Ok((called, Some(breach)));
        }
    }
    Ok((called, None))
}

#[test]
fn no_call_reaches_the_upstream_without_its_intent_when_the_power_is_cut() {
    let cuts = if size() == Size::Full { 50 } else { 3 };
    let Some(disk) = disk_or_skip("xfs", cuts.into()) else { return };
    let (called, breach) = cut_while_serving(disk, cuts, &[]).unwrap();
    assert_eq!(breach, None);
    println!("promise P1 server, power: {cuts} power cuts, {called} upstream calls, each with its intent in the log");
}

#[test]
fn a_server_whose_syncs_do_nothing_would_be_noticed() {
    let Some(disk) = disk_or_skip("ext4", 3) else { return };
    if !strace_or_skip("negative control of the power cuts under the server") {
        return;
    }
    let (called, breach) = cut_while_serving(disk, 3, &NO_SYNCS).unwrap();
    let breach = breach.expect("3 power cuts did not show that nothing was synced");
    println!("promise P1 server, negative control: breach after {called} upstream calls ({breach})");
}
