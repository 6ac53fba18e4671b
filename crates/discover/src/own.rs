//! Our own nouns, as objects of the inventory: agents and what they were granted, people and what they answer for.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chancery_model::{
    Agent, AgentKind, AgentState, EdgeKind, Grant, GrantMode, Group, Link, NodeKind, Object, ObjectBody, Person,
    Timestamp, Urn,
};
use chancery_store::{Store, StoreError, adoptions, agents, blueprints, grants, groups, persons, tools};
use serde_json::json;

/// The source of our own nouns.
pub const OWN: &str = "chancery";

/// The name of one of our own nouns.
///
/// # Errors
/// Nothing of ours can be called so.
pub fn own_urn(kind: NodeKind, name: &str) -> Result<Urn, chancery_model::BadUrn> {
    Urn::new(OWN, "", kind, name)
}

/// Everything of ours that held at `at`.
pub(crate) async fn objects(
    store: &Store,
    at: Timestamp,
    endpoints: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<Object>, StoreError> {
    let mut own = Own::default();
    for (name, urls) in endpoints {
        own.add(NodeKind::McpServer, name, &[]);
        own.key((NodeKind::McpServer, name), urls.iter().map(|url| crate::endpoint(url)));
    }
    let persons = persons::all(store).await?;
    let names: BTreeMap<&str, &Person> = persons.iter().map(|person| (person.id.as_str(), person)).collect();
    for person in persons.iter().filter(|person| person.created_at <= at) {
        own.add(NodeKind::Human, &person.name, &[("active", json!(person.is_active()))]);
    }
    let all: Vec<Group> = groups::all(store).await?;
    let teams: HashSet<&str> = all.iter().map(|group| group.name.as_str()).collect();
    for group in all.iter().filter(|group| group.created_at <= at) {
        own.add(NodeKind::Team, &group.name, &[]);
        for person in group.members.iter().filter_map(|id| names.get(id.as_str())) {
            own.link((NodeKind::Human, &person.name), EdgeKind::MemberOf, (NodeKind::Team, &group.name));
        }
    }
    for blueprint in blueprints::all(store).await? {
        own.add(NodeKind::Blueprint, &blueprint.name, &[]);
    }
    agents::each(store, |agent| {
        if agent.created_at <= at {
            own.agent(&agent, &teams);
        }
    })
    .await?;
    for tool in tools::all(store).await? {
        let name = format!("{}/{}", tool.server, tool.name);
        own.add(NodeKind::Tool, &name, &[]);
        own.add(NodeKind::McpServer, &tool.server, &[]);
        own.link((NodeKind::McpServer, &tool.server), EdgeKind::ExposesTool, (NodeKind::Tool, &name));
    }
    grants::each(store, |grant| {
        if held(&grant, at) {
            own.grant(&grant);
        }
    })
    .await?;
    Ok(own.0.into_values().collect())
}

/// Which of ours is which object, because somebody said so until then.
pub(crate) async fn ties(store: &Store, at: Timestamp, own: &HashSet<Urn>) -> Result<Vec<(Urn, Urn)>, StoreError> {
    let ours = |name: &str| {
        let mut urns = AGENTS.into_iter().filter_map(|kind| own_urn(kind, name).ok());
        urns.find(|urn| own.contains(urn))
    };
    let adopted = adoptions::until(store, at).await?;
    Ok(adopted.into_iter().filter_map(|(object, name)| Some((ours(&name)?, object))).collect())
}

/// The kinds of registered identities.
const AGENTS: [NodeKind; 3] = [NodeKind::AiAgent, NodeKind::ServiceAccount, NodeKind::BotUser];

/// Did it give anything at that time?
fn held(grant: &Grant, at: Timestamp) -> bool {
    grant.created_at <= at && grant.revoked_at.is_none_or(|end| at < end) && grant.expires_at.is_none_or(|end| at < end)
}

#[derive(Default)]
struct Own(BTreeMap<Urn, Object>);

impl Own {
    fn add(&mut self, kind: NodeKind, name: &str, attributes: &[(&str, serde_json::Value)]) {
        let Ok(urn) = own_urn(kind, name) else { return };
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let new = || Object { urn: urn.clone(), is: ObjectBody { name: name.to_owned(), ..ObjectBody::default() } };
        self.0.entry(urn.clone()).or_insert_with(new).is.attributes.extend(attributes);
    }

    fn key(&mut self, (kind, name): (NodeKind, &str), keys: impl Iterator<Item = String>) {
        let object = own_urn(kind, name).ok().and_then(|urn| self.0.get_mut(&urn));
        if let Some(object) = object {
            object.is.keys.extend(keys);
        }
    }

    fn link(&mut self, from: (NodeKind, &str), kind: EdgeKind, to: (NodeKind, &str)) {
        let (Ok(from), Ok(to)) = (own_urn(from.0, from.1), own_urn(to.0, to.1)) else { return };
        let Some(object) = self.0.get_mut(&from) else { return };
        object.is.edges.insert(Link { kind, to });
    }

    fn agent(&mut self, agent: &Agent, teams: &HashSet<&str>) {
        let me = (kind(agent.kind), agent.name.as_str());
        let attributes = [
            ("state", json!(agent.state)),
            ("purpose", json!(agent.purpose)),
            ("expires_at", json!(agent.expires_at.rfc3339())),
        ];
        self.add(me.0, me.1, &attributes);
        for (edge, who) in [(EdgeKind::OwnedBy, &agent.owner), (EdgeKind::SponsoredBy, &agent.sponsor)] {
            let kind = if teams.contains(who.as_str()) { NodeKind::Team } else { NodeKind::Human };
            self.link(me, edge, (kind, who));
        }
        if let Some(blueprint) = &agent.blueprint {
            self.link(me, EdgeKind::PartOf, (NodeKind::Blueprint, blueprint));
        }
        if agent.state == AgentState::Active && agent.key_thumbprint.is_some() {
            let key = format!("{}/key", agent.name);
            self.add(NodeKind::Credential, &key, &[("kind", json!("key_pair"))]);
            self.link((NodeKind::Credential, &key), EdgeKind::AuthenticatesAs, me);
        }
    }

    /// What policies say beyond grants is not in the graph: they are asked call by call.
    fn grant(&mut self, grant: &Grant) {
        let Some((principal, name)) = entity(&grant.principal) else { return };
        let Some((resource, thing)) = entity(&grant.resource) else { return };
        let thing_kind = match resource {
            "Server" | "McpServer" => NodeKind::McpServer,
            "Tool" => NodeKind::Tool,
            _ => NodeKind::Resource,
        };
        let from = match principal {
            "Blueprint" => NodeKind::Blueprint,
            "Human" => NodeKind::Human,
            "Group" => NodeKind::Team,
            _ => AGENTS
                .into_iter()
                .find(|kind| own_urn(*kind, name).is_ok_and(|urn| self.0.contains_key(&urn)))
                .unwrap_or(NodeKind::AiAgent),
        };
        self.add(thing_kind, thing, &[]);
        let edge = match grant.mode {
            GrantMode::OnBehalfOf | GrantMode::Autonomous => EdgeKind::CanAccess,
        };
        self.link((from, name), edge, (thing_kind, thing));
    }
}

/// `Type::"id"`, without what stands before the last `::` of the type.
fn entity(text: &str) -> Option<(&str, &str)> {
    let (kind, id) = text.split_once("::\"")?;
    Some((kind.rsplit("::").next().unwrap_or(kind), id.strip_suffix('"')?))
}

const fn kind(kind: AgentKind) -> NodeKind {
    match kind {
        AgentKind::Agent => NodeKind::AiAgent,
        AgentKind::ServiceAccount => NodeKind::ServiceAccount,
        AgentKind::Bot => NodeKind::BotUser,
    }
}

/// Their names.
pub(crate) fn urns(objects: &[Object]) -> HashSet<Urn> {
    let names: BTreeSet<&Urn> = objects.iter().map(|object| &object.urn).collect();
    names.into_iter().cloned().collect()
}
