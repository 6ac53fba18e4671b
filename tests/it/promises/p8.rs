//! P8 at the door: whatever a chain is let do, everybody in it may do by themselves.
//!
//! Random rights (policies with bounds, forbids, grants of both modes) for agents and people, and random chains made by
//! token exchange over HTTP: people and agents at the root, tasks, hand-overs. Every token calls every tool with every
//! amount, through the whole server. A model beside it knows the rights as rows and the chain as a list; the door must let
//! through exactly what each agent of the chain may, the person may, and every task covers.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::Ordering;

use chancery_authorize::faults::ALONE;
use chancery_testkit::{Agent, Answer, Browser, TestApp};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::p7::rng::Rng;
use super::{Size, size};
use crate::oauth::chain::{ACCESS, Chain, sid_of, token_of};
use crate::oauth::client::with;

/// Tools of both servers, and the argument that is bounded.
const TOOLS: [(&str, &str); 2] = [("add", "a"), ("refund", "amount")];
const SERVERS: [&str; 2] = ["crm", "billing"];
const AMOUNTS: [i64; 3] = [1, 5, 10];
const PEOPLE: [&str; 2] = ["mara@example.com", "noa@example.com"];
/// The first is the one that people let act.
const AGENTS: [&str; 4] = ["helper", "worker", "clerk", "scout"];
/// Graphs until everybody gets other rights.
const GRAPHS: usize = 10;

/// One act at one server: tool, amount.
type Act = (usize, i64);

fn everything() -> BTreeSet<Act> {
    (0..TOOLS.len()).flat_map(|tool| AMOUNTS.map(|amount| (tool, amount))).collect()
}

/// A row of somebody's rights.
#[derive(Debug)]
struct Right {
    agent: bool,
    who: usize,
    server: usize,
    tool: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Up to this amount.
    Permit(i64),
    /// Above this amount not.
    Forbid(i64),
    /// By a grant that counts for an agent that acts for itself.
    Itself,
    /// By a grant that counts in a person's name.
    InTheName,
}

/// A token as the model knows it.
struct Known {
    token: String,
    human: Option<usize>,
    agents: Vec<usize>,
    may: BTreeSet<Act>,
}

#[derive(Debug, Default)]
struct Tally {
    graphs: usize,
    tokens: usize,
    calls: usize,
    allowed: usize,
    /// The agent that acts might have, and somebody else of the chain not.
    narrowed: usize,
    deepest: usize,
}

struct Estate {
    chain: Chain,
    agents: Vec<Agent>,
    browsers: Vec<Browser>,
    rights: Vec<Right>,
    grants: Vec<String>,
    rng: Rng,
    tally: Tally,
}

impl Estate {
    async fn new(seed: u64) -> Self {
        let rules = r#"@id("hand-on") permit (principal is Agent, action == Action::"delegate", resource is Agent);"#;
        let mut chain = Chain::with(TestApp::builder()).await;
        chain.flow.app.write_policy("chain.cedar", rules);
        let mut agents = vec![chain.helper().clone(), chain.worker.clone(), chain.clerk.clone()];
        agents.push(chain.flow.app.agent(AGENTS[3]).await);
        let browsers = vec![chain.flow.browser.clone(), Browser::of_person(&chain.flow.app, PEOPLE[1]).await];
        chain.flow.browser = browsers[0].clone();
        let (rights, grants) = (Vec::new(), Vec::new());
        Self { chain, agents, browsers, rights, grants, rng: Rng::new(seed), tally: Tally::default() }
    }

    fn app(&self) -> &TestApp {
        &self.chain.flow.app
    }

    /// Everybody gets other rights, in the server and in the model.
    async fn deal(&mut self) {
        for grant in std::mem::take(&mut self.grants) {
            self.app().admin("DELETE", &format!("/v1/grants/{grant}"), Value::Null).await.ok();
        }
        self.rights.clear();
        for (agent, count) in [(true, AGENTS.len()), (false, PEOPLE.len())] {
            for (who, server, tool) in (0..count * 4).map(|n| (n / 4, n / 2 % 2, n % 2)) {
                for kind in kinds(&mut self.rng, agent) {
                    self.rights.push(Right { agent, who, server, tool, kind });
                }
            }
        }
        let mut text = String::new();
        for (number, right) in self.rights.iter().enumerate() {
            match right.policy(number) {
                Some(policy) => text.write_str(&policy).unwrap(),
                None => self.grants.push(self.grant(right).await),
            }
        }
        self.app().write_policy("rights.cedar", &text);
        self.app().admin("POST", "/v1/policies/reload", json!({})).await.ok();
    }

    async fn grant(&self, right: &Right) -> String {
        let mode = if right.kind == Kind::Itself { "autonomous" } else { "on_behalf_of" };
        let (server, tool) = (SERVERS[right.server], TOOLS[right.tool].0);
        let grant = json!({
            "template": "use-tool", "principal": right.principal(), "resource": format!("Tool::\"{server}/{tool}\""),
            "mode": mode, "justification": "a test",
        });
        let made = self.app().admin("POST", "/v1/grants", grant).await.ok();
        made["id"].as_str().unwrap().to_owned()
    }

    /// What the rows say of one of them, asked by themselves.
    fn may(&self, (agent, who): (bool, usize), server: usize, (tool, amount): Act, in_a_name: bool) -> bool {
        let own = || self.rights.iter().filter(|r| (r.agent, r.who, r.server, r.tool) == (agent, who, server, tool));
        let permits = |right: &Right| match right.kind {
            Kind::Permit(most) => amount <= most,
            Kind::Itself => !in_a_name || !agent,
            Kind::InTheName => in_a_name || !agent,
            Kind::Forbid(_) => false,
        };
        own().any(permits) && !own().any(|right| matches!(right.kind, Kind::Forbid(most) if amount > most))
    }

    /// A chain, tried at each of its links, and ended.
    async fn graph(&mut self) -> Result<(), String> {
        self.tally.graphs += 1;
        let server = self.rng.below(2);
        let resource = self.app().at(&format!("/mcp/{}", SERVERS[server]));
        let mut known = self.root(&resource).await;
        let root = sid_of(&known.token);
        self.try_all(server, &known).await?;
        for _ in 0..1 + self.rng.below(3) {
            known = if self.rng.chance(35) {
                self.task(known, server, &resource).await
            } else {
                self.hand_on(known, &resource).await
            };
            self.try_all(server, &known).await?;
        }
        self.app().admin("POST", &format!("/v1/sessions/{root}/end"), json!({})).await.ok();
        let last = &self.agents[*known.agents.last().unwrap()];
        let over = self.chain.call(last, &known.token, (SERVERS[server], "echo"), json!({"text": "x"})).await;
        if over.status != 401 {
            return Err(self.breach(&format!("the root is over, and this was answered: {}", over.text())));
        }
        Ok(())
    }

    async fn root(&mut self, resource: &str) -> Known {
        if self.rng.chance(60) {
            let human = self.rng.below(PEOPLE.len());
            self.chain.flow.browser = self.browsers[human].clone();
            let request = with(&self.chain.flow.request(), &[("resource", resource)]);
            let code = self.chain.flow.code(&request).await;
            self.browsers[human] = self.chain.flow.browser.clone();
            let token = token_of(&self.chain.flow.redeem(&code).await.ok());
            return Known { token, human: Some(human), agents: vec![0], may: everything() };
        }
        let agent = self.rng.below(AGENTS.len());
        // A session of its own.
        let token = self.agents[agent].at(self.app()).token(resource).await;
        Known { token, human: None, agents: vec![agent], may: everything() }
    }

    /// The agent narrows its session, if what it asks for is within what it has; otherwise nothing changes.
    async fn task(&mut self, known: Known, server: usize, resource: &str) -> Known {
        let (details, may) = details(&mut self.rng, SERVERS[server]);
        let agent = &self.agents[*known.agents.last().unwrap()];
        let asked = [("authorization_details", details.as_str()), ("resource", resource), ("purpose", "a task")];
        let answer = self.chain.exchange(agent, &known.token, &asked).await;
        if !answer.status.is_success() {
            assert_eq!(answer.json()["error"], "invalid_authorization_details", "{}", answer.text());
            return known;
        }
        let may = may.intersection(&known.may).copied().collect();
        Known { token: token_of(&answer.json()), may, ..known }
    }

    async fn hand_on(&mut self, known: Known, resource: &str) -> Known {
        let to = self.rng.below(AGENTS.len());
        let (from, next) = (&self.agents[*known.agents.last().unwrap()], &self.agents[to]);
        let handed = self.chain.exchange(from, &known.token, &[("may_act", AGENTS[to])]).await;
        if known.agents.contains(&to) {
            assert_eq!(handed.json()["error"], "access_denied", "a loop: {}", handed.text());
            return known;
        }
        let handed = token_of(&handed.ok());
        let mut asked = vec![("resource", resource)];
        // The same flow, said twice, is still one.
        let own = next.at(self.app()).token(resource).await;
        if self.rng.chance(20) {
            asked.extend([("actor_token", own.as_str()), ("actor_token_type", ACCESS)]);
        }
        let taken = self.chain.exchange(next, &handed, &asked).await;
        let agents = [&known.agents[..], &[to]].concat();
        Known { token: token_of(&taken.ok()), agents, ..known }
    }

    async fn act(&self, server: usize, known: &Known, (tool, amount): Act) -> Answer {
        let arguments = match tool {
            0 => json!({"a": amount, "b": 0}),
            _ => json!({"order": "o", "amount": amount}),
        };
        let agent = &self.agents[*known.agents.last().unwrap()];
        self.chain.call(agent, &known.token, (SERVERS[server], TOOLS[tool].0), arguments).await
    }

    /// Every act at once; each answer is the one that the model has.
    async fn try_all(&mut self, server: usize, known: &Known) -> Result<(), String> {
        self.tally.tokens += 1;
        self.tally.deepest = self.tally.deepest.max(known.agents.len());
        let actor = *known.agents.last().unwrap();
        let calls = everything().into_iter().map(|act| self.act(server, known, act));
        let answers: Vec<Answer> = join_all(calls).await;
        for (act, answer) in everything().into_iter().zip(answers) {
            let named = known.human.is_some();
            let of_agent = |agent: &usize| self.may((true, *agent), server, act, named);
            let of_human = |human: usize| self.may((false, human), server, act, named);
            let everybody = known.agents.iter().all(of_agent) && known.human.is_none_or(of_human);
            let expected = everybody && known.may.contains(&act);
            let done = answer.status == 200 && answer.json()["result"]["isError"] != true;
            if done != expected {
                let why = format!("{act:?} by {:?} for {:?}: {}", known.agents, known.human, answer.text());
                return Err(self.breach(&why));
            }
            let narrowed = !done && of_agent(&actor);
            self.tally.calls += 1;
            self.tally.allowed += usize::from(done);
            self.tally.narrowed += usize::from(narrowed);
        }
        Ok(())
    }

    fn breach(&self, what: &str) -> String {
        format!("graph {}: {what}\n{:#?}", self.tally.graphs, self.rights)
    }
}

/// What somebody is given of one tool.
fn kinds(rng: &mut Rng, agent: bool) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if rng.chance(65) {
        kinds.push(Kind::Permit(AMOUNTS[rng.below(3)]));
    }
    if rng.chance(20) {
        kinds.push(Kind::Forbid(AMOUNTS[rng.below(3)]));
    }
    if agent && rng.chance(25) {
        kinds.push(Kind::Itself);
    }
    if agent && rng.chance(25) {
        kinds.push(Kind::InTheName);
    }
    kinds
}

/// Details and the acts they allow, made together.
fn details(rng: &mut Rng, server: &str) -> (String, BTreeSet<Act>) {
    let (mut set, mut may) = (Vec::new(), BTreeSet::new());
    for tool in (0..TOOLS.len()).filter(|tool| *tool == 0 || rng.chance(60)).collect::<Vec<_>>() {
        let most = AMOUNTS[rng.below(3)];
        let (name, argument) = TOOLS[tool];
        let constraints = json!({argument: {"max": most}});
        set.push(json!({"type": "mcp_tool", "server": server, "tools": [name], "constraints": constraints}));
        may.extend(AMOUNTS.iter().filter(|amount| **amount <= most).map(|amount| (tool, *amount)));
    }
    (Value::Array(set).to_string(), may)
}

impl Right {
    fn principal(&self) -> String {
        match self.agent {
            true => format!("Agent::\"{}\"", AGENTS[self.who]),
            false => format!("Human::\"{}\"", PEOPLE[self.who]),
        }
    }

    /// Its policy, if it is no grant.
    fn policy(&self, number: usize) -> Option<String> {
        let (tool, argument) = TOOLS[self.tool];
        let scope = format!(
            "(principal == {}, action == Action::\"{}/{tool}\", resource)",
            self.principal(),
            SERVERS[self.server]
        );
        let (effect, condition) = match self.kind {
            Kind::Permit(most) => ("permit", format!("context.args.{argument} <= {most}")),
            Kind::Forbid(most) => ("forbid", format!("context.args.{argument} > {most}")),
            Kind::Itself | Kind::InTheName => return None,
        };
        Some(format!("@id(\"r{number}\") {effect} {scope} when {{ {condition} }};\n"))
    }
}

fn count() -> usize {
    match size() {
        Size::Small => 200,
        Size::Full => 2_000,
    }
}

async fn graphs(count: usize, seed: u64) -> Result<Tally, String> {
    let mut estate = Estate::new(seed).await;
    for number in 0..count {
        if number % GRAPHS == 0 {
            estate.deal().await;
        }
        estate.graph().await?;
    }
    Ok(estate.tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_door_a_chain_may_what_everybody_in_it_may() {
    let seed = super::p7::seed();
    let found = graphs(count(), seed).await.unwrap_or_else(|breach| panic!("seed {seed}, {breach}"));
    assert!(found.deepest == 4 && found.allowed * 10 > found.calls && found.narrowed * 20 > found.calls, "{found:?}");
    println!(
        "promise P8 at the door: {} random graphs (seed {seed}), {} tokens of chains up to {} agents, {} calls of which {} \
         were allowed; 0 that somebody of the chain may not, 0 refused that all may; {} the acting agent alone might have",
        found.graphs, found.tokens, found.deepest, found.calls, found.allowed, found.narrowed
    );
}

/// The negative control: a door that asks only the agent that acts is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_asks_only_the_last_of_a_chain_is_noticed() {
    ALONE.store(true, Ordering::SeqCst);
    let breach = graphs(GRAPHS * 2, super::p7::seed()).await.expect_err("nobody else was asked");
    println!("promise P8 at the door, control: {}", breach.lines().next().unwrap_or_default());
}
