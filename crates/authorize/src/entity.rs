//! Entities as the engine holds them: Cedar's own, with what the index needs computed once.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy_core::ast::{Eid, EntityType, Literal, Name};
use cedar_policy_core::ast::{Entity, EntityUID, PartialValue, Value, ValueKind};

use crate::hash;

/// One entity.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub uid: EntityUID,
    /// The same, as requests want it.
    pub shared: Arc<EntityUID>,
    pub hash: u64,
    /// Hash of its type.
    pub kind: u64,
    pub entity: Arc<Entity>,
    /// Hash of every ancestor, near or far.
    pub above: Vec<u64>,
    /// The entities its attributes and tags name.
    pub refs: Vec<EntityUID>,
}

impl Node {
    /// Takes an entity whose ancestors are complete.
    pub fn of(entity: Arc<Entity>) -> Self {
        let uid = entity.uid().clone();
        let mut named = HashSet::new();
        entity.attrs().chain(entity.tags()).for_each(|(_, value)| refs(value, &mut named));
        Self {
            hash: hash::entity(&uid),
            kind: hash::kind(uid.entity_type()),
            shared: Arc::new(uid.clone()),
            above: entity.ancestors().map(hash::entity).collect(),
            refs: named.into_iter().collect(),
            uid,
            entity,
        }
    }

    /// Is it this entity or below it?
    pub fn is_in(&self, uid: &EntityUID) -> bool {
        self.uid == *uid || self.entity.is_descendant_of(uid)
    }

    /// Its own hash and those of its ancestors.
    pub fn places(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::once(self.hash).chain(self.above.iter().copied())
    }
}

fn refs(value: &PartialValue, named: &mut HashSet<EntityUID>) {
    if let PartialValue::Value(value) = value {
        named.extend(entities_in(value));
    }
}

/// The entities that a value names, at any depth.
pub(crate) fn entities_in(value: &Value) -> HashSet<EntityUID> {
    match value.value_kind() {
        ValueKind::Lit(Literal::EntityUID(uid)) => HashSet::from([(**uid).clone()]),
        ValueKind::Lit(_) | ValueKind::ExtensionValue(_) => HashSet::new(),
        ValueKind::Set(_) | ValueKind::Record(_) => value.all_literal_uids(),
    }
}

/// `Type::"id"` of a type without a namespace.
pub(crate) fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

/// An entity type from text: `Agent`, `Shop::Customer`.
pub(crate) fn entity_type(text: &str) -> Option<EntityType> {
    text.parse::<Name>().ok().map(EntityType::from)
}
