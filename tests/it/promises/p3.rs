//! P3 on one node: after a kill is acknowledged, nothing that it covers reaches an upstream.
//!
//! Many callers under load, through the whole server, at upstreams that write down what arrives: agents, instances of a
//! blueprint, agents of one owner, and a chain of delegation. The switch is thrown in the middle of it, for each of its
//! scopes. The log has one order, which is compared with what arrived: whatever was recorded after the containment must
//! not have arrived at all, and whatever arrives after the acknowledgement was written to its connection before it.

mod cluster;
mod cost;
mod incidents;
mod late;
mod load;
mod pushed;
mod three;
mod upstream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use chancery_authenticate::faults::{HURRIED, UNCONTAINED, UNCUT};
use chancery_it::WallClock;
use chancery_model::{Clock, DecisionId, Timestamp};
use chancery_server::Transport;
use chancery_testkit::{Agent, Answer, TestApp};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::p7::rng::Rng;
use super::{Size, size};
use crate::oauth::chain::{Chain, sid_of};

/// Nothing takes longer than this.
const SOON: Duration = Duration::from_secs(20);

/// A call that an upstream saw.
struct Arrival {
    who: String,
    intent: u64,
    at: Timestamp,
}

#[derive(Default)]
struct Seen(Mutex<Vec<Arrival>>);

async fn answer(State(seen): State<Arc<Seen>>, headers: HeaderMap, Json(message): Json<Value>) -> Response {
    let at = WallClock.now();
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        "tools/list" => json!({"tools": [tool("act"), tool("other")]}),
        "tools/call" => {
            let intent: DecisionId = headers["chancery-intent"].to_str().unwrap().parse().unwrap();
            let who = message["params"]["arguments"]["who"].as_str().unwrap().to_owned();
            seen.0.lock().unwrap().push(Arrival { who, intent: intent.0.seq, at });
            json!({"content": [], "resultType": "complete"})
        }
        _ => return http::StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

async fn upstream(seen: &Arc<Seen>) -> Transport {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Transport::Http(url)
}

/// Who calls what, again and again.
#[derive(Clone)]
struct Caller {
    who: &'static str,
    server: &'static str,
    tool: &'static str,
    agent: Agent,
    /// The token of its place in the chain; without one it acts for itself.
    token: Option<String>,
    owner: &'static str,
    tried: Arc<AtomicUsize>,
}

/// Which throw of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    Agent,
    Ancestor,
    Owner,
    Blueprint,
    Session,
    Tool,
    Server,
    Everything,
}

const KILLS: [Kill; 8] = [
    Kill::Agent,
    Kill::Ancestor,
    Kill::Owner,
    Kill::Blueprint,
    Kill::Session,
    Kill::Tool,
    Kill::Server,
    Kill::Everything,
];

impl Kill {
    fn covers(self, caller: &Caller) -> bool {
        match self {
            Self::Agent => caller.who == "ann-1",
            Self::Ancestor => ["worker", "clerk"].contains(&caller.who),
            Self::Owner => caller.owner == "ann@example.com",
            Self::Blueprint => caller.who.starts_with("crew-"),
            Self::Session => caller.token.is_some(),
            Self::Tool => (caller.server, caller.tool) == ("one", "act"),
            Self::Server => caller.server == "two",
            Self::Everything => true,
        }
    }

    fn body(self, root: &str) -> Value {
        let (scope, subject) = match self {
            Self::Agent => ("agent", "ann-1"),
            Self::Ancestor => ("agent", "worker"),
            Self::Owner => ("owner", "ann@example.com"),
            Self::Blueprint => ("blueprint", "crew"),
            Self::Session => ("session", root),
            Self::Tool => ("tool", "one/act"),
            Self::Server => ("server", "two"),
            Self::Everything => ("everything", ""),
        };
        json!({"scope": scope, "subject": subject, "reason": "a test"})
    }
}

#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    /// Calls that arrived before the switch was thrown, of those whom it covers.
    before: usize,
    /// Attempts after the acknowledgement, of those whom it covers.
    refused: usize,
    /// What was written to a connection before the acknowledgement and read after it.
    in_doubt: usize,
    cut: usize,
    took: Vec<i64>,
}

struct World {
    chain: Arc<Chain>,
    seen: Arc<Seen>,
    singles: Vec<Caller>,
    rng: Rng,
    tally: Tally,
}

/// Agents that act for themselves: two of one owner, two instances of a blueprint, and one that is neither.
async fn singles(app: &TestApp) -> Vec<Caller> {
    let register = async |name: &'static str, owner: &'static str, sponsor: &'static str| {
        let body = json!({"name": name, "sponsor": sponsor, "owner": owner, "purpose": "is tested"});
        let made = app.admin("POST", "/v1/agents", body).await.ok();
        Agent::enrol(app, name, made["enrolment"]["code"].as_str().unwrap()).await
    };
    let ann = "ann@example.com";
    let crew =
        json!({"name": "crew", "sponsor": "zoe@example.com", "owner": "bob@example.com", "purpose": "is tested"});
    app.admin("POST", "/v1/blueprints", crew).await.ok();
    let names = json!({"names": ["crew-1", "crew-2"], "codes": true});
    let made = app.admin("POST", "/v1/blueprints/crew/instances", names).await.ok();
    let code = |at: usize| made["items"][at]["code"].as_str().unwrap().to_owned();
    let caller = |who, (server, tool), agent, owner| Caller {
        who,
        server,
        tool,
        agent,
        token: None,
        owner,
        tried: Arc::default(),
    };
    vec![
        caller("ann-1", ("one", "act"), register("ann-1", ann, "zoe@example.com").await, ann),
        // Whoever answers for it in the business is as good as its keeper.
        caller("ann-2", ("one", "other"), register("ann-2", "bob@example.com", ann).await, ann),
        caller("crew-1", ("two", "act"), Agent::enrol(app, "crew-1", &code(0)).await, ""),
        caller("crew-2", ("one", "act"), Agent::enrol(app, "crew-2", &code(1)).await, ""),
        caller("free", ("two", "other"), register("free", "bob@example.com", "zoe@example.com").await, ""),
    ]
}

impl Caller {
    async fn calls(&self, chain: &Chain) -> Answer {
        let arguments = json!({"who": self.who});
        match &self.token {
            Some(token) => chain.call(&self.agent, token, (self.server, self.tool), arguments).await,
            None => self.agent.rpc(self.server, "tools/call", json!({"name": self.tool, "arguments": arguments})).await,
        }
    }

    async fn loops(self, chain: Arc<Chain>, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::SeqCst) {
            self.calls(&chain).await;
            self.tried.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let seen = Arc::new(Seen::default());
        let (one, two) = (upstream(&seen).await, upstream(&seen).await);
        let builder = TestApp::builder().server("one", one, None).server("two", two, None).clock(Arc::new(WallClock));
        let chain = Chain::with(builder).await;
        let singles = singles(&chain.flow.app).await;
        Self { chain: Arc::new(chain), seen, singles, rng: Rng::new(seed), tally: Tally::default() }
    }

    /// Everybody, each in a session of their own, and a chain of three below a person's yes; the session at its root.
    async fn callers(&mut self) -> (Vec<Caller>, String) {
        let chain = Arc::get_mut(&mut self.chain).expect("nobody calls any more");
        let root = chain.root_at("one").await;
        let (helper, worker, clerk) = (chain.helper().clone(), chain.worker.clone(), chain.clerk.clone());
        let second = chain.hand_on((&helper, &worker), &root, "one", "work").await;
        let third = chain.hand_on((&worker, &clerk), &second, "one", "work").await;
        let of = |who, (server, tool), agent, token: &str| {
            let token = Some(token.to_owned());
            Caller { who, server, tool, agent, token, owner: "", tried: Arc::default() }
        };
        let app = &chain.flow.app;
        let fresh = |caller: &Caller| Caller { agent: caller.agent.at(app), tried: Arc::default(), ..caller.clone() };
        let mut callers: Vec<Caller> = self.singles.iter().map(fresh).collect();
        callers.push(of("helper", ("one", "act"), helper, &root));
        callers.push(of("worker", ("one", "other"), worker, &second));
        callers.push(of("clerk", ("one", "act"), clerk, &third));
        (callers, sid_of(&root))
    }

    /// One throw of the switch under load. What is wrong, if anything is.
    async fn throw(&mut self, kill: Kill) -> Result<(), String> {
        let (callers, root) = self.callers().await;
        let covered: Vec<&Caller> = callers.iter().filter(|caller| kill.covers(caller)).collect();
        let names: Vec<&str> = covered.iter().map(|caller| caller.who).collect();
        self.seen.0.lock().unwrap().clear();
        let (stop, mut running) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for caller in &callers {
            running.spawn(caller.clone().loops(self.chain.clone(), stop.clone()));
        }
        let arrived = |who: &str| self.seen.0.lock().unwrap().iter().filter(|arrival| arrival.who == who).count();
        until("everybody calls", || callers.iter().all(|caller| arrived(caller.who) >= 3)).await;
        let moment = Duration::from_micros(self.rng.below(5_000) as u64);
        tokio::time::sleep(moment).await;

        let thrown = self.chain.flow.app.admin("POST", "/v1/containments", kill.body(&root)).await;
        let acknowledged = WallClock.now();
        let thrown =
            if thrown.status == 200 { thrown.json() } else { return self.end(stop, running, thrown.text()).await };
        let before: BTreeMap<&str, usize> =
            callers.iter().map(|caller| (caller.who, caller.tried.load(Ordering::SeqCst))).collect();
        // Whoever is stopped goes on trying, and whoever is not goes on.
        let again = |caller: &Caller| caller.tried.load(Ordering::SeqCst) >= before[caller.who] + 4;
        until("everybody tries again", || callers.iter().all(again)).await;
        stop.store(true, Ordering::SeqCst);
        while running.join_next().await.is_some() {}

        let entry: DecisionId = thrown["entry"].as_str().unwrap().parse().unwrap();
        let judged = self.judge(kill, (&names, entry.0.seq, acknowledged), &thrown);
        let lifted = format!("/v1/containments/{}/lift", thrown["id"].as_str().unwrap());
        self.chain.flow.app.admin("POST", &lifted, json!({"reason": "the test goes on"})).await.ok();
        let tried = covered.iter().map(|caller| caller.tried.load(Ordering::SeqCst) - before[caller.who]);
        self.tally.refused += tried.sum::<usize>();
        judged
    }

    async fn end(&self, stop: Arc<AtomicBool>, mut running: JoinSet<()>, why: String) -> Result<(), String> {
        stop.store(true, Ordering::SeqCst);
        while running.join_next().await.is_some() {}
        Err(why)
    }

    fn judge(
        &mut self,
        kill: Kill,
        (covered, entry, acknowledged): (&[&str], u64, Timestamp),
        thrown: &Value,
    ) -> Result<(), String> {
        let seen = std::mem::take(&mut *self.seen.0.lock().unwrap());
        let of_covered: Vec<&Arrival> = seen.iter().filter(|arrival| covered.contains(&arrival.who.as_str())).collect();
        let after = of_covered.iter().filter(|arrival| arrival.intent > entry).count();
        let late = of_covered.iter().filter(|arrival| arrival.at > acknowledged).count();
        let cut = thrown["confirmations"].as_array().unwrap().iter().find(|point| point["point"] == "calls").unwrap();
        let cut = cut["stopped"].as_u64().unwrap() as usize;
        if after > 0 || late > cut {
            return Err(format!("{kill:?}: {after} calls arrived that were recorded after it, {late} late, {cut} cut"));
        }
        if seen.iter().filter(|arrival| arrival.at > acknowledged).count() == late && kill != Kill::Everything {
            return Err(format!("{kill:?} stopped those whom it does not concern"));
        }
        self.tally.kills += 1;
        self.tally.before += of_covered.len() - late;
        self.tally.in_doubt += late;
        self.tally.cut += cut;
        self.tally.took.push(thrown["took_us"].as_i64().unwrap());
        Ok(())
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"));
}

fn rounds() -> usize {
    match size() {
        Size::Small => 7,
        Size::Full => 125,
    }
}

fn percentile(sorted: &[i64], share: usize) -> i64 {
    sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_acknowledgement_of_a_kill_nothing_of_it_reaches_an_upstream() {
    let seed = super::p7::seed();
    let mut world = World::new(seed).await;
    for round in 0..rounds() {
        for kill in KILLS {
            world.throw(kill).await.unwrap_or_else(|breach| panic!("seed {seed}, round {round}: {breach}"));
        }
    }
    let Tally { kills, before, refused, in_doubt, cut, mut took } = world.tally;
    took.sort_unstable();
    assert!(refused >= kills && before > kills, "they tried");
    println!(
        "promise P3 on one node: {kills} kills of 8 kinds under load (seed {seed}); {before} calls arrived before, of \
         {refused} attempts after the acknowledgement 0 arrived; {cut} calls were cut, {in_doubt} of them read by the \
         upstream after the acknowledgement; acknowledged after {} / {} / {} us (p50, p99, longest)",
        percentile(&took, 50),
        percentile(&took, 99),
        took.last().unwrap()
    );
}

/// The negative control of each kind: a door that does not look is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_does_not_look_at_what_is_contained_is_noticed() {
    let mut world = World::new(super::p7::seed()).await;
    UNCONTAINED.store(true, Ordering::SeqCst);
    for kill in KILLS {
        let breach = world.throw(kill).await.expect_err("nobody was stopped");
        println!("promise P3 on one node, control: {breach}");
    }
}

/// The negative control of the last moment: without a second look, and without cutting, what was looked at before the kill
/// goes out after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_looks_only_once_is_noticed() {
    let mut world = World::new(super::p7::seed()).await;
    HURRIED.store(true, Ordering::SeqCst);
    UNCUT.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        for kill in [Kill::Everything, Kill::Tool, Kill::Server] {
            if let Err(breach) = world.throw(kill).await {
                println!("promise P3 on one node, control of the last look: {breach}");
                return;
            }
        }
    }
    panic!("nothing went out");
}
