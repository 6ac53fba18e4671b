//! The agents as entities.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy_core::ast::{Entity, EntityType, EntityUID, PartialValue, Value};
use chancery_model::{Agent, AgentKind, AgentState, Blueprint, BlueprintState, Timestamp};

use crate::entity::{self, Node};
use crate::hash;
use crate::snapshot::Snapshot;

const SHARDS: u64 = 64;

/// An agent in the directory.
#[derive(Debug)]
pub(crate) struct Known {
    pub name: Arc<str>,
    pub node: Arc<Node>,
    pub state: AgentState,
    pub expires_at: Timestamp,
    pub blueprint: Option<Arc<Stem>>,
}

/// A blueprint as far as it stops its instances. All of them hold this one.
#[derive(Debug)]
pub(crate) struct Stem {
    pub name: Arc<str>,
    suspended: AtomicBool,
}

impl Stem {
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }
}

/// Blueprints by name, the same ones under every policy set.
pub(crate) type Stems = Arc<RwLock<HashMap<Arc<str>, Arc<Stem>>>>;

/// All agents by name, in shards that change independently.
#[derive(Debug)]
pub(crate) struct Agents {
    kind: Option<EntityType>,
    blueprint: Option<EntityType>,
    stems: Stems,
    shards: Vec<RwLock<HashMap<Arc<str>, Arc<Known>>>>,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            kind: entity::entity_type("Agent"),
            blueprint: entity::entity_type("Blueprint"),
            stems: Stems::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }
}

impl Agents {
    fn shard(&self, name: &str) -> Option<&RwLock<HashMap<Arc<str>, Arc<Known>>>> {
        let number = name.bytes().fold(0u64, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
        self.shards.get(usize::try_from(hash::pair(0, number, 0) % SHARDS).unwrap_or(0))
    }

    /// The agent with this name.
    pub fn get(&self, name: &str) -> Option<Arc<Known>> {
        self.shard(name)?.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Is it of the type that is kept here and nowhere else?
    pub fn holds(&self, uid: &EntityUID) -> bool {
        Some(uid.entity_type()) == self.kind.as_ref()
    }

    /// The entity of a registered agent.
    pub fn find(&self, uid: &EntityUID) -> Option<Arc<Node>> {
        self.get(uid.eid().as_ref()).map(|known| Arc::clone(&known.node))
    }

    /// Takes over an agent as it is now.
    pub fn put(&self, snapshot: &Snapshot, agent: &Agent) {
        let attributes = [
            ("kind", kind(agent.kind)),
            ("owner", &agent.owner),
            ("purpose", &agent.purpose),
            ("sponsor", &agent.sponsor),
        ];
        let values = attributes.map(|(name, text)| (name.into(), PartialValue::Value(Value::from(text))));
        let blueprint = agent.blueprint.as_deref().map(|name| self.stem(name));
        let name: Arc<str> = agent.name.as_str().into();
        let Some(uid) = self.kind.as_ref().map(|kind| entity::uid(kind, &name)) else { return };
        let (near, far) = self.above(snapshot, &name, blueprint.as_deref());
        let entity = Entity::new_with_attr_partial_value(uid, values, far, near, []);
        let node = Arc::new(Node::of(Arc::new(entity)));
        self.insert(Known { name, node, state: agent.state, expires_at: agent.expires_at, blueprint });
    }

    /// Takes over a blueprint as it is now: stops its instances, those that come later too, or lets them go on.
    pub fn blueprint(&self, blueprint: &Blueprint) {
        let suspended = blueprint.state == BlueprintState::Suspended;
        self.stem(&blueprint.name).suspended.store(suspended, Ordering::Release);
    }

    fn stem(&self, name: &str) -> Arc<Stem> {
        if let Some(known) = self.stems.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut stems = self.stems.write().unwrap_or_else(PoisonError::into_inner);
        let name: Arc<str> = name.into();
        let new = || Arc::new(Stem { name: Arc::clone(&name), suspended: AtomicBool::new(false) });
        Arc::clone(stems.entry(Arc::clone(&name)).or_insert_with(new))
    }

    fn insert(&self, known: Known) {
        if let Some(shard) = self.shard(&known.name) {
            let mut agents = shard.write().unwrap_or_else(PoisonError::into_inner);
            agents.insert(Arc::clone(&known.name), Arc::new(known));
        }
    }

    /// What an agent is in: its blueprint, the groups of `entities.json`, and all that these are in.
    fn above(
        &self,
        snapshot: &Snapshot,
        name: &str,
        blueprint: Option<&Stem>,
    ) -> (HashSet<EntityUID>, HashSet<EntityUID>) {
        let mut far: HashSet<EntityUID> = snapshot.memberships.get(name).into_iter().flatten().cloned().collect();
        let mut near = HashSet::new();
        if let (Some(kind), Some(blueprint)) = (&self.blueprint, blueprint) {
            let uid = entity::uid(kind, &blueprint.name);
            let above = snapshot.entities.get(&uid);
            far.extend(above.into_iter().flat_map(|node| node.entity.ancestors().cloned()));
            far.remove(&uid);
            near.insert(uid);
        }
        (near, far)
    }

    /// The same agents under another policy set.
    pub fn under(&self, snapshot: &Snapshot) -> Self {
        let other = Self { stems: Arc::clone(&self.stems), ..Self::default() };
        for shard in &self.shards {
            for known in shard.read().unwrap_or_else(PoisonError::into_inner).values() {
                let (near, far) = self.above(snapshot, &known.name, known.blueprint.as_deref());
                let attributes = known.node.entity.attrs().map(|(name, value)| (name.clone(), value.clone()));
                let entity = Entity::new_with_attr_partial_value(known.node.uid.clone(), attributes, far, near, []);
                other.insert(Known {
                    name: Arc::clone(&known.name),
                    node: Arc::new(Node::of(Arc::new(entity))),
                    state: known.state,
                    expires_at: known.expires_at,
                    blueprint: known.blueprint.clone(),
                });
            }
        }
        other
    }
}

fn kind(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Agent => "agent",
        AgentKind::ServiceAccount => "service_account",
        AgentKind::Bot => "bot",
    }
}
