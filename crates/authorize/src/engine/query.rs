//! From what was asked to a question in the engine's terms, or a refusal with its reason.

use std::borrow::Cow;
use std::sync::Arc;

use cedar_policy_core::ast::{Context, Entity, EntityType, EntityUID, Literal, PartialValue, Value, ValueKind};
use chancery_model::problem::{
    AGENT_STOPPED, BAD_ARGUMENT, BAD_EVALUATION, DENIED, POLICIES_BEHIND, QUARANTINED, Row, UNREVIEWED,
};
use chancery_model::{AgentState, Hash, Span, Timestamp, ToolState};
use serde_json::{Map, Value as Json, json};

use super::State;
use super::directory::Known;
use crate::authzen::{EntityRef, Question};
use crate::call::{Acting, ServerAct, ToolCall};
use crate::decide::{APPROVAL, For, Lookup, Query, approval};
use crate::entity::{self, Node};
use crate::json::{EXACT, Properties};
use crate::rule::Rule;
use crate::scope::Side;
use crate::snapshot::{Action, Callable, Snapshot};
use crate::value::{Field, Fields, Misfit, Shape};
use crate::verdict::Verdict;

/// Types whose entities the directory keeps: what a caller says about them does not count.
const OURS: [&str; 5] = ["Agent", "Server", "Tool", "Blueprint", "Group"];

/// Why a question is answered without asking the policies.
#[derive(Debug)]
pub(crate) struct Refusal {
    row: Row,
    why: Cow<'static, str>,
}

impl Refusal {
    pub fn new(row: Row, why: impl Into<Cow<'static, str>>) -> Self {
        Self { row, why: why.into() }
    }

    pub fn denied(why: &'static str) -> Self {
        Self::new(DENIED, why)
    }

    pub fn why(&self) -> &str {
        &self.why
    }

    pub fn verdict(self, snapshot: &Snapshot) -> Verdict {
        Verdict::refused(&snapshot.version, self.row, self.why)
    }
}

/// A question, and the tool it is about.
pub(crate) fn tool_call<'s>(
    state: &'s State,
    call: &ToolCall<'_>,
    now: Timestamp,
) -> Result<(Query, &'s Callable), Refusal> {
    let agent = acting(state, call.by.agent, now)?;
    let callable = callable(state, call.server, call.tool, call.definition.as_ref())?;
    let args = arguments(state, callable, call.args)?;
    let context = context(state, &call.by, Some(args))?;
    Ok((query(&agent, &callable.action, &callable.node, context, &call.by), callable))
}

/// Two questions about one tool: may it be listed, and may it be called with anything.
pub(crate) fn listing(
    state: &State,
    by: Acting<'_>,
    server: &str,
    tool: &str,
    now: Timestamp,
) -> Result<(Query, Query), Refusal> {
    let agent = acting(state, by.agent, now)?;
    let callable = callable(state, server, tool, None)?;
    let list = action(state, "tools/list")?;
    // Nobody is asked about a listing: what may be called once it is approved is shown.
    let by = Acting { approved: true, ..by };
    Ok((
        query(&agent, list, &callable.node, context(state, &by, None)?, &by),
        query(&agent, &callable.action, &callable.node, context(state, &by, None)?, &by),
    ))
}

/// A question about a server or something of it, and the server.
pub(crate) fn server_act(state: &State, act: &ServerAct<'_>, now: Timestamp) -> Result<(Query, Arc<str>), Refusal> {
    let agent = acting(state, act.by.agent, now)?;
    let (name, server) = state
        .snapshot
        .servers
        .get(act.server)
        .ok_or_else(|| Refusal::new(DENIED, format!("there is no server `{}`", act.server)))?;
    let action = action(state, act.action)?;
    let resource = match act.resource {
        None => Arc::clone(server),
        Some(id) => part(state, action, server, act.server, id)?,
    };
    if !action.takes_resource(resource.uid.entity_type()) {
        let kind = resource.uid.entity_type();
        return Err(Refusal::new(DENIED, format!("`{}` cannot be asked of a {kind}", act.action)));
    }
    Ok((query(&agent, action, &resource, context(state, &act.by, None)?, &act.by), Arc::clone(name)))
}

fn query(agent: &Known, action: &Arc<Action>, resource: &Arc<Node>, context: Context, by: &Acting<'_>) -> Query {
    Query {
        principal: Arc::clone(&agent.node),
        action: Arc::clone(action),
        resource: Arc::clone(resource),
        context,
        mode: if by.human.is_some() { For::Human } else { For::Itself },
        presence: by.presence.map(Span::as_seconds),
        approved: by.approved,
        others: Vec::new(),
    }
}

pub(super) fn acting(state: &State, name: &str, now: Timestamp) -> Result<Arc<Known>, Refusal> {
    let known = state.agents.get(name);
    let known = known.ok_or_else(|| Refusal::new(DENIED, format!("no agent `{name}` is registered")))?;
    if let Some(blueprint) = known.blueprint.as_ref().filter(|blueprint| blueprint.is_suspended()) {
        let why = format!("agent `{name}` is stopped: its blueprint `{}` is suspended", blueprint.name);
        return Err(Refusal::new(AGENT_STOPPED, why));
    }
    match known.state {
        AgentState::Active if now < known.expires_at => Ok(known),
        AgentState::Active => Err(Refusal::new(AGENT_STOPPED, format!("the time of agent `{name}` is over"))),
        AgentState::Registered => Err(Refusal::new(AGENT_STOPPED, format!("agent `{name}` has not enrolled a key"))),
        AgentState::Suspended => Err(Refusal::new(AGENT_STOPPED, format!("agent `{name}` is suspended"))),
    }
}

/// A tool that may be called, by the definition that the policies were checked against.
fn callable<'s>(
    state: &'s State,
    server: &str,
    tool: &str,
    definition: Option<&Hash>,
) -> Result<&'s Callable, Refusal> {
    let tools = state.snapshot.tools.get(server);
    let Some(found) = tools.and_then(|tools| tools.get(tool)) else {
        usable(state, &format!("{server}/{tool}"), definition)?;
        return Err(Refusal::new(DENIED, format!("server `{server}` has no pinned tool `{tool}`")));
    };
    usable(state, found.node.uid.eid().as_ref(), definition)?;
    Ok(found)
}

/// May this tool be used at all? Not while it is quarantined, and not by another definition than the one the policies
/// were checked against: they would look for arguments that it does not have. What is no known tool is for others to
/// judge.
fn usable(state: &State, qualified: &str, definition: Option<&Hash>) -> Result<(), Refusal> {
    let built = state.snapshot.standing.get(qualified);
    let Some(now) = state.tools.get(qualified).or(built.copied()) else { return Ok(()) };
    if state.tools.is_blocked(qualified) {
        return Err(Refusal::new(UNREVIEWED, format!("what the server of `{qualified}` lists could not be reviewed")));
    }
    if now.state == ToolState::Quarantined {
        return Err(Refusal::new(QUARANTINED, format!("the tool `{qualified}` waits for approval")));
    }
    let known = built.is_some_and(|built| built.digest == now.digest && definition.is_none_or(|d| *d == built.digest));
    let why = || format!("the policies in force do not know this definition of `{qualified}` yet");
    if known { Ok(()) } else { Err(Refusal::new(POLICIES_BEHIND, why())) }
}

pub(super) fn action<'s>(state: &'s State, name: &str) -> Result<&'s Arc<Action>, Refusal> {
    let found = state.snapshot.named_actions.get(name);
    found.ok_or_else(|| Refusal::new(DENIED, format!("the schema has no action `{name}`")))
}

/// The typed arguments that some policy looks at.
fn arguments(state: &State, callable: &Callable, args: &Json) -> Result<Value, Refusal> {
    let none = Map::new();
    let members = match args {
        Json::Object(members) => members,
        Json::Null => &none,
        _ => return Err(Refusal::new(BAD_ARGUMENT, "the arguments are not an object")),
    };
    let record = callable.args.record(members, |name| state.snapshot.reads.sees(name));
    record.map_err(|misfit| Refusal::new(BAD_ARGUMENT, format!("argument {misfit}")))
}

fn context(state: &State, by: &Acting<'_>, args: Option<Value>) -> Result<Context, Refusal> {
    let human = by.human.map(|human| {
        let kind = entity::entity_type("Human").ok_or_else(|| Refusal::new(DENIED, "the schema has no Human"))?;
        Ok(Value::from(entity::uid(&kind, human)))
    });
    let asked = state.snapshot.reads.sees(APPROVAL).then(|| approval(by.approved));
    let members = [
        asked.map(|approval| (APPROVAL, approval)),
        args.map(|args| ("args", args)),
        human.transpose()?.map(|human| ("human", human)),
        meters(state, by).map(|meters| ("meters", meters)),
        by.reason.map(|reason| ("reason", Value::from(reason))),
        Some(("session", session(state, by))),
    ];
    Ok(Context::Value(Arc::new(members.into_iter().flatten().map(|(name, value)| (name.into(), value)).collect())))
}

/// What policies may see of a session. What none looks at is left out.
fn session(state: &State, by: &Acting<'_>) -> Value {
    let sees = |name: &str| state.snapshot.reads.sees(name);
    let text = |text: &Option<Arc<str>>| text.as_deref().map(Value::from);
    let done = || Value::set(by.facts.done.iter().map(|tool| Value::from(&**tool)), None);
    let members = [
        Some(("age_seconds", Value::from(by.session_age.as_seconds().clamp(0, EXACT)))),
        sees("calls").then(|| ("calls", Value::from(by.facts.calls.clamp(0, EXACT)))),
        sees("done").then(|| ("done", done())),
        text(&by.facts.purpose).filter(|_| sees("purpose")).map(|purpose| ("purpose", purpose)),
        text(&by.facts.task).filter(|_| sees("task")).map(|task| ("task", task)),
    ];
    Value::record(members.into_iter().flatten(), None)
}

/// Where the meters stand, if some policy looks at any.
fn meters(state: &State, by: &Acting<'_>) -> Option<Value> {
    let snapshot = &state.snapshot;
    let value = |name: &str| Value::from(by.facts.meters.get(name).copied().unwrap_or(0).clamp(0, EXACT));
    let members = snapshot.needs.meters.iter().map(|meter| (&*meter.name, value(&meter.name)));
    snapshot.reads.sees("meters").then(|| Value::record(members, None))
}

/// A resource or prompt of a server: as the directory has it, or just as something in the server.
fn part(state: &State, action: &Action, server: &Node, name: &str, id: &str) -> Result<Arc<Node>, Refusal> {
    let mut kinds = ["Resource", "Prompt"].into_iter().filter_map(|kind| state.snapshot.types.get(kind));
    let (kind, fields) = kinds
        .find(|(kind, _)| action.takes_resource(kind))
        .ok_or_else(|| Refusal::new(DENIED, "this cannot be asked of a part of a server"))?;
    let uid = entity::uid(kind, &format!("{name}/{id}"));
    if let Some(node) = state.snapshot.entities.get(&uid) {
        return Ok(Arc::clone(node));
    }
    let uri = fields.0.contains_key("uri").then(|| ("uri".into(), PartialValue::Value(Value::from(id))));
    let far = server.entity.ancestors().cloned().collect();
    let near = [server.uid.clone()].into();
    Ok(Arc::new(Node::of(Arc::new(Entity::new_with_attr_partial_value(uid, uri, far, near, [])))))
}

// --- AuthZEN --------------------------------------------------------------------------------------------------

/// An AuthZEN question in the engine's terms.
pub(crate) fn evaluation(state: &State, asked: Question<'_>, now: Timestamp) -> Result<Query, Refusal> {
    let action = authzen_action(state, &asked.action.name)?;
    usable(state, action.node.uid.eid().as_ref(), None)?;
    let takes_principal = |kind: &EntityType| action.takes_principal(kind);
    let takes_resource = |kind: &EntityType| action.takes_resource(kind);
    agree(asked.subject, asked.resource)?;
    let both = same(asked.subject, asked.resource).then_some(asked.resource);
    let principal = subject(state, "subject", asked.subject, both, takes_principal, now)?;
    let resource = match both {
        Some(_) if takes_resource(principal.uid.entity_type()) => Arc::clone(&principal),
        _ => subject(state, "resource", asked.resource, None, takes_resource, now)?,
    };
    let context = authzen_context(state, action, asked.context)?;
    let mode = match person(&context) {
        _ if asked.subject.kind == "Human" => For::Anybody,
        Some(_) => For::Human,
        None => For::Itself,
    };
    let action = Arc::clone(action);
    Ok(Query { principal, action, resource, context, mode, presence: None, approved: false, others: Vec::new() })
}

/// The person in whose name it is done, by name.
fn person(context: &Context) -> Option<&str> {
    let Context::Value(members) = context else { return None };
    let kind = entity::entity_type("Human")?;
    match members.get("human")?.value_kind() {
        ValueKind::Lit(Literal::EntityUID(uid)) if *uid.entity_type() == kind => Some(uid.eid().as_ref()),
        _ => None,
    }
}

impl Query {
    /// Who asks by AuthZEN: nothing is known there of a chain or of limits.
    pub fn asks(&self) -> Acting<'_> {
        let human = person(&self.context).filter(|_| self.mode == For::Human);
        Acting { human, ..Acting::of(self.principal.uid.eid().as_ref()) }
    }
}

fn authzen_action<'s>(state: &'s State, name: &str) -> Result<&'s Arc<Action>, Refusal> {
    if let Some(action) = state.snapshot.named_actions.get(name) {
        return Ok(action);
    }
    let uid = crate::schema::action_uid(name);
    uid.and_then(|uid| state.snapshot.actions.get(&uid)).ok_or_else(|| {
        let known: Vec<&str> = state.snapshot.named_actions.keys().map(String::as_str).collect();
        Refusal::new(BAD_EVALUATION, format!("the schema has no action `{name}`{}", did_you_mean(name, &known)))
    })
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    // The search is for people's typing mistakes; an attacker's kilobytes are not worth its time.
    let near = (name.len() <= 64).then(|| cedar_policy_core::fuzzy_match::fuzzy_search_limited(name, known, Some(3)));
    near.flatten().map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn same(a: &EntityRef, b: &EntityRef) -> bool {
    a.kind == b.kind && a.id == b.id
}

/// Subject and resource may be one entity; then they may not say different things about it.
fn agree(subject: &EntityRef, resource: &EntityRef) -> Result<(), Refusal> {
    let differs = |(name, value): &&(String, Json)| resource.properties.get(name).is_some_and(|other| other != value);
    match subject.properties.0.iter().find(differs) {
        Some((name, _)) if same(subject, resource) => Err(Refusal::new(
            BAD_EVALUATION,
            format!("subject and resource are one entity with two values of `{name}`"),
        )),
        _ => Ok(()),
    }
}

fn subject(
    state: &State,
    role: &str,
    asked: &EntityRef,
    also: Option<&EntityRef>,
    takes: impl Fn(&EntityType) -> bool,
    now: Timestamp,
) -> Result<Arc<Node>, Refusal> {
    let (kind, fields) = state.snapshot.types.get(&asked.kind).ok_or_else(|| {
        let known: Vec<&str> = state.snapshot.types.names().collect();
        let hint = did_you_mean(&asked.kind, &known);
        Refusal::new(BAD_EVALUATION, format!("the schema has no entity type `{}`{hint}", asked.kind))
    })?;
    if !takes(kind) {
        return Err(Refusal::new(DENIED, format!("the action does not apply to a {role} of type `{}`", asked.kind)));
    }
    if asked.kind == "Agent" {
        return acting(state, &asked.id, now).map(|known| Arc::clone(&known.node));
    }
    let uid = entity::uid(kind, &asked.id);
    let known = state.find(&state.snapshot, &uid);
    if OURS.contains(&asked.kind.as_str()) {
        if asked.kind == "Tool" {
            usable(state, &asked.id, None)?;
        }
        let unknown = || Refusal::new(DENIED, format!("there is no {} `{}`", asked.kind, asked.id));
        return known.ok_or_else(unknown);
    }
    let properties = [Some(&asked.properties), also.map(|also| &also.properties)];
    overlay(uid, known, fields, properties).map_err(|misfit| Refusal::new(BAD_EVALUATION, format!("{role}: {misfit}")))
}

/// The entity of the directory with the attributes that the caller states over it.
fn overlay(
    uid: EntityUID,
    known: Option<Arc<Node>>,
    fields: &Fields,
    stated: [Option<&Properties>; 2],
) -> Result<Arc<Node>, Misfit> {
    let stated_of = |name: &str| stated.iter().flatten().find_map(|properties| properties.get(name));
    match known {
        Some(node) if !fields.0.keys().any(|name| stated_of(name).is_some()) => return Ok(node),
        _ => {}
    }
    let mut attributes = Vec::with_capacity(fields.0.len());
    for (name, field) in fields.0.iter() {
        let known = known.as_ref().and_then(|node| node.entity.get(name));
        match (stated_of(name), known) {
            (None, Some(value)) => attributes.push((name.as_str().into(), value.clone())),
            (stated, _) => {
                let value = field.read(name, stated)?;
                attributes.extend(value.map(|value| (name.as_str().into(), PartialValue::Value(value))));
            }
        }
    }
    let (near, far, tags) = known.map_or_else(Default::default, |node| {
        let entity = &node.entity;
        let tags: Vec<_> = entity.tags().map(|(name, value)| (name.clone(), value.clone())).collect();
        (entity.parents().cloned().collect(), entity.indirect_ancestors().cloned().collect(), tags)
    });
    Ok(Arc::new(Node::of(Arc::new(Entity::new_with_attr_partial_value(uid, attributes, far, near, tags)))))
}

fn authzen_context(state: &State, action: &Action, stated: &Properties) -> Result<Context, Refusal> {
    let mut members = Vec::with_capacity(action.context.0.len());
    for (name, field) in action.context.0.iter() {
        let value = match (completed(state, name, field, stated.get(name)), stated.get(name)) {
            (Some(completed), _) => field.read(name, Some(&completed)),
            (None, stated) => field.read(name, stated),
        };
        let value = value.map_err(|misfit| Refusal::new(BAD_EVALUATION, format!("context: {misfit}")))?;
        members.extend(value.map(|value| (name.as_str().into(), value)));
    }
    Ok(Context::Value(Arc::new(members.into_iter().collect())))
}

/// Enforcers of their own need not state what our gateway knows, unless some policy looks at it: whoever leaves out
/// what a policy looks at is told so.
fn completed(state: &State, name: &str, field: &Field, stated: Option<&Json>) -> Option<Json> {
    let Shape::Record(fields) = &field.shape else { return None };
    // An approval is ours to give: what an enforcer says of one does not count.
    if name == APPROVAL {
        return Some(json!({ "granted": false }));
    }
    let mut members = match (name, stated) {
        ("meters", None) => Map::new(),
        ("meters" | "session", Some(Json::Object(members))) => members.clone(),
        _ => return None,
    };
    let sees = |member: &str| state.snapshot.reads.sees(member);
    for (member, field) in fields.0.iter().filter(|(member, field)| field.required && !sees(member)) {
        match field.shape {
            Shape::Long if name == "meters" || member == "calls" => {
                members.entry(member.clone()).or_insert_with(|| 0.into())
            }
            Shape::Set(_) if member == "done" => {
                members.entry(member.clone()).or_insert_with(|| Json::Array(Vec::new()))
            }
            _ => continue,
        };
    }
    Some(Json::Object(members))
}

// --- grants ---------------------------------------------------------------------------------------------------

/// Could a grant of this template to this principal on this resource ever match?
pub(crate) fn linkable(
    snapshot: &Snapshot,
    rule: &Rule,
    principal: &EntityUID,
    resource: &EntityUID,
) -> Result<(), String> {
    let fits = |side: &Side, slot: &EntityUID, exact: bool, takes: &dyn Fn(&Action, &EntityType) -> bool| {
        snapshot.actions.values().filter(|action| rule.scope.action.admits(&action.node)).any(|action| {
            let kinds = snapshot.schema.entity_types().map(|kind| (kind.name(), kind));
            let mut below = kinds.filter(|(kind, _)| takes(action, kind));
            below.any(|(kind, _)| {
                let is_slot = kind == slot.entity_type();
                let under = snapshot.schema.get_entity_type(slot.entity_type());
                let under = under.is_some_and(|slot| slot.has_descendant_entity_type(kind));
                let typed = side.kind().is_none_or(|wanted| **wanted == *kind);
                typed && (is_slot || (under && !exact))
            })
        })
    };
    let demand = |what: &str, side: &Side, slot: &EntityUID, takes: &dyn Fn(&Action, &EntityType) -> bool| {
        let exact = matches!(side, Side::Eq(_));
        if fits(side, slot, exact, takes) {
            return Ok(());
        }
        let all = exact && fits(side, slot, false, takes);
        let hint = if all { ": it says `==`, and `in` would take all that is in one" } else { "" };
        Err(format!("template `{}` cannot be granted {what} a {}{hint}", rule.id, slot.entity_type()))
    };
    demand("to", &rule.scope.principal, principal, &Action::takes_principal)?;
    demand("on", &rule.scope.resource, resource, &Action::takes_resource)
}
