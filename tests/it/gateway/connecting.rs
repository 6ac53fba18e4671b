//! The MCP conformance suite against our OAuth client: its `auth` scenarios, each with a whole server of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::peers::{command, directory, node, output};

/// The scenarios about authorization in the installed version of the suite.
const SCENARIOS: usize = 33;
/// Scenarios at a time.
const LANES: usize = 4;
/// Milliseconds for one of them on a busy machine.
const PATIENCE: &str = "60000";
const STATELESS: &str = "2026-07-28";

/// What became of one scenario.
struct Outcome {
    scenario: String,
    passed: usize,
    /// Failed checks and warnings.
    wrong: Vec<String>,
    /// The suite's own verdict, which also counts how the client ended.
    content: bool,
}

impl Outcome {
    fn good(&self) -> bool {
        self.content && self.passed > 0 && self.wrong.is_empty()
    }
}

fn suite(peers: &Path) -> String {
    peers.join("node_modules/@modelcontextprotocol/conformance/dist/index.js").display().to_string()
}

/// Names of scenarios, with the revisions they belong to.
async fn scenarios(peers: &Path) -> Vec<(String, String)> {
    let said = output(command(&node(peers), peers, &[&suite(peers), "list"])).await;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once(' '));
    lines.filter(|(name, _)| name.starts_with("auth/")).map(|(name, of)| (name.to_owned(), of.to_owned())).collect()
}

async fn run(peers: PathBuf, scenario: String, revision: Option<&'static str>) -> Outcome {
    let to = tempfile::tempdir().unwrap();
    let (suite, to_text) = (suite(&peers), to.path().display().to_string());
    let client = env!("CARGO_BIN_EXE_chancery-conformance-client");
    let mut arguments = vec![&*suite, "client", "--command", client, "--scenario", &scenario, "--timeout", PATIENCE];
    arguments.extend(["--output-dir", &to_text]);
    if let Some(revision) = revision {
        arguments.extend(["--spec-version", revision]);
    }
    let said = output(command(&node(&peers), &peers, &arguments)).await;
    let checks = checks(to.path());
    let of = |status: &'static str| checks.iter().filter(move |check| check["status"] == status);
    let wrong = of("FAILURE").chain(of("WARNING")).map(|check| format!("{} {}", check["id"], check["description"]));
    let (passed, wrong) = (of("SUCCESS").count(), wrong.collect());
    let scenario = format!("{scenario} {}", revision.unwrap_or_default()).trim().to_owned();
    Outcome { scenario, passed, wrong, content: said.status.success() }
}

fn checks(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match std::fs::read_to_string(path.join("checks.json")) {
            Ok(text) => found.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap()),
            Err(_) if path.is_dir() => found.extend(checks(&path)),
            Err(_) => {}
        }
    }
    found
}

/// Runs them a few at a time, in their order.
async fn all(peers: &Path, scenarios: Vec<String>, revision: Option<&'static str>) -> Vec<Outcome> {
    let lanes = Arc::new(Semaphore::new(LANES));
    let running = scenarios.into_iter().map(|scenario| {
        let (peers, lanes) = (peers.to_owned(), lanes.clone());
        tokio::spawn(async move {
            let _lane = lanes.acquire().await.unwrap();
            run(peers, scenario, revision).await
        })
    });
    let mut outcomes = Vec::new();
    for running in running.collect::<Vec<_>>() {
        outcomes.push(running.await.unwrap());
    }
    outcomes
}

fn said(outcomes: &[Outcome]) -> String {
    let checks: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    let wrong: usize = outcomes.iter().map(|outcome| outcome.wrong.len()).sum();
    let good = outcomes.iter().filter(|outcome| outcome.good()).count();
    format!("{good} of {} scenarios, {checks} of {} checks", outcomes.len(), checks + wrong)
}

/// No expected failures: every scenario of the suite about clients' authorization, extensions and the oldest revision
/// included, each at its own revision; and those of 2025-11-25 at 2026-07-28 again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_of_the_suite_for_oauth_clients_passes() {
    let Some(peers) = directory("MCP conformance of our OAuth client") else { return };
    let listed = scenarios(&peers).await;
    assert_eq!(listed.len(), SCENARIOS, "{listed:?}");
    let both = listed.iter().filter(|(_, of)| of.contains("2025-11-25") && of.contains(STATELESS));
    let both = both.map(|(name, _)| name.clone()).collect();
    let own = all(&peers, listed.into_iter().map(|(name, _)| name).collect(), None).await;
    let later = all(&peers, both, Some(STATELESS)).await;
    println!("conformance of our OAuth client: {}; at {STATELESS} again: {}", said(&own), said(&later));
    for outcome in own.iter().chain(&later) {
        println!("{} {}: {} checks", if outcome.good() { "good" } else { "bad" }, outcome.scenario, outcome.passed);
    }
    let bad: Vec<_> = own.iter().chain(&later).filter(|outcome| !outcome.good()).collect();
    let bad: Vec<_> = bad.iter().map(|outcome| format!("{}: {:?}", outcome.scenario, outcome.wrong)).collect();
    assert_eq!(bad, Vec::<String>::new());
}
