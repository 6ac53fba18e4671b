//! A decision in process: request, entities and context included, at growing numbers of grants, allowed and denied,
//! against Cedar's own authorizer over all of them at once.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, SlotId, Template,
};
use chancery_authorize::{Acting, Engine, Files, Snapshot, Sources, ToolCall};
use chancery_model::{Span, Timestamp, Tool, ToolState};
use chancery_store::Store;
use serde_json::{Value, json};

use crate::row::{Bar, Row};
use crate::scale::{ROUNDS, Scale, median};
use crate::{Fallible, policies, product, text, usage, world};

/// Grants, decisions of ours in a round, decisions of the naive one in a round.
const CASES: [(usize, usize, usize); 4] =
    [(10, 100_000, 20_000), (1_000, 100_000, 400), (10_000, 100_000, 30), (100_000, 100_000, 3)];

/// Processor microseconds of one decision.
struct Cost {
    allow: f64,
    deny: f64,
    refused: f64,
    naive_allow: f64,
    naive_deny: f64,
}

/// Rows for every number of grants, and how the cost grows.
pub fn rows(scale: &Scale) -> Fallible<Vec<Row>> {
    let mut costs = BTreeMap::new();
    let mut rows = Vec::new();
    for (grants, ours, naive) in CASES {
        let cost = cost(grants, scale.of(ours), scale.of(naive))?;
        rows.extend(rows_of(grants, &cost));
        costs.insert(grants, cost);
    }
    let at = |grants: usize| costs.get(&grants).map_or(f64::NAN, |cost| cost.allow);
    let growth = Row::new("decision/allow at 100000 grants", at(100_000), "us");
    rows.push(growth.beside("at 1000 grants", at(1_000)).bar(Bar::RatioAtMost(1.25)));
    Ok(rows)
}

fn rows_of(grants: usize, cost: &Cost) -> Vec<Row> {
    let named = |what: &str| format!("decision/{what}/{grants} grants");
    let naive = "cedar-policy over all policies";
    let faster = |value: f64, theirs: f64| Row::new(named("times faster"), theirs / value, "x").beside(naive, 1.0);
    let bar = if grants == 100_000 { Bar::AtMost(10.0) } else { Bar::None };
    let least = if grants == 10_000 { Bar::RatioAtLeast(1_000.0) } else { Bar::None };
    vec![
        Row::new(named("allow"), cost.allow, "us").beside(naive, cost.naive_allow).bar(bar),
        Row::new(named("deny, no grant"), cost.deny, "us").beside(naive, cost.naive_deny).bar(bar),
        Row::new(named("deny beside allow"), cost.deny, "us").beside("allow", cost.allow).bar(Bar::RatioAtMost(1.0)),
        Row::new(named("deny, condition"), cost.refused, "us").beside("allow", cost.allow),
        faster(cost.allow, cost.naive_allow).bar(least),
    ]
}

fn cost(grants: usize, ours: usize, naive: usize) -> Fallible<Cost> {
    let (engine, cedar) = (engine(grants)?, Naive::new(grants)?);
    let (now, small, large) = (world::clock().now(), arguments(120), arguments(500));
    let name = |number: usize| format!("agent-{}", spread(number, grants));
    let nobody = |number: usize| format!("nobody-{}", number % 10);
    let mut rounds: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(each(ours, |n| decide(&engine, now, &name(n), &small, true))?);
        rounds[1].push(each(ours, |n| decide(&engine, now, &nobody(n), &small, false))?);
        rounds[2].push(each(ours, |n| decide(&engine, now, &name(n), &large, false))?);
        rounds[3].push(each(naive, |n| cedar.decide(&name(n), true))?);
        rounds[4].push(each(naive, |n| cedar.decide(&nobody(n), false))?);
    }
    let [allow, deny, refused, naive_allow, naive_deny] = rounds.map(median);
    Ok(Cost { allow, deny, refused, naive_allow, naive_deny })
}

/// Processor microseconds of one of `count`.
fn each(count: usize, mut one: impl FnMut(usize) -> Fallible) -> Fallible<f64> {
    let before = usage::this_thread();
    (0..count).try_for_each(&mut one)?;
    Ok((usage::this_thread() - before).as_secs_f64() * 1e6 / count as f64)
}

/// Walks over all agents out of order, so that no cache is warm by neighbourhood.
fn spread(number: usize, agents: usize) -> usize {
    number.wrapping_mul(7_919) % agents
}

fn engine(grants: usize) -> Fallible<Engine> {
    let engine = Engine::new(snapshot()?);
    for number in 0..grants {
        let (agent, grant) = product::pair(number, &[])?;
        engine.agent_changed(&agent);
        engine.grant_changed(&grant).map_err(|problem| problem.detail)?;
    }
    for number in 0..10 {
        let (mut agent, _) = product::pair(number, &[])?;
        agent.name = format!("nobody-{number}");
        engine.agent_changed(&agent);
    }
    Ok(engine)
}

/// An engine with the agents and grants of a store, for the endpoint without a record.
pub async fn engine_of(store: &Store) -> Fallible<Engine> {
    let engine = Engine::new(snapshot()?);
    chancery_store::agents::all(store).await.map_err(text)?.iter().for_each(|agent| engine.agent_changed(agent));
    for grant in chancery_store::grants::all(store).await.map_err(text)? {
        engine.grant_changed(&grant).map_err(|problem| problem.detail)?;
    }
    Ok(engine)
}

fn snapshot() -> Fallible<Snapshot> {
    let files = Files(BTreeMap::from([("bench.cedar".to_owned(), policies::file())]));
    let (servers, tools) = (["billing".to_owned()], [tool()]);
    let sources = Sources { files: &files, servers: &servers, tools: &tools, hash: chancery_tlog::sha256 };
    let built = Snapshot::build(&sources);
    built.map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn tool() -> Tool {
    let definition = crate::floors::tool().to_string();
    Tool {
        server: "billing".to_owned(),
        name: "echo".to_owned(),
        state: ToolState::Pinned,
        digest: chancery_tlog::sha256(definition.as_bytes()),
        definition,
        seen: None,
        since: Timestamp(0),
    }
}

fn arguments(amount: i64) -> Value {
    json!({"amount": amount, "customer": "c-1042", "note": "charged twice"})
}

fn decide(engine: &Engine, now: Timestamp, agent: &str, args: &Value, allowed: bool) -> Fallible {
    let by =
        Acting { session_age: Span::seconds(12), reason: Some("the customer was charged twice"), ..Acting::of(agent) };
    let call = ToolCall { by, server: "billing", tool: "echo", definition: None, args, args_digest: [7; 32] };
    let verdict = engine.tool_call(&call, now);
    if verdict.allows() == allowed { Ok(()) } else { Err(format!("{agent}, {args}: {verdict:?}")) }
}

/// Cedar's own authorizer with every grant as a linked template.
struct Naive {
    policies: PolicySet,
    entities: Entities,
}

impl Naive {
    fn new(grants: usize) -> Fallible<Self> {
        let mut policies = PolicySet::new();
        for (id, content) in policies::STATIC {
            policies.add(Policy::parse(Some(PolicyId::new(id)), content).map_err(text)?).map_err(text)?;
        }
        let (id, content) = policies::TEMPLATE;
        policies.add_template(Template::parse(Some(PolicyId::new(id)), content).map_err(text)?).map_err(text)?;
        for number in 0..grants {
            let slots = HashMap::from([
                (SlotId::principal(), uid("Agent", &format!("agent-{number}"))?),
                (SlotId::resource(), uid("Tool", "billing/echo")?),
            ]);
            policies.link(PolicyId::new(id), PolicyId::new(format!("grant-{number}")), slots).map_err(text)?;
        }
        Ok(Self { policies, entities: Entities::empty() })
    }

    fn decide(&self, agent: &str, allowed: bool) -> Fallible {
        let context = json!({
            "args": arguments(120), "session": {"age_seconds": 12}, "reason": "the customer was charged twice"
        });
        let context = Context::from_json_value(context, None).map_err(text)?;
        let (principal, resource) = (uid("Agent", agent)?, uid("Tool", "billing/echo")?);
        let request = Request::new(principal, uid("Action", "billing/echo")?, resource, context, None).map_err(text)?;
        let answer = Authorizer::new().is_authorized(&request, &self.policies, &self.entities);
        let agrees = (answer.decision() == Decision::Allow) == allowed;
        if agrees { Ok(()) } else { Err(format!("cedar-policy decided otherwise for {agent}: {answer:?}")) }
    }
}

fn uid(kind: &str, id: &str) -> Fallible<EntityUid> {
    Ok(EntityUid::from_type_name_and_id(kind.parse().map_err(text)?, cedar_policy::EntityId::new(id)))
}
