//! The policies of the sample company: they load, their own tests pass, and lists show what might be permitted.

use std::path::Path;

use chancery_authorize::{Acting, Engine, Files, Snapshot, Sources, files};
use chancery_model::{
    Agent, AgentKind, AgentState, BearerUse, Grant, GrantMode, Hash, Span, Timestamp, Tool, ToolState,
};
use serde_json::json;

const NOW: Timestamp = Timestamp(1_000_000);

fn hash(bytes: &[u8]) -> Hash {
    chancery_tlog::sha256(bytes)
}

fn policies() -> Files {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/acme/policies");
    Files::read(&top).expect("the policies of the sample company")
}

fn servers() -> Vec<String> {
    ["crm", "billing", "procurement", "supply-chain"].map(str::to_owned).to_vec()
}

fn tool(name: &str, read_only: bool) -> Tool {
    let amount = json!({"type": "object", "properties": {
        "invoice_id": {"type": "string"}, "amount": {"type": "integer"}, "reason": {"type": "string"}},
        "required": ["invoice_id", "amount", "reason"]});
    let definition = json!({"name": name, "inputSchema": amount, "annotations": {"readOnlyHint": read_only}});
    Tool {
        server: "billing".into(),
        name: name.into(),
        state: ToolState::Pinned,
        digest: [0; 32],
        definition: definition.to_string(),
        seen: None,
        since: NOW,
    }
}

fn assistant() -> Agent {
    Agent {
        id: "agt_00000000000000000000000000".parse().expect("an id"),
        name: "crm-assistant".into(),
        kind: AgentKind::Agent,
        sponsor: "mara@acme.example".into(),
        owner: "lee@acme.example".into(),
        purpose: "answers customers".into(),
        blueprint: None,
        manifest: None,
        state: AgentState::Active,
        epoch: 0,
        bearer: BearerUse::Refused,
        key_thumbprint: None,
        public_jwk: None,
        created_at: NOW,
        expires_at: Timestamp(i64::MAX),
    }
}

fn grant(number: u32, template: &str, resource: &str) -> Grant {
    Grant {
        id: format!("grt_{number:026}").parse().expect("an id"),
        template: template.into(),
        principal: "Agent::\"crm-assistant\"".into(),
        resource: resource.into(),
        mode: GrantMode::Autonomous,
        justification: "test".into(),
        granted_by: "test".into(),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
    }
}

#[test]
fn its_policies_load_and_pass_their_own_tests() {
    let (files, servers) = (policies(), servers());
    let sources = Sources { files: &files, servers: &servers, tools: &[], hash };
    let ran = files::test(&sources, NOW).expect("the policies load");
    let failed: Vec<String> = ran.iter().filter_map(|test| Some(test.failure.as_ref()?.message.clone())).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(ran.len(), 22);
}

#[test]
fn its_policies_are_formatted() {
    assert_eq!(
        files::unformatted(&policies()).expect("they parse").iter().map(|f| &f.file).collect::<Vec<_>>(),
        [""; 0]
    );
}

#[test]
fn a_tool_is_listed_exactly_if_some_arguments_might_be_permitted() {
    let (files, servers) = (policies(), servers());
    let tools = [tool("get_invoice", true), tool("refund", false)];
    let sources = Sources { files: &files, servers: &servers, tools: &tools, hash };
    let engine = Engine::new(Snapshot::build(&sources).expect("the policies load"));
    engine.agent_changed(&assistant());
    let by = Acting { session_age: Span::seconds(1), ..Acting::of("crm-assistant") };
    let listed = || ["get_invoice", "refund"].map(|tool| engine.lists(by, "billing", tool, NOW));
    assert_eq!(listed(), [false, false], "nothing is granted");
    engine.grant_changed(&grant(1, "tools-read", "Server::\"billing\"")).expect("a grant");
    assert_eq!(listed(), [true, false], "a right to look does not show what writes");
    engine.grant_changed(&grant(2, "refund-small", "Tool::\"billing/refund\"")).expect("a grant");
    assert_eq!(listed(), [true, true], "small refunds might be permitted");
}
