//! (a) What was approved, with one thing changed.

use std::sync::atomic::Ordering;

use chancery_it::Seeded;
use chancery_server::Approvals;
use chancery_testkit::{Agent, TestApp};
use serde_json::{Value, json};

use crate::oversee::world::{Client, POLICY, World, ran};
use crate::promises::{Size, size};

const SEED: u64 = 20_261_123;
/// Mutants of one approval.
const EACH: usize = 50;

/// Something of a call that was approved is another.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Amount,
    Order,
    Lookalike,
    Space,
    Tool,
    Input,
    State,
    Task,
    Session,
    Agent,
    Instance,
}

const ALL: [Mutation; 11] = [
    Mutation::Amount,
    Mutation::Order,
    Mutation::Lookalike,
    Mutation::Space,
    Mutation::Tool,
    Mutation::Input,
    Mutation::State,
    Mutation::Task,
    Mutation::Session,
    Mutation::Agent,
    Mutation::Instance,
];

/// The clients of one world, all of which may make the call.
struct Clients {
    own: Client,
    session: Client,
    agent: Client,
    instance: Client,
}

impl Clients {
    async fn of(world: &World) -> Self {
        let other = bearer(&world.app, "other").await;
        Self {
            own: world.client().await,
            session: world.client().await,
            agent: Client::of(&other).await,
            instance: Client::of(&world.agent.copy("blue")).await,
        }
    }
}

async fn bearer(app: &TestApp, name: &str) -> Agent {
    let agent = app.agent(name).await;
    app.grant(name, "s").await;
    app.admin("POST", &format!("/v1/agents/{name}/bearer"), json!({"allow": true})).await.ok();
    agent
}

fn builder() -> chancery_testkit::Builder {
    TestApp::builder()
        .policy("approvals.cedar", POLICY)
        .config(|config| config.approvals = Approvals { waiting: 1_000_000, hourly: 1_000_000, hold: 0, decoys: 0 })
}

async fn execute(clients: &Clients, mutation: Mutation, amount: i64, random: &Seeded) -> Value {
    let other = |text: &str| json!({"order": text, "amount": amount});
    let own = || other("o-1");
    let none = json!({});
    match mutation {
        Mutation::Amount => {
            let by = 1 << (random.between(0, 12 - 1));
            let by = if random.between(0, 2 - 1) == 0 { by } else { -by };
            // Never below what needs approval, never back to what was approved.
            clients.own.call("refund", json!({"order": "o-1", "amount": (amount + by).max(201)}), none).await
        }
        Mutation::Order => {
            clients.own.call("refund", other(&format!("o-{}", 2 + random.between(0, 1_000 - 1))), none).await
        }
        Mutation::Lookalike => clients.own.call("refund", other("\u{43e}-1"), none).await,
        Mutation::Space => clients.own.call("refund", other("o-1 "), none).await,
        Mutation::Tool => clients.own.call("refund_all", own(), none).await,
        Mutation::Input => {
            clients.own.call("refund", own(), json!({"inputResponses": {"q": {"action": "accept"}}})).await
        }
        Mutation::State => clients.own.call("refund", own(), json!({"requestState": "another"})).await,
        Mutation::Task => clients.own.call("refund", own(), json!({"task": {"ttl": 1000}})).await,
        Mutation::Session => clients.session.call("refund", own(), none).await,
        Mutation::Agent => clients.agent.call("refund", own(), none).await,
        Mutation::Instance => clients.instance.call("refund", own(), none).await,
    }
}

/// Executes so many mutants; how many of them ran.
async fn mutants(count: usize) -> usize {
    let world = World::of(builder()).await;
    let clients = Clients::of(&world).await;
    let random = Seeded::new(SEED);
    let mut through = 0;
    for round in 0..count.div_ceil(EACH) {
        let amount = 3_000 + i64::try_from(round).unwrap();
        let asked = clients.own.refund(amount).await;
        let id = asked["result"]["content"][0]["text"].as_str().unwrap();
        let id = id.split("/approvals/").nth(1).unwrap()[..30].to_owned();
        let said = world.say("fin", &id, "approve").await;
        assert_eq!(said.status, 200, "{}", said.text());
        for number in 0..EACH {
            let answer = execute(&clients, ALL[(round + number) % ALL.len()], amount, &random).await;
            through += usize::from(ran(&answer));
        }
        // What was approved still runs, so that nothing was refused for another reason.
        if through == 0 {
            assert!(ran(&clients.own.refund(amount).await));
        }
    }
    if through == 0 {
        assert_eq!(world.upstream.calls().len(), count.div_ceil(EACH), "nothing but what was approved was sent");
    }
    through
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_in_one_thing_from_what_was_approved_does_not_run() {
    let count = if size() == Size::Full { 10_000 } else { 1_000 };
    assert_eq!(mutants(count).await, 0);
    println!("promise P2: {count} executions that differ in one thing from what was approved: 0 ran (seed {SEED})");
}

/// The negative control: an approval that is not bound to the arguments lets others through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_for_any_arguments_is_noticed() {
    chancery_gateway::faults::UNBOUND.store(true, Ordering::SeqCst);
    assert!(mutants(EACH).await > 0);
}

/// What takes the server itself: definitions, policies, addresses, time, and what people say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_around_an_approved_call_voids_it() {
    let world = World::of(builder()).await;
    let client = world.client().await;
    let approved = async |amount: i64| {
        let asked = client.refund(amount).await;
        let text = asked["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        let id = text.split("/approvals/").nth(1).unwrap()[..30].to_owned();
        assert_eq!(world.say("fin", &id, "approve").await.status, 200);
        id
    };
    // The tool's definition changes, and the change is approved.
    approved(301).await;
    let mut tools: Value = definitions(&world).await;
    tools[0]["description"] = "Pays money back, twice.".into();
    world.upstream.set_tools(tools);
    world.agent.tools("s").await;
    assert!(!ran(&client.refund(301).await), "it is quarantined");
    let seen = world.app.admin("GET", "/v1/tools?server=s", Value::Null).await.ok();
    let refund = seen["items"].as_array().unwrap().iter().find(|tool| tool["name"] == "refund").unwrap().clone();
    let approve = json!({"server": "s", "tool": "refund", "digest": refund["seen_digest"]});
    world.app.admin("POST", "/v1/tools/approve", approve).await.ok();
    assert!(!ran(&client.refund(301).await), "it was for another definition");
    // Somebody takes it back.
    let id = approved(302).await;
    world.app.admin("POST", &format!("/v1/approvals/{id}/cancel"), json!({"reason": "a mistake"})).await.ok();
    assert!(!ran(&client.refund(302).await));
    assert!(world.upstream.calls().is_empty());
}

async fn definitions(world: &World) -> Value {
    let listed = world.agent.rpc("s", "tools/list", json!({})).await.json();
    let tools = listed["result"]["tools"].as_array().expect("tools");
    let mut tools: Vec<Value> = tools.clone();
    tools.sort_by_key(|tool| tool["name"] != "refund");
    Value::Array(tools)
}
