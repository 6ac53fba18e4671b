//! The decision as it is measured: an engine with so many grants, and what cedar-policy alone makes of the same.
//!
//! Both hold the same policies (a template that every grant links, and two global forbids with conditions) and
//! answer the same two questions: a call that a grant permits, and a call that nothing permits.

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicyId, PolicySet, Request, Schema, SlotId, Template};
use chancery_model::{
    Agent, AgentKind, AgentState, BearerUse, Grant, GrantMode, Hash, Span, Timestamp, Tool, ToolState,
};
use serde_json::{Value, json};

use crate::{Acting, Diagnostic, Engine, Files, Snapshot, Sources, ToolCall, Verdict, schema};

/// How many tools the grants are spread over, on ten servers.
const TOOLS: usize = 100;
const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

const POLICIES: &str = r#"
@id("call")
permit (principal in ?principal, action in [Action::"tools/call", Action::"tools/list"], resource in ?resource);

@id("no-old-sessions")
forbid (principal, action in Action::"tools/call", resource)
when { context.session.age_seconds > 28800 };

@id("destructive-needs-a-reason")
forbid (principal is Agent, action in Action::"tools/call", resource is Tool)
when { resource.destructive && principal.kind != "service_account" }
unless { context has reason };
"#;

/// Something that could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the bench cannot be set up: {0}")]
pub struct Unready(String);

fn unready(error: impl std::fmt::Display) -> Unready {
    Unready(error.to_string())
}

/// The engine under measurement.
#[derive(Debug)]
pub struct Bench {
    engine: Engine,
    agent: String,
    tool: String,
    other: String,
    args: Value,
}

impl Bench {
    /// An engine with so many grants, each to one of a tenth as many agents on one of a hundred tools.
    pub fn with_grants(grants: usize) -> Result<Self, Unready> {
        let files = Files([("bench.cedar".to_owned(), POLICIES.to_owned())].into());
        let tools: Vec<Tool> = (0..TOOLS).map(tool).collect();
        let sources = Sources { files: &files, servers: &[], tools: &tools, hash: |_| Hash::default() };
        let first = |problems: Vec<Diagnostic>| unready(problems.first().map_or("", |p| &p.message));
        let engine = Engine::new(Snapshot::build(&sources).map_err(first)?);
        for number in 0..grants.div_ceil(10) {
            engine.agent_changed(&agent(number).ok_or_else(|| unready("no agent"))?);
        }
        for number in 0..grants {
            let grant = grant(number).ok_or_else(|| unready("no grant"))?;
            engine.grant_changed(&grant).map_err(unready)?;
        }
        let (agent, tool) = parties(grants / 2);
        let other = format!("t{}", (grants / 2 + 37) % TOOLS);
        Ok(Self { engine, agent, tool, other, args: json!({"amount": 120, "order": "o-1", "note": "goodwill"}) })
    }

    fn call(&self, tool: &str) -> Verdict {
        let by = Acting {
            session_age: Span::minutes(7),
            reason: Some("the customer asked for it"),
            ..Acting::of(&self.agent)
        };
        let server = server_of(tool);
        let call =
            ToolCall { by, server: &server, tool, definition: None, args: &self.args, args_digest: Hash::default() };
        self.engine.tool_call(&call, NOW)
    }

    /// A call that a grant permits.
    pub fn allow(&self) -> Verdict {
        self.call(&self.tool)
    }

    /// A call by the same agent that nothing permits.
    pub fn deny(&self) -> Verdict {
        self.call(&self.other)
    }
}

/// cedar-policy's own authorizer over one policy set of linked templates.
#[derive(Debug)]
pub struct Naive {
    policies: PolicySet,
    entities: Entities,
    authorizer: Authorizer,
    principal: EntityUid,
    tool: EntityUid,
    other: EntityUid,
    action: EntityUid,
}

impl Naive {
    /// The same policies with so many links.
    pub fn with_grants(grants: usize) -> Result<Self, Unready> {
        let mut policies = PolicySet::new();
        let texts = POLICIES.split_inclusive(";\n").filter(|text| text.contains("@id"));
        for (number, text) in texts.enumerate() {
            let id = PolicyId::new(format!("p{number}"));
            if text.contains("?principal") {
                policies.add_template(Template::parse(Some(id), text).map_err(unready)?).map_err(unready)?;
            } else {
                let policy = cedar_policy::Policy::parse(Some(id), text).map_err(unready)?;
                policies.add(policy).map_err(unready)?;
            }
        }
        for number in 0..grants {
            let (agent, tool) = parties(number);
            let values = [(SlotId::principal(), uid("Agent", &agent)?), (SlotId::resource(), tool_uid(&tool)?)];
            policies.link(PolicyId::new("p0"), PolicyId::new(format!("g{number}")), values.into()).map_err(unready)?;
        }
        let (agent, tool) = parties(grants / 2);
        let other = format!("t{}", (grants / 2 + 37) % TOOLS);
        Ok(Self {
            policies,
            entities: entities(&agent, &[&tool, &other])?,
            authorizer: Authorizer::new(),
            principal: uid("Agent", &agent)?,
            tool: tool_uid(&tool)?,
            other: tool_uid(&other)?,
            action: uid("Action", "tools/call")?,
        })
    }

    fn call(&self, tool: &EntityUid) -> Result<bool, Unready> {
        let context = Context::from_json_value(
            json!({
                "reason": "the customer asked for it",
                "session": {"age_seconds": 420},
            }),
            None,
        );
        let (principal, action) = (self.principal.clone(), self.action.clone());
        let request =
            Request::new(principal, action, tool.clone(), context.map_err(unready)?, None).map_err(unready)?;
        let response = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        Ok(response.decision() == cedar_policy::Decision::Allow)
    }

    /// The call that a grant permits.
    pub fn allow(&self) -> Result<bool, Unready> {
        self.call(&self.tool)
    }

    /// The call that nothing permits.
    pub fn deny(&self) -> Result<bool, Unready> {
        self.call(&self.other)
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Unready> {
    format!("{kind}::\"{id}\"").parse().map_err(unready)
}

fn tool_uid(tool: &str) -> Result<EntityUid, Unready> {
    uid("Tool", &format!("{}/{tool}", server_of(tool)))
}

fn entities(agent: &str, tools: &[&str]) -> Result<Entities, Unready> {
    let (schema, _) = Schema::from_cedarschema_str(schema::BASE).map_err(unready)?;
    let mut all = vec![json!({
        "uid": {"type": "Agent", "id": agent},
        "attrs": {"kind": "agent", "owner": "platform", "purpose": "bench", "sponsor": "mia@example.com"},
        "parents": [],
    })];
    for tool in tools {
        let server = server_of(tool);
        all.push(json!({"uid": {"type": "Server", "id": server}, "attrs": {}, "parents": []}));
        all.push(json!({
            "uid": {"type": "Tool", "id": format!("{server}/{tool}")},
            "attrs": {"destructive": true, "idempotent": false, "open_world": true, "read_only": false},
            "parents": [{"type": "Server", "id": server}],
        }));
    }
    all.dedup();
    Entities::from_json_value(Value::Array(all), Some(&schema)).map_err(unready)
}

fn server_of(tool: &str) -> String {
    format!("s{}", tool.len())
}

/// Whom a grant is to, and what it is on.
fn parties(grant: usize) -> (String, String) {
    (format!("agent-{}", grant / 10), format!("t{}", (grant * 7) % TOOLS))
}

fn tool(number: usize) -> Tool {
    let name = format!("t{number}");
    Tool {
        server: server_of(&name),
        name,
        state: ToolState::Pinned,
        digest: Hash::default(),
        definition: json!({"inputSchema": {"type": "object", "properties": {
            "amount": {"type": "integer"}, "order": {"type": "string"}, "note": {"type": "string"},
        }}})
        .to_string(),
        seen: None,
        since: Timestamp(0),
    }
}

fn agent(number: usize) -> Option<Agent> {
    Some(Agent {
        id: format!("agt_{number:026}").parse().ok()?,
        name: format!("agent-{number}"),
        kind: AgentKind::Agent,
        sponsor: "mia@example.com".into(),
        owner: "platform".into(),
        purpose: "bench".into(),
        blueprint: None,
        manifest: None,
        state: AgentState::Active,
        epoch: 0,
        bearer: BearerUse::Refused,
        key_thumbprint: None,
        public_jwk: None,
        created_at: Timestamp(0),
        expires_at: Timestamp(i64::MAX),
    })
}

fn grant(number: usize) -> Option<Grant> {
    let (agent, tool) = parties(number);
    Some(Grant {
        id: format!("grt_{number:026}").parse().ok()?,
        template: "call".into(),
        principal: format!("Agent::\"{agent}\""),
        resource: format!("Tool::\"{}/{tool}\"", server_of(&tool)),
        mode: GrantMode::Autonomous,
        justification: String::new(),
        granted_by: String::new(),
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
    })
}
