//! May one act for another? Asked at every link of a chain, when it is made.

use std::sync::Arc;

use cedar_policy_core::ast::{Context, Entity, Value};
use chancery_model::Timestamp;

use super::{Engine, State, not_ready, query};
use crate::decide::{For, Lookup, Query};
use crate::entity::{self, Node};
use crate::verdict::Verdict;

/// The action's name in the schema.
const ACTION: &str = "delegate";

/// One link of a chain in the making.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Who lets another act.
    pub from: From<'a>,
    /// The name of the agent that is to act.
    pub to: &'a str,
    /// How many agents the chain has with it.
    pub depth: usize,
    /// Whether a person is at its root: then `on_behalf_of` grants count, else autonomous ones.
    pub human: bool,
}

/// Who lets another act.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    /// A person, by name.
    Human(&'a str),
    /// An agent, by name.
    Agent(&'a str),
}

impl Engine {
    /// May this link be made, now? Both agents must be able to act; the rest is for the policies.
    pub fn may_delegate(&self, link: &Link<'_>, now: Timestamp) -> Verdict {
        let state = self.state.load();
        if !state.ready {
            return not_ready(&state);
        }
        match asked(&state, link, now) {
            Ok(query) => Verdict::of(self.decide(&state, &query, now)),
            Err(refusal) => refusal.verdict(&state.snapshot),
        }
    }
}

fn asked(state: &State, link: &Link<'_>, now: Timestamp) -> Result<Query, query::Refusal> {
    let to = query::acting(state, link.to, now)?;
    let principal = match link.from {
        From::Agent(name) => Arc::clone(&query::acting(state, name, now)?.node),
        From::Human(name) => human(state, name)?,
    };
    let action = query::action(state, ACTION)?;
    let depth = Value::from(i64::try_from(link.depth).unwrap_or(i64::MAX));
    Ok(Query {
        principal,
        action: Arc::clone(action),
        resource: Arc::clone(&to.node),
        context: Context::Value(Arc::new([("depth".into(), depth)].into_iter().collect())),
        mode: match link.from {
            From::Human(_) => For::Anybody,
            From::Agent(_) if link.human => For::Human,
            From::Agent(_) => For::Itself,
        },
        presence: None,
        approved: false,
        others: Vec::new(),
    })
}

/// A person as the directory of the policies has them; one it does not have is in no group.
pub(crate) fn human(state: &State, name: &str) -> Result<Arc<Node>, query::Refusal> {
    let kind = entity::entity_type("Human").ok_or_else(|| query::Refusal::denied("the schema has no Human"))?;
    let uid = entity::uid(&kind, name);
    Ok(state.find(&state.snapshot, &uid).unwrap_or_else(|| Arc::new(Node::of(Arc::new(Entity::with_uid(uid))))))
}
