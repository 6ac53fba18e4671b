//! The decision itself: find the policies and grants whose scope matches, evaluate their conditions, combine.
//!
//! The answer is the one Cedar's own authorizer gives over the whole policy set, but for errors: Cedar skips a
//! policy that fails, here any failure is a deny.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy_core::ast::{
    Context, Effect, Entity, EntityUID, EntityUIDEntry, Literal, Request, SlotEnv, SlotId, Value, ValueKind,
};
use cedar_policy_core::entities::{Entities, TCComputation};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;
use chancery_model::{Decision, Determining, Outcome, Timestamp};

use crate::entity::{Node, entities_in};
use crate::grants::{Grants, Row};
use crate::rule::Rule;
use crate::scope::Slots;
use crate::snapshot::{Action, Snapshot};

/// Which grants count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// An agent acts by itself.
    Itself,
    /// An agent acts in a human's name.
    Human,
    /// A human's own rights: they have no mode.
    Anybody,
}

/// A question in the engine's terms.
#[derive(Clone)]
pub(crate) struct Query {
    pub principal: Arc<Node>,
    pub action: Arc<Action>,
    pub resource: Arc<Node>,
    pub context: Context,
    pub mode: For,
    /// Seconds since a human proved presence.
    pub presence: Option<i64>,
    /// Has a human approved exactly this?
    pub approved: bool,
    /// Further entities that stand in the request only.
    pub others: Vec<Arc<Node>>,
}

/// A policy whose scope matches, and the grant that linked it if it is a template.
pub(crate) struct Candidate<'s> {
    pub rule: &'s Rule,
    pub grant: Option<Arc<Row>>,
}

impl Candidate<'_> {
    /// What the slots stand for.
    pub fn slots(&self) -> SlotEnv {
        let mut slots = SlotEnv::new();
        if let Some(grant) = &self.grant {
            slots.insert(SlotId::principal(), grant.principal.clone());
            slots.insert(SlotId::resource(), grant.resource.clone());
        }
        slots
    }

    fn determining(&self) -> Determining {
        Determining { policy: Arc::clone(&self.rule.id), grant: self.grant.as_ref().map(|g| Arc::clone(&g.id)) }
    }
}

/// Where an engine looks for the entities of a request beyond those in it.
pub(crate) trait Lookup {
    /// The entity, if the directory has it.
    fn find(&self, snapshot: &Snapshot, uid: &EntityUID) -> Option<Arc<Node>>;
}

/// Everything whose scope matches, static policies in the order of their files, then grants.
pub(crate) fn slice<'s>(snapshot: &'s Snapshot, grants: &Grants, query: &Query, now: Timestamp) -> Vec<Candidate<'s>> {
    let (principal, action, resource) = (&*query.principal, &*query.action.node, &*query.resource);
    let mut numbers = Vec::with_capacity(8);
    snapshot.index.visit(principal, action, resource, |number| numbers.push(number));
    numbers.sort_unstable();
    numbers.dedup();
    let mut candidates: Vec<Candidate<'s>> = numbers
        .into_iter()
        .filter_map(|number| snapshot.rules.get(usize::try_from(number).ok()?))
        .filter(|rule| rule.scope.admits(principal, action, resource, Slots::default()))
        .map(|rule| Candidate { rule, grant: None })
        .collect();
    grants.visit(principal, resource, |row| {
        let Some(rule) = snapshot.templates.get(&row.template) else { return };
        let slots = Slots { principal: Some(&row.principal), resource: Some(&row.resource) };
        if row.gives(now, query.mode) && rule.scope.admits(principal, action, resource, slots) {
            candidates.push(Candidate { rule, grant: Some(Arc::clone(row)) });
        }
    });
    candidates
}

/// Evaluates the conditions of a slice.
pub(crate) struct Judge {
    entities: Entities,
    request: Request,
}

impl Judge {
    /// Collects the entities that the conditions of these candidates can look at.
    pub fn of(snapshot: &Snapshot, lookup: &dyn Lookup, query: &Query, candidates: &[Candidate<'_>]) -> Self {
        let entry = |node: &Node| EntityUIDEntry::Known { euid: Arc::clone(&node.shared), loc: None };
        Self {
            entities: reachable(snapshot, lookup, query, candidates),
            request: Request::new_unchecked(
                entry(&query.principal),
                entry(&query.action.node),
                entry(&query.resource),
                Some(query.context.clone()),
            ),
        }
    }

    /// Cedar's evaluator over them.
    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self.request.clone(), &self.entities, Extensions::all_available())
    }
}

/// The truth of a value; anything but a boolean is an error.
pub(crate) fn truth(value: &Value) -> Result<bool, String> {
    match value.value_kind() {
        ValueKind::Lit(Literal::Bool(truth)) => Ok(*truth),
        other => Err(format!("the condition is {other}, not a boolean")),
    }
}

/// Decides. Where policies ask for an approval, the question is asked once more as if there were one: whoever would be
/// refused all the same is refused now, and no human is asked.
pub(crate) fn decide(
    snapshot: &Snapshot,
    grants: &Grants,
    lookup: &dyn Lookup,
    query: &Query,
    now: Timestamp,
) -> Decision {
    let candidates = slice(snapshot, grants, query, now);
    let (decision, held) = judged(snapshot, lookup, query, &candidates);
    let asks = |candidate: &Candidate<'_>| candidate.rule.demand.is_some();
    let stands = match decision.outcome {
        Outcome::RequireApproval => false,
        Outcome::Deny => query.approved || !decision.errors.is_empty() || !candidates.iter().any(asks),
        Outcome::Allow | Outcome::StepUp => true,
    };
    if stands {
        return decision;
    }
    let (supposed, then) = judged(snapshot, lookup, &query.supposing_approval(), &candidates);
    if supposed.outcome == Outcome::Deny {
        return if decision.outcome == Outcome::Deny { decision } else { supposed };
    }
    let mut decision = Decision { outcome: Outcome::RequireApproval, max_age: None, ..decision };
    decision.determining.clear();
    for ((candidate, held), then) in candidates.iter().zip(held).zip(then) {
        // A permit asks by its outcome while it applies; a condition asks if the approval changes it.
        let by_outcome = then && candidate.rule.outcome == Outcome::RequireApproval;
        if let Some(demand) = candidate.rule.demand.as_ref().filter(|_| by_outcome || held != then) {
            decision.determining.push(candidate.determining());
            if !decision.demands.contains(demand) {
                decision.demands.push(demand.clone());
            }
        }
    }
    decision
}

/// One evaluation, and for each candidate whether its conditions held.
fn judged(
    snapshot: &Snapshot,
    lookup: &dyn Lookup,
    query: &Query,
    candidates: &[Candidate<'_>],
) -> (Decision, Vec<bool>) {
    // Most grants have no conditions: then there is nothing to evaluate, and nothing to prepare.
    let judge =
        candidates.iter().any(|c| c.rule.body.is_some()).then(|| Judge::of(snapshot, lookup, query, candidates));
    let evaluator = judge.as_ref().map(Judge::evaluator);
    let mut tally = Tally::default();
    let mut held = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let satisfied = satisfied(evaluator.as_ref(), candidate);
        held.push(satisfied == Ok(true));
        match satisfied {
            Ok(true) => tally.count(candidate, query),
            Ok(false) => {}
            Err(error) => tally.errors.push(format!("{}: {error}", candidate.rule.id)),
        }
    }
    (tally.decision(&snapshot.version), held)
}

impl Query {
    /// The same question, had a human approved it.
    pub fn supposing_approval(&self) -> Self {
        let context = match &self.context {
            Context::Value(members) if members.contains_key(APPROVAL) => {
                let mut members = (**members).clone();
                members.insert(APPROVAL.into(), approval(true));
                Context::Value(Arc::new(members))
            }
            other => other.clone(),
        };
        Self { approved: true, context, ..self.clone() }
    }
}

/// The member of the context that says whether a human approved.
pub(crate) const APPROVAL: &str = "approval";

/// What it holds.
pub(crate) fn approval(granted: bool) -> Value {
    Value::record([("granted", Value::from(granted))], None)
}

/// Do the conditions of a candidate hold?
pub(crate) fn satisfied(evaluator: Option<&Evaluator<'_>>, candidate: &Candidate<'_>) -> Result<bool, String> {
    let Some(body) = &candidate.rule.body else { return Ok(true) };
    let evaluator = evaluator.ok_or("nothing was prepared for evaluation")?;
    let value = evaluator.interpret(body, &candidate.slots()).map_err(|e| e.to_string())?;
    truth(&value)
}

#[derive(Default)]
struct Tally {
    forbids: Vec<Determining>,
    permits: Vec<Determining>,
    strictest: Option<(Outcome, Determining)>,
    max_age: Option<i64>,
    errors: Vec<String>,
}

impl Tally {
    fn count(&mut self, candidate: &Candidate<'_>, query: &Query) {
        let (rule, determining) = (candidate.rule, candidate.determining());
        if rule.effect == Effect::Forbid {
            return self.forbids.push(determining);
        }
        let outcome = match rule.outcome {
            Outcome::StepUp if query.presence.is_some_and(|age| age <= rule.max_age) => Outcome::Allow,
            Outcome::RequireApproval if query.approved => Outcome::Allow,
            outcome => outcome,
        };
        if outcome == Outcome::StepUp {
            self.max_age = Some(self.max_age.map_or(rule.max_age, |age| age.min(rule.max_age)));
        }
        let held = self.strictest.as_ref().map_or(0, |(outcome, _)| outcome.strictness());
        if outcome.strictness() > held {
            self.strictest = Some((outcome, determining.clone()));
        }
        self.permits.push(determining);
    }

    /// A forbid or an error denies; else the strictest of the permits is the answer; else nothing permits it.
    fn decision(self, version: &Arc<str>) -> Decision {
        let policy_version = Arc::clone(version);
        let Self { forbids, permits, strictest, max_age, errors } = self;
        let (outcome, determining) = match strictest {
            _ if !forbids.is_empty() || !errors.is_empty() => (Outcome::Deny, forbids),
            None => (Outcome::Deny, Vec::new()),
            Some((Outcome::Allow, _)) => (Outcome::Allow, permits),
            Some((outcome, by)) => (outcome, vec![by]),
        };
        let max_age = max_age.filter(|_| outcome == Outcome::StepUp);
        Decision { outcome, determining, errors, policy_version, part: None, max_age, demands: Vec::new() }
    }
}

/// The entities that evaluation can reach: those in the request and in the text of the policies, and as many
/// steps beyond as the conditions can take.
fn reachable(snapshot: &Snapshot, lookup: &dyn Lookup, query: &Query, candidates: &[Candidate<'_>]) -> Entities {
    let of_context = in_context(&query.context);
    let depth = candidates.iter().map(|c| c.rule.depth(!of_context.is_empty())).max().unwrap_or(0);
    if depth == 0 {
        return Entities::new();
    }
    let mut found: HashMap<EntityUID, Arc<Entity>> = HashMap::with_capacity(8);
    let mut edge: Vec<Arc<Node>> =
        vec![Arc::clone(&query.principal), Arc::clone(&query.action.node), Arc::clone(&query.resource)];
    edge.extend(query.others.iter().cloned());
    let in_request: Vec<EntityUID> = edge.iter().map(|node| node.uid.clone()).collect();
    let named = candidates.iter().flat_map(|c| c.rule.names.iter().cloned()).chain(of_context);
    edge.extend(named.filter(|uid| !in_request.contains(uid)).filter_map(|uid| lookup.find(snapshot, &uid)));
    for _ in 0..depth {
        let mut next = Vec::new();
        for node in edge {
            if found.contains_key(&node.uid) {
                continue;
            }
            let beyond = node.refs.iter().filter(|uid| !found.contains_key(uid) && !in_request.contains(uid));
            next.extend(beyond.filter_map(|uid| lookup.find(snapshot, uid)));
            found.insert(node.uid.clone(), Arc::clone(&node.entity));
        }
        if next.is_empty() {
            break;
        }
        edge = next;
    }
    let none = None::<&CoreSchema<'_>>;
    let assumed = TCComputation::AssumeAlreadyComputed;
    // No entity is in the map twice, so that nothing can be refused here; if it were, policies would see nothing.
    Entities::new().add_entities(found.into_values(), none, assumed, Extensions::all_available()).unwrap_or_default()
}

fn in_context(context: &Context) -> Vec<EntityUID> {
    match context {
        Context::Value(members) => members.values().flat_map(entities_in).collect(),
        Context::RestrictedResidual(_) => Vec::new(),
    }
}
