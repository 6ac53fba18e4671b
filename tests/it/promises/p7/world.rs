//! Random worlds: a schema with people, folders and documents of its own beside the agents and tools, policies
//! over both, entities in a hierarchy, agents, grants.

use std::collections::BTreeMap;
use std::sync::Arc;

use chancery_authorize::{Acting, ActionRef, Engine, EntityRef, Evaluation, Facts, Properties, ToolCall, Verdict};
use chancery_model::{
    Agent, AgentKind, AgentState, BearerUse, Grant, GrantMode, Limit, Span, Timestamp, Tool, ToolState,
};
use serde_json::{Value, json};

use super::rng::Rng;

#[path = "limits.rs"]
mod limits;
#[path = "policy.rs"]
mod policy;

pub const PEOPLE: [&str; 2] = ["P0", "P1"];
pub const THINGS: [&str; 2] = ["D0", "D1"];
pub const ACTIONS: usize = 5;
pub const METERS: [&str; 2] = ["m0", "m1"];

/// An action of the world's own: whom and what it applies to.
#[derive(Clone, Debug)]
pub struct Applies {
    pub principals: Vec<&'static str>,
    pub resources: Vec<&'static str>,
    pub groups: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub schema: String,
    pub tools: Vec<Tool>,
    /// File name -> text; one policy a file, named as its id.
    pub policies: BTreeMap<String, String>,
    pub entities: Vec<Value>,
    pub agents: Vec<Agent>,
    pub grants: Vec<Grant>,
    pub now: Timestamp,
    actions: Vec<Applies>,
    given: usize,
}

/// A request in the engine's form.
#[derive(Clone, Debug)]
pub enum Request {
    Evaluation {
        asked: Evaluation,
        stated: Vec<Value>,
    },
    Call {
        agent: String,
        ancestors: Vec<String>,
        human: Option<String>,
        age: i64,
        reason: Option<String>,
        facts: Facts,
        limits: Vec<Value>,
        tool: String,
        args: Value,
    },
}

/// The same in cedar-policy's form.
pub struct Plain {
    pub principal: String,
    pub action: String,
    pub resource: String,
    pub context: Value,
    pub stated: Vec<Value>,
    pub mode: Mode,
}

/// Which grants count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Itself,
    Human,
    Anybody,
}

impl World {
    pub fn generate(rng: &mut Rng) -> Self {
        let actions: Vec<Applies> = (0..ACTIONS)
            .map(|_| Applies {
                principals: rng.some(&PEOPLE),
                resources: rng.some(&THINGS),
                groups: if rng.chance(50) { vec!["all", "edit"] } else { vec!["all"] },
            })
            .collect();
        let mut world = Self {
            schema: schema(&actions),
            tools: (0..4).map(|number| tool(number, rng)).collect(),
            policies: BTreeMap::new(),
            entities: entities(rng),
            agents: (0..4).map(agent).collect(),
            grants: Vec::new(),
            now: Timestamp::from_seconds(1_795_000_000),
            actions,
            given: 0,
        };
        for number in 0..6 + rng.below(18) {
            let id = format!("p{number:02}");
            let text = policy::policy(rng, &world.actions, &id);
            world.policies.insert(format!("{id}.cedar"), text);
        }
        for _ in 0..rng.below(30) {
            let grant = world.grant(rng);
            world.grants.push(grant);
        }
        world
    }

    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = self.policies.clone();
        files.insert("world.cedarschema".into(), self.schema.clone());
        files.insert("entities.json".into(), Value::Array(self.entities.clone()).to_string());
        let meter = |name: &str| json!({"name": name, "counts": "calls", "per": "agent", "window": "1h"});
        files.insert("meters.json".into(), json!(METERS.map(meter)).to_string());
        files
    }

    /// The tools' actions as a person would declare them, from the same facts.
    pub fn tool_schema(&self) -> String {
        let action = |tool: &Tool| {
            let required = if tool.definition.contains("\"required\":[\"amount\"]") { "" } else { "?" };
            format!(
                "action \"{}\" in [\"tools/call\"] appliesTo {{ principal: [Agent, Human], resource: Tool, context: {{\n  \
                 args: {{ amount{required}: Long, price?: decimal, note?: String, urgent?: Bool, tags?: Set<String> }},\n  \
                 session: Session, meters: Meters, human?: Human, reason?: String }} }};\n",
                tool.qualified()
            )
        };
        self.tools.iter().map(action).collect()
    }

    /// Everything that exists, as the engine's directory has it.
    pub fn all_entities(&self) -> Value {
        let mut all: Vec<Value> = self.entities.iter().filter(|e| e["uid"]["type"] != "Agent").cloned().collect();
        for agent in &self.agents {
            let listed = self.entities.iter().find(|e| e["uid"] == json!({"type": "Agent", "id": agent.name}));
            let mut parents = listed.map_or_else(Vec::new, |e| e["parents"].as_array().cloned().unwrap_or_default());
            parents.extend(agent.blueprint.as_ref().map(|b| json!({"type": "Blueprint", "id": b})));
            all.push(json!({
                "uid": {"type": "Agent", "id": agent.name},
                "attrs": {"kind": "agent", "owner": agent.owner, "purpose": agent.purpose, "sponsor": agent.sponsor},
                "parents": parents,
            }));
        }
        for server in ["s0", "s1"] {
            all.push(json!({"uid": {"type": "Server", "id": server}, "attrs": {}, "parents": []}));
        }
        for tool in &self.tools {
            let reads = tool.definition.contains("readOnlyHint");
            all.push(json!({
                "uid": {"type": "Tool", "id": tool.qualified()},
                "attrs": {"destructive": !reads, "idempotent": false, "open_world": true, "read_only": reads},
                "parents": [{"type": "Server", "id": tool.server}],
            }));
        }
        Value::Array(all)
    }

    pub fn in_force(&self, mode: Mode) -> impl Iterator<Item = &Grant> {
        let counts = move |grant: &&Grant| match mode {
            Mode::Itself => grant.mode == GrantMode::Autonomous,
            Mode::Human => grant.mode == GrantMode::OnBehalfOf,
            Mode::Anybody => true,
        };
        let now = self.now;
        self.grants.iter().filter(move |grant| grant.in_force(now)).filter(counts)
    }

    fn grant(&mut self, rng: &mut Rng) -> Grant {
        self.given += 1;
        let of_tools = rng.chance(50);
        let (principal, resource) = if of_tools {
            let human = format!("Human::\"h{}\"", rng.below(2));
            let who = [format!("Agent::\"a{}\"", rng.below(5)), group(rng), "Blueprint::\"b0\"".into(), human];
            let tool = rng.pick(&self.tools).qualified();
            (rng.pick(&who).clone(), rng.pick(&[format!("Tool::\"{tool}\""), "Server::\"s0\"".into()]).clone())
        } else {
            let who = [format!("{}::\"p{}\"", rng.pick(&PEOPLE), rng.below(5)), format!("Team::\"t{}\"", rng.below(3))];
            let what =
                [format!("{}::\"d{}\"", rng.pick(&THINGS), rng.below(5)), format!("Folder::\"f{}\"", rng.below(3))];
            (rng.pick(&who).clone(), rng.pick(&what).clone())
        };
        let templates: Vec<&String> =
            self.policies.iter().filter(|(_, t)| t.contains("?principal")).map(|(f, _)| f).collect();
        let template = if templates.is_empty() { "none" } else { rng.pick(&templates).trim_end_matches(".cedar") };
        Grant {
            id: format!("grt_{:026}", self.given).parse().unwrap(),
            template: template.to_owned(),
            principal,
            resource,
            mode: if rng.chance(60) { GrantMode::Autonomous } else { GrantMode::OnBehalfOf },
            justification: String::new(),
            granted_by: String::new(),
            created_at: Timestamp(0),
            expires_at: rng.chance(30).then(|| self.now + Span::seconds(rng.below(3) as i64 - 1)),
            revoked_at: rng.chance(10).then_some(Timestamp(1)),
        }
    }

    /// Gives some grants and revokes others; returns the changed ones.
    pub fn change_grants(&mut self, rng: &mut Rng) -> Vec<Grant> {
        let mut changed = Vec::new();
        for grant in &mut self.grants {
            if rng.chance(25) {
                grant.revoked_at = Some(Timestamp(2));
                changed.push(grant.clone());
            }
        }
        for _ in 0..rng.below(8) {
            let grant = self.grant(rng);
            self.grants.push(grant.clone());
            changed.push(grant);
        }
        changed
    }

    pub fn request(&self, rng: &mut Rng) -> Request {
        if rng.chance(40) { self.call(rng) } else { self.evaluation(rng) }
    }

    fn call(&self, rng: &mut Rng) -> Request {
        let tool = rng.pick(&self.tools);
        let mut args = json!({"amount": rng.below(300), "unknown": {"x": [1, 2]}});
        for (name, value) in [
            ("price", json!(rng.below(4000) as f64 / 16.0)),
            ("note", json!(rng.pick(&["alpha", "beta", ""]))),
            ("urgent", json!(rng.chance(50))),
            ("tags", json!(rng.some(&["x", "y", "z"]))),
        ] {
            if rng.chance(60) {
                args[name] = value;
            }
        }
        let mut meters = BTreeMap::new();
        for name in METERS {
            if rng.chance(70) {
                meters.insert(name.into(), rng.below(8) as i64);
            }
        }
        let agent = rng.below(4);
        let others = (0..4).filter(|other| *other != agent && rng.chance(12)).map(|other| format!("a{other}"));
        Request::Call {
            ancestors: others.collect(),
            agent: format!("a{agent}"),
            human: rng.chance(35).then(|| format!("h{}", rng.below(2))),
            age: rng.below(1000) as i64,
            reason: rng.chance(50).then(|| "because".to_owned()),
            facts: Facts {
                // One that is not there stands at 0.
                meters,
                done: self.tools.iter().filter(|_| rng.chance(40)).map(|tool| tool.qualified().into()).collect(),
                calls: rng.below(10) as i64,
                ..Facts::default()
            },
            limits: if rng.chance(40) { (0..=rng.below(2)).map(|_| limits::set(rng)).collect() } else { Vec::new() },
            tool: tool.qualified(),
            args,
        }
    }

    fn evaluation(&self, rng: &mut Rng) -> Request {
        let number = rng.below(ACTIONS);
        let applies = &self.actions[number];
        let (kind, thing) = (*rng.pick(&applies.principals), *rng.pick(&applies.resources));
        let mut stated = Vec::new();
        let (who, what) = (format!("p{}", rng.below(7)), format!("d{}", rng.below(7)));
        let subject = self.party(rng, kind, who, person, &mut stated);
        let resource = self.party(rng, thing, what, document, &mut stated);
        let mut context =
            vec![("amount".to_owned(), json!(rng.below(300))), ("urgent".to_owned(), json!(rng.chance(50)))];
        if rng.chance(50) {
            context.push(("note".to_owned(), json!(rng.pick(&["alpha", "beta"]))));
        }
        let action = ActionRef { name: format!("a{number}"), properties: Properties::default() };
        Request::Evaluation { asked: Evaluation { subject, action, resource, context: Properties(context) }, stated }
    }

    /// A party of a request. One that the directory does not know, and some that it does, comes with properties.
    fn party(
        &self,
        rng: &mut Rng,
        kind: &str,
        id: String,
        attributes: fn(&mut Rng) -> Value,
        stated: &mut Vec<Value>,
    ) -> EntityRef {
        let uid = json!({"type": kind, "id": id});
        let known = self.entities.iter().find(|e| e["uid"] == uid);
        let mut properties = Properties::default();
        if known.is_none() || rng.chance(30) {
            let said = attributes(rng);
            let mut entity = known.cloned().unwrap_or_else(|| json!({"uid": uid, "attrs": {}, "parents": []}));
            for (name, value) in said.as_object().unwrap() {
                entity["attrs"][name] = value.clone();
                properties.0.push((name.clone(), value.clone()));
            }
            // What the schema does not declare is not seen by policies.
            properties.0.push(("shoe_size".into(), json!(43)));
            stated.push(entity);
        }
        EntityRef { kind: kind.to_owned(), id, properties }
    }
}

impl Request {
    pub fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. })
    }

    pub fn ask(&self, engine: &Engine, now: Timestamp) -> Verdict {
        match self {
            Self::Evaluation { asked, .. } => engine.evaluate(asked, now),
            Self::Call { agent, ancestors, human, age, reason, facts, limits, tool, args } => {
                let limits: Vec<Arc<[Limit]>> =
                    limits.iter().map(|set| Limit::read(&set.to_string()).unwrap().into()).collect();
                let ancestors: Vec<&str> = ancestors.iter().map(String::as_str).collect();
                let (server, tool) = tool.split_once('/').unwrap();
                let by = Acting {
                    facts,
                    limits: &limits,
                    ancestors: &ancestors,
                    human: human.as_deref(),
                    session_age: Span::seconds(*age),
                    reason: reason.as_deref(),
                    ..Acting::of(agent)
                };
                engine.tool_call(&ToolCall { by, server, tool, definition: None, args, args_digest: [7; 32] }, now)
            }
        }
    }

    /// Is it within every set of limits?
    pub fn is_within_limits(&self) -> bool {
        let Self::Call { limits, tool, args, .. } = self else { return true };
        limits.iter().all(|set| limits::cover(set, tool, args))
    }

    /// Is it asked of more than one, and is it narrowed?
    pub fn kind(&self) -> (bool, bool) {
        let Self::Call { ancestors, human, limits, .. } = self else { return (false, false) };
        (!ancestors.is_empty() || human.is_some(), !limits.is_empty())
    }

    /// The same question about everybody else whose right it takes, in the order in which they are asked.
    pub fn others(&self) -> Vec<Plain> {
        let Self::Call { ancestors, human, .. } = self else { return Vec::new() };
        let agents =
            ancestors.iter().rev().map(|name| Plain { principal: format!("Agent::\"{name}\""), ..self.plain() });
        let human = human.iter().map(|name| Plain {
            principal: format!("Human::\"{name}\""),
            mode: Mode::Anybody,
            ..self.plain()
        });
        agents.chain(human).collect()
    }

    pub fn plain(&self) -> Plain {
        match self {
            Self::Evaluation { asked, stated } => Plain {
                principal: format!("{}::\"{}\"", asked.subject.kind, asked.subject.id),
                action: format!("Action::\"{}\"", asked.action.name),
                resource: format!("{}::\"{}\"", asked.resource.kind, asked.resource.id),
                context: serde_json::to_value(&asked.context).unwrap(),
                stated: stated.clone(),
                mode: Mode::Itself,
            },
            Self::Call { agent, human, age, reason, facts, tool, args, .. } => {
                let mut typed = args.clone();
                typed.as_object_mut().unwrap().remove("unknown");
                if let Some(price) = args.get("price") {
                    let text = format!("{:?}", price.as_f64().unwrap());
                    typed["price"] = json!({"__extn": {"fn": "decimal", "arg": text}});
                }
                let stands = |name: &str| (name.to_owned(), json!(facts.meters.get(name).copied().unwrap_or(0)));
                let mut context = json!({
                    "args": typed,
                    "meters": METERS.map(stands).into_iter().collect::<BTreeMap<_, _>>(),
                    "session": {"age_seconds": age, "calls": facts.calls, "done": facts.done},
                });
                if let Some(human) = human {
                    context["human"] = json!({"__entity": {"type": "Human", "id": human}});
                }
                if let Some(reason) = reason {
                    context["reason"] = json!(reason);
                }
                Plain {
                    principal: format!("Agent::\"{agent}\""),
                    action: format!("Action::\"{tool}\""),
                    resource: format!("Tool::\"{tool}\""),
                    context,
                    stated: Vec::new(),
                    mode: if human.is_some() { Mode::Human } else { Mode::Itself },
                }
            }
        }
    }
}

fn schema(actions: &[Applies]) -> String {
    let mut text = "entity Team in [Team];\nentity Folder in [Folder];\naction \"all\";\naction \"edit\";\n".to_owned();
    for kind in PEOPLE {
        text += &format!(
            "entity {kind} in [Team, Group] = {{ level: Long, name: String, active: Bool, tags: Set<String>, peer: P0, boss?: P1 }};\n"
        );
    }
    for kind in THINGS {
        text += &format!(
            "entity {kind} in [Folder] = {{ size: Long, label: String, secret: Bool, score: decimal, owner?: P0 }};\n"
        );
    }
    for (number, a) in actions.iter().enumerate() {
        text += &format!(
            "action \"a{number}\" in {:?} appliesTo {{ principal: [{}], resource: [{}], context: {{ amount: Long, urgent: Bool, note?: String }} }};\n",
            a.groups,
            a.principals.join(", "),
            a.resources.join(", ")
        );
    }
    text
}

fn person(rng: &mut Rng) -> Value {
    let mut value = json!({
        "level": rng.below(10),
        "name": rng.pick(&["ann", "bob", "cid"]),
        "active": rng.chance(60),
        "tags": rng.some(&["x", "y", "z"]),
        "peer": {"type": "P0", "id": format!("p{}", rng.below(7))},
    });
    if rng.chance(60) {
        value["boss"] = json!({"type": "P1", "id": format!("p{}", rng.below(7))});
    }
    value
}

fn document(rng: &mut Rng) -> Value {
    let mut value = json!({
        "size": rng.below(100),
        "label": rng.pick(&["red", "blue"]),
        "secret": rng.chance(40),
        "score": format!("{}.5", rng.below(5)),
    });
    if rng.chance(60) {
        value["owner"] = json!({"type": "P0", "id": format!("p{}", rng.below(7))});
    }
    value
}

fn group(rng: &mut Rng) -> String {
    format!("Group::\"g{}\"", rng.below(3))
}

fn parents(rng: &mut Rng, kind: &str, letter: &str) -> Vec<Value> {
    (0..3).filter(|_| rng.chance(35)).map(|n| json!({"type": kind, "id": format!("{letter}{n}")})).collect()
}

fn entities(rng: &mut Rng) -> Vec<Value> {
    let mut all = Vec::new();
    for (kind, letter) in [("Team", "t"), ("Folder", "f"), ("Group", "g")] {
        for n in 0..3 {
            let above =
                (n + 1..3).filter(|_| rng.chance(50)).map(|m| json!({"type": kind, "id": format!("{letter}{m}")}));
            let above: Vec<Value> = above.collect();
            all.push(json!({"uid": {"type": kind, "id": format!("{letter}{n}")}, "attrs": {}, "parents": above}));
        }
    }
    for n in 0..5 {
        for kind in PEOPLE {
            let mut above = parents(rng, "Team", "t");
            above.extend(parents(rng, "Group", "g"));
            all.push(json!({"uid": {"type": kind, "id": format!("p{n}")}, "attrs": person(rng), "parents": above}));
        }
        for kind in THINGS {
            let above = parents(rng, "Folder", "f");
            all.push(json!({"uid": {"type": kind, "id": format!("d{n}")}, "attrs": document(rng), "parents": above}));
        }
        let above = parents(rng, "Group", "g");
        all.push(json!({"uid": {"type": "Agent", "id": format!("a{n}")}, "parents": above}));
    }
    let above = parents(rng, "Group", "g");
    all.push(json!({"uid": {"type": "Blueprint", "id": "b0"}, "attrs": {}, "parents": above}));
    all.push(json!({"uid": {"type": "Human", "id": "h0"}, "attrs": {"email": "h0@example.com"}, "parents": []}));
    all
}

fn agent(number: usize) -> Agent {
    Agent {
        id: format!("agt_{number:026}").parse().unwrap(),
        name: format!("a{number}"),
        kind: AgentKind::Agent,
        sponsor: "h0".into(),
        owner: ["platform", "sales"][number % 2].into(),
        purpose: "testing".into(),
        blueprint: number.is_multiple_of(2).then(|| "b0".to_owned()),
        manifest: None,
        state: AgentState::Active,
        epoch: 1,
        bearer: BearerUse::Refused,
        key_thumbprint: None,
        public_jwk: None,
        created_at: Timestamp(0),
        expires_at: Timestamp(i64::MAX),
    }
}

fn tool(number: usize, rng: &mut Rng) -> Tool {
    let required: Vec<&str> = if rng.chance(50) { vec!["amount"] } else { Vec::new() };
    let mut definition = json!({"inputSchema": {"type": "object", "required": required, "properties": {
        "amount": {"type": "integer"}, "price": {"type": "number"}, "note": {"type": "string"},
        "urgent": {"type": ["boolean", "null"]}, "tags": {"type": "array", "items": {"type": "string"}},
        "unknown": {},
    }}});
    if rng.chance(40) {
        definition["annotations"] = json!({"readOnlyHint": true});
    }
    Tool {
        server: format!("s{}", number % 2),
        name: format!("t{number}"),
        state: ToolState::Pinned,
        digest: [0; 32],
        definition: definition.to_string(),
        seen: None,
        since: Timestamp(0),
    }
}
