//! P8: delegation only narrows.
//!
//! Random graphs of sessions: people and agents open them, agents make tasks of them, hand them over and take them over,
//! with and without leave to; people, agents and sessions are stopped. A model beside it knows nothing of the room's code:
//! it keeps for each token who stands in its chain and which acts each link allows, as a set of named acts. After each
//! graph every token is tried: it must be admitted exactly if all its links are in force, with exactly the chain the model
//! has, and what its limits cover must be the intersection of all links'.

use std::collections::BTreeSet;
use std::sync::Arc;

use chancery_model::{Covered, Limit, Person, PersonState, SessionId, Span, Standing};
use serde_json::{Value, json};

use super::super::exchange::{ACCESS, Lenient, Party, claims_of};
use super::super::{World, config};
use crate::fault::Fault;
use crate::{Caller, Config, DelegationLimits, SessionLimits};

const AGENTS: usize = 6;
const PEOPLE: usize = 3;
const STEPS: usize = 11;
const DEPTH: usize = 4;
/// After so many graphs a world is left, and with it what its memory holds.
const GRAPHS: usize = 100;

/// One act that limits speak about: tool, amount.
type Act = (usize, i64);
const TOOLS: [&str; 4] = ["t0", "t1", "t2", "t3"];
const AMOUNTS: [i64; 3] = [1, 5, 10];

fn everything() -> BTreeSet<Act> {
    (0..TOOLS.len()).flat_map(|tool| AMOUNTS.map(|amount| (tool, amount))).collect()
}

/// A token as the model knows it.
struct Known {
    token: String,
    sid: SessionId,
    parent: Option<usize>,
    human: Option<usize>,
    agents: Vec<usize>,
    may: BTreeSet<Act>,
    handed_to: Option<usize>,
    dead: bool,
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

struct Estate {
    world: World,
    parties: Vec<Party>,
    people: Vec<Arc<Person>>,
    rng: Rng,
    seed: u64,
    known: Vec<Known>,
    taken: Tally,
}

/// What was tried, and what came of it.
#[derive(Default, Debug)]
struct Tally {
    graphs: usize,
    exchanges: usize,
    refused: usize,
    tokens: usize,
    admitted: usize,
    deepest: usize,
}

/// Details and the acts they allow, made together: nothing of the room's code is asked.
fn details(rng: &mut Rng) -> (Value, BTreeSet<Act>) {
    let mut all = BTreeSet::new();
    let mut set = Vec::new();
    for _ in 0..=rng.below(2) {
        let tools: Vec<usize> = (0..TOOLS.len()).filter(|_| rng.one_in(2)).collect();
        let most = AMOUNTS[rng.below(AMOUNTS.len())];
        let bounded = rng.one_in(2);
        let names: Vec<&str> = tools.iter().map(|tool| TOOLS[*tool]).collect();
        let mut detail = json!({"type": "mcp_tool", "server": "crm", "tools": names});
        if bounded {
            detail["constraints"] = json!({"amount": {"max": most}});
        }
        // No tools means all of them.
        let tools = if tools.is_empty() { (0..TOOLS.len()).collect() } else { tools };
        let fits = |amount: &i64| !bounded || *amount <= most;
        all.extend(tools.iter().flat_map(|tool| AMOUNTS.iter().filter(|a| fits(a)).map(|amount| (*tool, *amount))));
        set.push(detail);
    }
    (Value::Array(set), all)
}

impl Estate {
    async fn new(seed: u64) -> Self {
        let sessions = SessionLimits { maximum: Span::hours(24), idle: Span::hours(24), per_agent: 100_000 };
        let delegation = DelegationLimits { depth: DEPTH };
        let world = World::with(Config { sessions, delegation, ..config() }).await;
        world.auth.set_delegations(Box::new(Lenient));
        let mut parties = Vec::new();
        for n in 0..AGENTS {
            parties.push(world.party(&format!("agent-{n}")).await);
        }
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            people.push(world.person(&format!("person-{n}")).await);
        }
        Self { world, parties, people, rng: Rng(seed), seed, known: Vec::new(), taken: Tally::default() }
    }

    /// One graph, and the trial of all its tokens. What is not as promised is a sentence.
    async fn graph(&mut self) -> Result<(), String> {
        self.known.clear();
        self.taken.graphs += 1;
        self.root().await;
        for _ in 0..STEPS {
            let handed = self.known.last().is_some_and(|known| known.handed_to.is_some());
            match self.rng.below(16) {
                0 => self.root().await,
                1..=2 => self.task().await?,
                // Otherwise chains would hardly ever become long.
                _ if handed => self.take_over().await?,
                3..=11 => self.hand_over().await?,
                12..=14 => self.take_over().await?,
                _ => self.stop().await,
            }
        }
        for n in 0..self.known.len() {
            self.try_token(n)?;
        }
        self.world.clock.advance(Span::seconds(1));
        self.revive().await;
        Ok(())
    }

    async fn root(&mut self) {
        let agent = self.rng.below(AGENTS);
        let human = self.rng.one_in(2).then(|| self.rng.below(PEOPLE));
        let party = &self.parties[agent];
        if !self.may_act(agent) || human.is_some_and(|human| !self.person_now(human).is_active()) {
            return;
        }
        let token = match human {
            Some(human) => self.world.acting_for(party, &self.person_now(human)).await,
            None => self.world.own_token(party).await,
        };
        self.learn(token, None, human, vec![agent], everything(), None);
    }

    fn may_act(&self, agent: usize) -> bool {
        self.world.auth.listed(&self.parties[agent].name).unwrap().standing == Standing::Active
    }

    fn person_now(&self, human: usize) -> Arc<Person> {
        let id = &self.people[human].id;
        self.world.auth.persons().into_iter().find(|person| person.id == *id).unwrap()
    }

    fn learn(
        &mut self,
        token: String,
        parent: Option<usize>,
        human: Option<usize>,
        agents: Vec<usize>,
        may: BTreeSet<Act>,
        handed_to: Option<usize>,
    ) {
        let sid = claims_of(&token)["sid"].as_str().unwrap().parse().unwrap();
        self.taken.tokens += 1;
        self.taken.deepest = self.taken.deepest.max(agents.len());
        self.known.push(Known { token, sid, parent, human, agents, may, handed_to, dead: false });
    }

    /// A token to go on with: the newest half of the time, otherwise one chain would hardly ever become long.
    fn pick(&mut self) -> usize {
        if self.rng.one_in(2) { self.known.len() - 1 } else { self.rng.below(self.known.len()) }
    }

    /// Its own links are in force.
    fn alive(&self, n: usize) -> bool {
        let known = &self.known[n];
        !known.dead && known.parent.is_none_or(|parent| self.alive(parent))
    }

    /// The agent makes its session narrower; sometimes with more than it has, which must not be granted.
    async fn task(&mut self) -> Result<(), String> {
        let n = self.pick();
        let (asked, may) = details(&mut self.rng);
        let agent = *self.known[n].agents.last().unwrap();
        let details = asked.to_string();
        let more = [("authorization_details", details.as_str()), ("purpose", "a task")];
        let got = self.world.exchanged(&self.parties[agent], &self.known[n].token, &more).await;
        self.taken.exchanges += 1;
        let own = self.alive(n) && self.known[n].handed_to.is_none() && self.may_act(agent);
        self.result(got.map(|body| body.access_token.expose().to_owned()).ok(), own, n, Some(may), None, "task")
    }

    async fn hand_over(&mut self) -> Result<(), String> {
        let n = self.pick();
        let to = self.rng.below(AGENTS);
        let asked = self.rng.one_in(2).then(|| details(&mut self.rng));
        let agent = *self.known[n].agents.last().unwrap();
        let (details, name) = (asked.as_ref().map(|(details, _)| details.to_string()), self.parties[to].name.clone());
        let mut more = vec![("may_act", name.as_str())];
        more.extend(details.as_deref().map(|details| ("authorization_details", details)));
        let got = self.world.exchanged(&self.parties[agent], &self.known[n].token, &more).await;
        self.taken.exchanges += 1;
        let known = &self.known[n];
        let fits = known.agents.len() < DEPTH && !known.agents.contains(&to) && self.may_act(to);
        let own = self.alive(n) && known.handed_to.is_none() && self.may_act(agent) && fits;
        self.result(
            got.map(|body| body.access_token.expose().to_owned()).ok(),
            own,
            n,
            asked.map(|(_, may)| may),
            Some(to),
            "hand over",
        )
    }

    /// Somebody takes a token over: the one it was handed to, or another; alone, or with an actor token of some flow.
    async fn take_over(&mut self) -> Result<(), String> {
        let n = self.pick();
        let named = self.known[n].handed_to.filter(|_| !self.rng.one_in(4));
        let by = named.unwrap_or_else(|| self.rng.below(AGENTS));
        let actor = if self.rng.one_in(3) { self.actor_of(by) } else { None };
        let actor_token = actor.map(|actor| self.known[actor].token.clone());
        let mut more = Vec::new();
        if let Some(token) = &actor_token {
            more.extend([("actor_token", token.as_str()), ("actor_token_type", ACCESS)]);
        }
        let got = self.world.exchanged(&self.parties[by], &self.known[n].token, &more).await;
        self.taken.exchanges += 1;
        if *self.known[n].agents.last().unwrap() == by && self.known[n].handed_to.is_none() {
            // Its own token: the same session again.
            return Ok(());
        }
        let rightful = self.known[n].handed_to == Some(by) && self.alive(n) && self.may_act(by);
        let allowed = rightful && actor.is_none_or(|actor| self.is_of(actor, by, n));
        let token = got.map(|body| body.access_token.expose().to_owned()).ok();
        if token.is_some() && !allowed {
            return Err(self.breach("somebody took over what was not handed to them, or two flows became one"));
        }
        let Some(token) = token else {
            self.taken.refused += 1;
            return if allowed { Err(self.breach("a rightful exchange was refused")) } else { Ok(()) };
        };
        let (human, may) = (self.known[n].human, self.known[n].may.clone());
        let agents = [&self.known[n].agents[..], &[by]].concat();
        self.learn(token, Some(n), human, agents, may, None);
        Ok(())
    }

    /// An actor token for the sender: mostly one of its own, of whatever flow.
    fn actor_of(&mut self, by: usize) -> Option<usize> {
        let own: Vec<usize> = (0..self.known.len()).filter(|n| self.known[*n].agents.last() == Some(&by)).collect();
        match own.is_empty() || self.rng.one_in(8) {
            true => Some(self.rng.below(self.known.len())),
            false => Some(own[self.rng.below(own.len())]),
        }
    }

    /// May the actor token `actor` go with the subject `n`? It must be the sender's own, and of the same flow or of none.
    fn is_of(&self, actor: usize, by: usize, n: usize) -> bool {
        let root = |mut n: usize| {
            while let Some(parent) = self.known[n].parent {
                n = parent;
            }
            n
        };
        let known = &self.known[actor];
        let alone = known.human.is_none() && known.agents.len() == 1;
        let of_flow = alone || root(actor) == root(n);
        *known.agents.last().unwrap() == by && self.alive(actor) && of_flow
    }

    /// What an exchange of the token `n` by its own agent came to.
    fn result(
        &mut self,
        token: Option<String>,
        allowed: bool,
        n: usize,
        asked: Option<BTreeSet<Act>>,
        handed_to: Option<usize>,
        what: &str,
    ) -> Result<(), String> {
        let Some(token) = token else {
            self.taken.refused += 1;
            return if allowed && asked.is_none() {
                Err(self.breach(&format!("{what}: refused without a reason")))
            } else {
                Ok(())
            };
        };
        if !allowed {
            return Err(
                self.breach(&format!("{what}: granted, though a link is dead, a loop, too deep or not its own"))
            );
        }
        if asked.as_ref().is_some_and(|asked| !asked.is_subset(&self.known[n].may)) {
            return Err(self.breach(&format!("{what}: more was granted than there was")));
        }
        let may = asked.unwrap_or_else(|| self.known[n].may.clone());
        let (human, agents) = (self.known[n].human, self.known[n].agents.clone());
        self.learn(token, Some(n), human, agents, may, handed_to);
        Ok(())
    }

    /// A session, an agent or a person is stopped.
    async fn stop(&mut self) {
        let n = self.rng.below(self.known.len());
        match self.rng.below(3) {
            0 => {
                let sid = self.known[n].sid.clone();
                self.world.auth.end_session(&sid, "somebody").await.unwrap();
                self.known.iter_mut().filter(|known| known.sid == sid).for_each(|known| known.dead = true);
            }
            1 => {
                let agent = self.rng.below(AGENTS);
                if self.may_act(agent) {
                    let name = self.parties[agent].name.clone();
                    self.world.change(&name, |agent| agent.suspend().unwrap()).await;
                    let holds = |known: &&mut Known| known.agents.last() == Some(&agent);
                    self.known.iter_mut().filter(holds).for_each(|known| known.dead = true);
                }
            }
            _ => {
                let human = self.rng.below(PEOPLE);
                if let Some(gone) = (*self.person_now(human)).clone().into_state(PersonState::Suspended) {
                    self.put(gone).await;
                    let of = |known: &&mut Known| known.human == Some(human);
                    self.known.iter_mut().filter(of).for_each(|known| known.dead = true);
                }
            }
        }
    }

    async fn put(&self, person: Person) {
        self.world.write(move |tx| Box::pin(async move { chancery_store::persons::update(tx, &person).await })).await;
    }

    /// Everybody may act again. What ended stays ended.
    async fn revive(&mut self) {
        for n in 0..AGENTS {
            if !self.may_act(n) {
                let name = self.parties[n].name.clone();
                self.world.change(&name, |agent| agent.resume(false).unwrap()).await;
            }
        }
        for n in 0..PEOPLE {
            if let Some(back) = (*self.person_now(n)).clone().into_state(PersonState::Active) {
                self.put(back).await;
            }
        }
    }

    /// Uses a token at the door and compares what is said of it with the model.
    fn try_token(&mut self, n: usize) -> Result<(), String> {
        let agent = *self.known[n].agents.last().unwrap();
        let admitted = self.world.used(&self.parties[agent], &self.known[n].token).ok();
        let expected = self.alive(n) && self.known[n].handed_to.is_none();
        let Some(caller) = admitted else {
            return if expected { Err(self.breach("a token that is in force was refused")) } else { Ok(()) };
        };
        self.taken.admitted += 1;
        if !expected {
            return Err(self.breach("a token below something that was stopped, or one for nobody's door, was admitted"));
        }
        let known = &self.known[n];
        let told: Vec<&str> =
            caller.ancestors.iter().map(|a| a.name.as_str()).chain([caller.agent.name.as_str()]).collect();
        let agents: Vec<&str> = known.agents.iter().map(|a| self.parties[*a].name.as_str()).collect();
        let human = known.human.map(|human| self.people[human].name.clone());
        if told != agents || caller.human != human {
            return Err(self.breach("the chain is not the one that was made"));
        }
        let covered = covered(&caller);
        if covered != known.may {
            return Err(self.breach(&format!("covered are {covered:?}, and should be {:?}", known.may)));
        }
        let above = known.parent.map(|parent| &self.known[parent].may);
        if above.is_some_and(|above| !covered.is_subset(above)) {
            return Err(self.breach("a session covers more than the one it hangs on"));
        }
        Ok(())
    }

    fn breach(&self, what: &str) -> String {
        format!("seed {}, graph {}: {what}", self.seed, self.taken.graphs)
    }
}

/// What the limits that a door is told cover.
fn covered(caller: &Caller) -> BTreeSet<Act> {
    let covers = |(tool, amount): &Act| {
        let args = json!({"amount": amount});
        caller.limits.iter().all(|set| Limit::cover(set, Covered::Call("crm", TOOLS[*tool], &args)))
    };
    everything().into_iter().filter(covers).collect()
}

fn size() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test's parameter has no other way in")]
    let asked = std::env::var("CHANCERY_TEST_SIZE");
    if asked.is_ok_and(|size| size == "full") { 100_000 } else { 5_000 }
}

fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a failed run is replayed with the seed it printed")]
    let given = std::env::var("CHANCERY_TEST_SEED").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(20_261_123)
}

/// So many graphs in worlds of their own.
async fn graphs(count: usize, seed: u64, fault: Option<Fault>) -> Result<Tally, String> {
    let mut all = Tally::default();
    for number in 0..count.div_ceil(GRAPHS) {
        let mut estate = Estate::new(seed.wrapping_add(number as u64)).await;
        estate.world.auth.faults.take(fault);
        for _ in 0..GRAPHS.min(count - number * GRAPHS) {
            estate.graph().await?;
        }
        let Tally { graphs, exchanges, refused, tokens, admitted, deepest } = estate.taken;
        all = Tally {
            graphs: all.graphs + graphs,
            exchanges: all.exchanges + exchanges,
            refused: all.refused + refused,
            tokens: all.tokens + tokens,
            admitted: all.admitted + admitted,
            deepest: all.deepest.max(deepest),
        };
    }
    Ok(all)
}

/// Two halves, so that two cores have something to do.
async fn half(name: &str, offset: u64) {
    let seed = seed().wrapping_add(offset);
    let found = graphs(size() / 2, seed, None).await.unwrap_or_else(|breach| panic!("{breach}"));
    println!(
        "promise P8 graphs, {name} half: {} random graphs (seed {seed}), {} exchanges of which {} were refused, {} tokens of \
         chains up to {} agents, {} admitted; 0 widenings, 0 splices",
        found.graphs, found.exchanges, found.refused, found.tokens, found.deepest, found.admitted
    );
    assert!(found.admitted > found.graphs && found.refused > found.graphs && found.deepest == DEPTH, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delegation_only_narrows_first_half() {
    half("first", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delegation_only_narrows_second_half() {
    half("second", 1 << 32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_of_its_guards_it_would_be_noticed() {
    for fault in [Fault::Ancestors, Fault::Limits, Fault::MayAct, Fault::Flow] {
        let breach = graphs(GRAPHS * 2, seed(), Some(fault)).await.expect_err("a guard is missing");
        println!("promise P8 graphs, control without {fault:?}: {breach}");
    }
}

/// Revoking an ancestor stops everything below it, however much that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_descendants_end_with_their_root() {
    const DESCENDANTS: usize = 10_000;
    let estate = Estate::new(seed()).await;
    let (world, parties) = (&estate.world, &estate.parties);
    let root = world.own_token(&parties[0]).await;
    let handed = world.exchanged(&parties[0], &root, &[("may_act", "agent-1")]).await.unwrap();
    let handed = handed.access_token.expose().to_owned();
    let take = async |_| {
        let taken = world.exchanged(&parties[1], &handed, &[]).await.unwrap();
        taken.access_token.expose().to_owned()
    };
    let mut tokens = Vec::with_capacity(DESCENDANTS);
    for batch in 0..DESCENDANTS / 100 {
        let one = (0..100).map(|n| take(batch * 100 + n));
        tokens.extend(futures_util::future::join_all(one).await);
    }
    let admitted = |world: &World| tokens.iter().filter(|token| world.used(&parties[1], token).is_ok()).count();
    assert_eq!(admitted(world), DESCENDANTS);
    let sid: SessionId = claims_of(&root)["sid"].as_str().unwrap().parse().unwrap();
    world.auth.end_session(&sid, "somebody").await.unwrap();
    assert_eq!(admitted(world), 0);
    println!("promise P8 descendants: {DESCENDANTS} sessions below one, all refused once the one above them all ended");
    world.auth.faults.take(Some(Fault::Ancestors));
    assert_eq!(admitted(world), DESCENDANTS, "the control must notice");
}
