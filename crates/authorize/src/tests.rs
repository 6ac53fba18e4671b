//! The room through its own door.

mod decisions;
mod explanations;
mod loading;

use chancery_model::{Agent, AgentKind, AgentState, BearerUse, Grant, GrantMode, Span, Timestamp, Tool, ToolState};
use serde_json::{Value, json};

use crate::{Acting, Diagnostic, Engine, Files, Snapshot, Sources, ToolCall, Verdict};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn files(named: &[(&str, &str)]) -> Files {
    Files(named.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

fn tool(server: &str, name: &str, definition: Value) -> Tool {
    Tool {
        server: server.into(),
        name: name.into(),
        state: ToolState::Pinned,
        digest: [0; 32],
        definition: definition.to_string(),
        seen: None,
        since: Timestamp(0),
    }
}

/// `billing/refund` (order, amount, note) and `billing/list`, which only reads.
fn tools() -> Vec<Tool> {
    let refund = json!({"inputSchema": {"type": "object", "required": ["order", "amount"], "properties": {
        "order": {"type": "string"}, "amount": {"type": "integer"}, "note": {"type": "string"},
    }}});
    let list = json!({"inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    vec![tool("billing", "refund", refund), tool("billing", "list", list)]
}

fn build(named: &[(&str, &str)]) -> Result<Snapshot, Vec<Diagnostic>> {
    build_with(named, &tools())
}

fn build_with(named: &[(&str, &str)], tools: &[Tool]) -> Result<Snapshot, Vec<Diagnostic>> {
    let servers = ["billing".to_owned(), "unseen".to_owned()];
    Snapshot::build(&Sources { files: &files(named), servers: &servers, tools, hash: |_| [0; 32] })
}

fn agent(name: &str) -> Agent {
    Agent {
        id: "agt_00000000000000000000000001".parse().unwrap(),
        name: name.into(),
        kind: AgentKind::Agent,
        sponsor: "mia@example.com".into(),
        owner: "platform".into(),
        purpose: "testing".into(),
        blueprint: None,
        manifest: None,
        state: AgentState::Active,
        epoch: 1,
        bearer: BearerUse::Refused,
        key_thumbprint: None,
        public_jwk: None,
        created_at: Timestamp(0),
        expires_at: NOW + Span::days(1),
    }
}

fn grant(number: usize, template: &str, principal: &str, resource: &str) -> Grant {
    Grant {
        id: format!("grt_{number:026}").parse().unwrap(),
        template: template.into(),
        principal: principal.into(),
        resource: resource.into(),
        mode: GrantMode::Autonomous,
        justification: "tests".into(),
        granted_by: "mia".into(),
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
    }
}

/// An engine over one policy file, with the agent `crm` registered.
fn engine(policies: &str) -> Engine {
    let engine = Engine::new(build(&[("policies.cedar", policies)]).unwrap());
    engine.agent_changed(&agent("crm"));
    engine
}

const CALL: &str = r#"@id("tools-call") permit (principal in ?principal, action in [Action::"tools/call", Action::"tools/list"], resource in ?resource);"#;

fn by(agent: &str) -> Acting<'_> {
    Acting { session_age: Span::minutes(1), ..Acting::of(agent) }
}

fn refund(engine: &Engine, args: &Value) -> Verdict {
    let call =
        ToolCall { by: by("crm"), server: "billing", tool: "refund", definition: None, args, args_digest: [9; 32] };
    engine.tool_call(&call, NOW)
}
