//! Policy tests: Cedar's `run-tests` shape, answered by the same engine as real questions.
//!
//! A file is an array of `{name, request {principal, action, resource, context}, entities, decision, reason,
//! num_errors}`. Three things are more than Cedar's: `grants` of a case (`[{template, principal, resource,
//! mode}]`, by itself where no `mode` is said), `approved` where people had approved exactly this, and the decisions `require_approval` and `step_up`. Agents and servers of a request need not be declared, and a context
//! need not state what nothing was done yet for: meters stand at 0, a session did nothing.

use std::collections::BTreeSet;

use chancery_model::{Agent, AgentKind, AgentState, BearerUse, Grant, GrantMode, Outcome, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Files, failed, unreadable};
use crate::{ActionRef, Diagnostic, Engine, EntityRef, Evaluation, Properties, Snapshot, Sources};

/// One test case that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The file it stands in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// What went wrong; nothing if it passed.
    pub failure: Option<Diagnostic>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    request: Asked,
    #[serde(default)]
    entities: Vec<Value>,
    decision: Outcome,
    #[serde(default)]
    reason: Option<Vec<String>>,
    #[serde(default)]
    num_errors: Option<usize>,
    #[serde(default)]
    grants: Vec<Link>,
    /// Had people approved exactly this?
    #[serde(default)]
    approved: bool,
}

#[derive(Debug, Deserialize)]
struct Asked {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: Properties,
}

#[derive(Debug, Deserialize)]
struct Link {
    template: String,
    principal: String,
    resource: String,
    #[serde(default = "autonomous")]
    mode: GrantMode,
}

fn autonomous() -> GrantMode {
    GrantMode::Autonomous
}

/// Runs the test files of a directory. The error is that of a directory that would not come into force.
pub fn test(sources: &Sources<'_>, now: Timestamp) -> Result<Vec<Ran>, Vec<Diagnostic>> {
    Snapshot::build(sources)?;
    let mut ran = Vec::new();
    for (file, text) in sources.files.tests() {
        match serde_json::from_str::<Vec<Case>>(text) {
            Ok(cases) => ran.extend(cases.iter().map(|case| Ran {
                file: file.to_owned(),
                name: case.name.clone(),
                failure: run(sources, case, now).err().map(|why| failed(file, format!("test `{}`: {why}", case.name))),
            })),
            Err(e) => ran.push(Ran { file: file.to_owned(), name: String::new(), failure: Some(unreadable(file, &e)) }),
        }
    }
    Ok(ran)
}

fn run(sources: &Sources<'_>, case: &Case, now: Timestamp) -> Result<(), String> {
    let entities = entities(sources.files, case)?;
    let mut files = sources.files.clone();
    files.0.insert("entities.json".into(), Value::Array(entities.clone()).to_string());
    let snapshot = Snapshot::build(&Sources { files: &files, ..*sources })
        .map_err(|problems| problems.first().map_or_else(String::new, |p| p.message.clone()))?;
    let asked = question(&case.request, &snapshot)?;
    let engine = Engine::new(snapshot);
    entities.iter().filter_map(agent).for_each(|agent| engine.agent_changed(&agent));
    for (number, link) in case.grants.iter().enumerate() {
        engine.check_grant(&link.template, &link.principal, &link.resource).map_err(|e| e.detail)?;
        let grant = grant(link, number).ok_or("too many grants")?;
        engine.grant_changed(&grant).map_err(|e| e.detail)?;
    }
    let verdict = if case.approved { engine.approved(asked.question(), now) } else { engine.evaluate(&asked, now) };
    compare(case, &verdict)
}

fn compare(case: &Case, verdict: &crate::Verdict) -> Result<(), String> {
    let decision = &verdict.decision;
    if decision.outcome != case.decision {
        let name = |outcome: Outcome| serde_json::to_string(&outcome).unwrap_or_default();
        let why = if verdict.why.is_empty() { String::new() } else { format!(" ({})", verdict.why) };
        return Err(format!("expected {}, got {}{why}", name(case.decision), name(decision.outcome)));
    }
    let determining: BTreeSet<&str> = decision.determining.iter().map(|d| &*d.policy).collect();
    if let Some(reason) = &case.reason {
        let expected: BTreeSet<&str> = reason.iter().map(String::as_str).collect();
        if expected != determining {
            return Err(format!("expected the reason {expected:?}, got {determining:?}"));
        }
    }
    match case.num_errors {
        Some(expected) if expected != decision.errors.len() => {
            Err(format!("expected {expected} errors, got {:?}", decision.errors))
        }
        _ => Ok(()),
    }
}

/// `Type::"id"` in its two parts.
fn parts(text: &str) -> Result<(String, String), String> {
    let uid: cedar_policy_core::ast::EntityUID =
        text.parse().map_err(|_| format!("`{text}` is not an entity, written Type::\"id\""))?;
    let (kind, id) = uid.components();
    Ok((kind.to_string(), id.into_smolstr().to_string()))
}

fn question(asked: &Asked, snapshot: &Snapshot) -> Result<Evaluation, String> {
    let entity = |text: &str| {
        let (kind, id) = parts(text)?;
        Ok::<_, String>(EntityRef { kind, id, properties: Properties::default() })
    };
    let (kind, id) = parts(&asked.action)?;
    let name = if kind == "Action" { id } else { asked.action.clone() };
    Ok(Evaluation {
        subject: entity(&asked.principal)?,
        action: ActionRef { name, properties: Properties::default() },
        resource: entity(&asked.resource)?,
        context: at_the_beginning(asked.context.clone(), snapshot),
    })
}

/// What the context does not say of meters and history is as it is where nothing was done.
fn at_the_beginning(mut context: Properties, snapshot: &Snapshot) -> Properties {
    if context.get("meters").is_none() {
        context.0.push(("meters".to_owned(), json!({})));
    }
    for (name, value) in &mut context.0 {
        let Some(members) = value.as_object_mut() else { continue };
        match name.as_str() {
            "meters" => snapshot.needs().meters.iter().for_each(|meter| {
                members.entry(meter.name.to_string()).or_insert_with(|| 0.into());
            }),
            "session" => {
                members.entry("calls").or_insert_with(|| 0.into());
                members.entry("done").or_insert_with(|| json!([]));
            }
            _ => {}
        }
    }
    context
}

/// The directory's entities, those of the case over them, and the parties of the request where nobody names them.
fn entities(files: &Files, case: &Case) -> Result<Vec<Value>, String> {
    let own: Vec<Value> = match files.entities() {
        Some(text) => serde_json::from_str(text).map_err(|e| format!("entities.json: {e}"))?,
        None => Vec::new(),
    };
    let uid = |item: &Value| {
        let uid = item.get("uid").map(|uid| uid.get("__entity").unwrap_or(uid)).cloned().unwrap_or_default();
        (uid["type"].as_str().unwrap_or_default().to_owned(), uid["id"].as_str().unwrap_or_default().to_owned())
    };
    let stated: BTreeSet<_> = case.entities.iter().map(uid).collect();
    let mut all: Vec<Value> = own.into_iter().filter(|item| !stated.contains(&uid(item))).collect();
    all.extend(case.entities.iter().cloned());
    let known: BTreeSet<_> = all.iter().map(uid).collect();
    for text in [&case.request.principal, &case.request.resource] {
        let (kind, id) = parts(text)?;
        if !known.contains(&(kind.clone(), id.clone())) {
            all.extend(implied(&kind, &id));
        }
    }
    Ok(all)
}

/// What a party is where nobody says more: an agent is registered, a tool says nothing about itself.
fn implied(kind: &str, id: &str) -> Option<Value> {
    let uid = json!({"type": kind, "id": id});
    match kind {
        "Agent" | "Server" | "Group" | "Blueprint" => Some(json!({"uid": uid, "attrs": {}, "parents": []})),
        "Tool" => {
            let server = id.split_once('/').map_or(id, |(server, _)| server);
            let attrs = json!({"destructive": true, "idempotent": false, "open_world": true, "read_only": false});
            Some(json!({"uid": uid, "attrs": attrs, "parents": [{"type": "Server", "id": server}]}))
        }
        _ => None,
    }
}

/// The agent that an entity stands for.
fn agent(item: &Value) -> Option<Agent> {
    let uid = item.get("uid")?;
    let uid = uid.get("__entity").unwrap_or(uid);
    let name = (uid["type"] == "Agent").then(|| uid["id"].as_str()).flatten()?;
    let attribute = |key: &str| item["attrs"][key].as_str().unwrap_or_default().to_owned();
    Some(Agent {
        id: "agt_00000000000000000000000000".parse().ok()?,
        name: name.to_owned(),
        kind: match item["attrs"]["kind"].as_str() {
            Some("service_account") => AgentKind::ServiceAccount,
            Some("bot") => AgentKind::Bot,
            _ => AgentKind::Agent,
        },
        sponsor: attribute("sponsor"),
        owner: attribute("owner"),
        purpose: attribute("purpose"),
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

/// A grant that is always in force. The number tells the grants of a case apart.
fn grant(link: &Link, number: usize) -> Option<Grant> {
    Some(Grant {
        id: format!("grt_{number:026}").parse().ok()?,
        template: link.template.clone(),
        principal: link.principal.clone(),
        resource: link.resource.clone(),
        mode: link.mode,
        justification: String::new(),
        granted_by: String::new(),
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
    })
}
