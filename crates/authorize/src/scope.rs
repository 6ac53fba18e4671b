//! Scopes: the part of a policy before its conditions, matched here instead of in the evaluator. It is the part
//! that cannot fail, and the part that the index is built from.

use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, EntityReference, EntityType, EntityUID, PrincipalOrResourceConstraint as Constraint, Template,
};

use crate::entity::Node;

/// What stands on the right of `==` or `in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An entity.
    Entity(Arc<EntityUID>),
    /// The template's slot.
    Slot,
}

/// The principal's or resource's part of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Any,
    Eq(Target),
    In(Target),
    Is(Arc<EntityType>),
    IsIn(Arc<EntityType>, Target),
}

/// The action's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actions {
    Any,
    Eq(Arc<EntityUID>),
    In(Vec<Arc<EntityUID>>),
}

/// A whole scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub principal: Side,
    pub action: Actions,
    pub resource: Side,
}

/// What the slots of a template stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots<'a> {
    pub principal: Option<&'a EntityUID>,
    pub resource: Option<&'a EntityUID>,
}

impl Target {
    fn of(reference: &EntityReference) -> Self {
        match reference {
            EntityReference::EUID(uid) => Self::Entity(Arc::clone(uid)),
            EntityReference::Slot(_) => Self::Slot,
        }
    }

    fn uid<'a>(&'a self, slot: Option<&'a EntityUID>) -> Option<&'a EntityUID> {
        match self {
            Self::Entity(uid) => Some(uid),
            Self::Slot => slot,
        }
    }
}

impl Side {
    fn of(constraint: &Constraint) -> Self {
        match constraint {
            Constraint::Any => Self::Any,
            Constraint::Eq(target) => Self::Eq(Target::of(target)),
            Constraint::In(target) => Self::In(Target::of(target)),
            Constraint::Is(kind) => Self::Is(Arc::clone(kind)),
            Constraint::IsIn(kind, target) => Self::IsIn(Arc::clone(kind), Target::of(target)),
        }
    }

    /// The entity that the index files it under, where it names one itself.
    pub fn entity(&self) -> Option<&Arc<EntityUID>> {
        match self {
            Self::Eq(Target::Entity(uid)) | Self::In(Target::Entity(uid)) | Self::IsIn(_, Target::Entity(uid)) => {
                Some(uid)
            }
            _ => None,
        }
    }

    /// Has it a slot?
    pub fn has_slot(&self) -> bool {
        matches!(self, Self::Eq(Target::Slot) | Self::In(Target::Slot) | Self::IsIn(_, Target::Slot))
    }

    /// The type that it demands, where it does.
    pub fn kind(&self) -> Option<&Arc<EntityType>> {
        match self {
            Self::Is(kind) | Self::IsIn(kind, _) => Some(kind),
            _ => None,
        }
    }

    /// Does this entity satisfy it?
    pub fn admits(&self, node: &Node, slot: Option<&EntityUID>) -> bool {
        let is = |kind: &EntityType| node.uid.entity_type() == kind;
        let eq = |target: &Target| target.uid(slot) == Some(&node.uid);
        let within = |target: &Target| target.uid(slot).is_some_and(|uid| node.is_in(uid));
        match self {
            Self::Any => true,
            Self::Eq(target) => eq(target),
            Self::In(target) => within(target),
            Self::Is(kind) => is(kind),
            Self::IsIn(kind, target) => is(kind) && within(target),
        }
    }
}

impl Actions {
    fn of(constraint: &ActionConstraint) -> Self {
        match constraint {
            ActionConstraint::Any => Self::Any,
            ActionConstraint::Eq(uid) => Self::Eq(Arc::clone(uid)),
            ActionConstraint::In(uids) => Self::In(uids.clone()),
        }
    }

    /// Does this action satisfy it?
    pub fn admits(&self, node: &Node) -> bool {
        match self {
            Self::Any => true,
            Self::Eq(uid) => **uid == node.uid,
            Self::In(uids) => uids.iter().any(|uid| node.is_in(uid)),
        }
    }

    /// The actions it names.
    pub fn named(&self) -> &[Arc<EntityUID>] {
        match self {
            Self::Any => &[],
            Self::Eq(uid) => std::slice::from_ref(uid),
            Self::In(uids) => uids,
        }
    }
}

impl Scope {
    /// The scope of a policy or template.
    pub fn of(template: &Template) -> Self {
        Self {
            principal: Side::of(template.principal_constraint().as_inner()),
            action: Actions::of(template.action_constraint()),
            resource: Side::of(template.resource_constraint().as_inner()),
        }
    }

    /// Do these three satisfy it?
    pub fn admits(&self, principal: &Node, action: &Node, resource: &Node, slots: Slots<'_>) -> bool {
        self.action.admits(action)
            && self.principal.admits(principal, slots.principal)
            && self.resource.admits(resource, slots.resource)
    }
}
