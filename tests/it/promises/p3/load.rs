//! Agents that call at every node of a cluster, at a rate that does not follow the answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chancery_testkit::Agent;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster::{Cluster, until};

pub(super) const ANN: &str = "ann@example.com";

/// Somebody who calls the same thing, in a session at each node, or in one at all.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) who: &'static str,
    pub(super) server: &'static str,
    pub(super) tool: &'static str,
    pub(super) owner: &'static str,
    agent: Agent,
    session: Session,
}

/// In which session somebody calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// In one of its own at each node.
    OfEachNode,
    /// In one that is the same at every node.
    Roaming,
    /// The same, in one that this caller handed on at the first node.
    Below(&'static str),
}

/// Everybody who calls.
pub(super) struct Crowd {
    callers: Vec<Caller>,
}

/// Them, at work.
pub(super) struct Running {
    tasks: JoinSet<()>,
    ended: Arc<AtomicBool>,
    /// How often each tried at each node, answered or not.
    tried: BTreeMap<(&'static str, usize), Arc<AtomicUsize>>,
    offered: Arc<AtomicU64>,
    since: Instant,
    /// The session of whoever has one at all nodes.
    pub(super) roaming: String,
}

impl Crowd {
    /// Two of one owner, two instances of a blueprint, one who is neither, one in one session everywhere, and one to whom
    /// others hand on.
    pub(super) async fn new(cluster: &Cluster) -> Self {
        let (bob, zoe) = ("bob@example.com", "zoe@example.com");
        let crew = json!({"name": "crew", "sponsor": zoe, "owner": bob, "purpose": "is tested"});
        cluster.admin(0, "POST", "/v1/blueprints", crew).await.ok();
        let names = json!({"names": ["crew-1", "crew-2"], "codes": true});
        let made = cluster.admin(0, "POST", "/v1/blueprints/crew/instances", names).await.ok();
        let code = |at: usize| made["items"][at]["code"].as_str().unwrap().to_owned();
        let caller = |who, (server, tool), agent, owner| Caller {
            who,
            server,
            tool,
            owner,
            agent,
            session: Session::OfEachNode,
        };
        let roaming = cluster.agent("roam", bob, zoe).await;
        let deputy = cluster.agent("deputy", bob, zoe).await;
        let below = |who, above, owner| Caller {
            session: Session::Below(above),
            ..caller(who, ("one", "other"), deputy.clone(), owner)
        };
        let callers = vec![
            caller("ann-1", ("one", "act"), cluster.agent("ann-1", ANN, zoe).await, ANN),
            // Whoever answers for it in the business is as good as its keeper.
            caller("ann-2", ("one", "other"), cluster.agent("ann-2", bob, ANN).await, ANN),
            caller("crew-1", ("two", "act"), cluster.enrol("crew-1", &code(0)).await, ""),
            caller("crew-2", ("one", "act"), cluster.enrol("crew-2", &code(1)).await, ""),
            caller("free", ("two", "other"), cluster.agent("free", bob, zoe).await, ""),
            Caller { session: Session::Roaming, ..caller("roam", ("one", "other"), roaming, "") },
            below("deputy-of-roam", "roam", ""),
            Caller { server: "one", tool: "act", ..below("deputy-of-ann-1", "ann-1", ANN) },
        ];
        Self { callers }
    }

    pub(super) fn callers(&self) -> &[Caller] {
        &self.callers
    }

    /// Each of these calls once at a node that has no lease, and is refused for that; how many did.
    pub(super) async fn refused_by(&self, node: SocketAddr, such: impl Fn(&str) -> bool) -> usize {
        let mut refused = 0;
        for caller in self.callers.iter().filter(|caller| such(caller.who)) {
            let call = json!({"name": caller.tool, "arguments": {"who": caller.who, "node": 0}});
            let answer = caller.agent.at_node(node).rpc(caller.server, "tools/call", call).await;
            assert!(answer.text().contains("C5010"), "{}: {}", answer.status, answer.text());
            refused += 1;
        }
        refused
    }

    /// Sets all of them to work in fresh sessions, `rate` calls a second in all, by so many hands at each node.
    pub(super) async fn run(&self, cluster: &Cluster, rate: u32, hands: usize) -> Running {
        let mut tried = BTreeMap::new();
        let mut places = Vec::new();
        let mut roaming = String::new();
        let mut homes = BTreeMap::new();
        for caller in &self.callers {
            let home = caller.agent.at_node(cluster.nodes[0].address);
            let mut handed = None;
            match caller.session {
                Session::OfEachNode => {}
                Session::Roaming => {
                    home.token(&home.mcp(caller.server)).await;
                    roaming = home.sid(caller.server).await;
                }
                Session::Below(above) => {
                    let above: &Agent = &homes[above];
                    handed = Some(above.hand_on(&home, caller.server, "stands in").await);
                }
            }
            for (node, place) in cluster.nodes.iter().enumerate() {
                let count = Arc::clone(tried.entry((caller.who, node)).or_insert_with(Arc::<AtomicUsize>::default));
                for _ in 0..hands {
                    let agent = home.at_node(place.address);
                    let agent = match (caller.session, &handed) {
                        (Session::Roaming, _) => agent.within(caller.server, &roaming).await,
                        (_, Some(issued)) => agent.holding(caller.server, issued).await,
                        _ => agent,
                    };
                    places.push((Caller { agent, ..caller.clone() }, node, Arc::clone(&count)));
                }
            }
            homes.insert(caller.who, home);
        }
        let (ended, offered, since) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), now());
        let mut tasks = JoinSet::new();
        for (caller, node, count) in places {
            let (ended, offered) = (Arc::clone(&ended), Arc::clone(&offered));
            tasks.spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    // The next call is due when it is due, however long the one before took.
                    let turn = offered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep_until(since + Duration::from_secs(1) * turn as u32 / rate).await;
                    let arguments = json!({"who": caller.who, "node": node});
                    let call = json!({"name": caller.tool, "arguments": arguments});
                    caller.agent.rpc(caller.server, "tools/call", call).await;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Running { tasks, ended, tried, offered, since, roaming }
    }
}

#[expect(clippy::disallowed_methods, reason = "the pace of the calls is real time")]
fn now() -> Instant {
    Instant::now()
}

impl Running {
    /// Waits until everybody whom it concerns has tried so often from now on, at these nodes; how often they did.
    pub(super) async fn try_again(&self, times: usize, such: impl Fn(&str, usize) -> bool) -> usize {
        let concerned: Vec<_> = self.tried.iter().filter(|((who, node), _)| such(who, *node)).collect();
        let before: Vec<usize> = concerned.iter().map(|(_, tried)| tried.load(Ordering::SeqCst)).collect();
        let now = || concerned.iter().map(|(_, tried)| tried.load(Ordering::SeqCst));
        until("everybody tries again", async || now().zip(&before).all(|(now, before)| now >= before + times)).await;
        now().zip(&before).map(|(now, before)| now - before).sum()
    }

    /// Ends it; how many calls were due a second.
    pub(super) async fn end(mut self) -> f64 {
        self.ended.store(true, Ordering::SeqCst);
        let rate = self.offered.load(Ordering::SeqCst) as f64 / self.since.elapsed().as_secs_f64();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        rate
    }
}
