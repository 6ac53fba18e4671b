//! The engine: the snapshot in force, the directory of agents, the grants, and the answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use cedar_policy_core::ast::EntityUID;
use chancery_model::problem::{BAD_GRANT, NOT_READY, Problem, Row};
use chancery_model::{Agent, Blueprint, Covered, Grant, Timestamp, Tool};

use crate::authzen::Question;
use crate::call::{Acting, ServerAct, ToolCall};
use crate::decide::{Candidate, Judge, Lookup, Query, decide, satisfied, slice};
use crate::entity::Node;
use crate::grants::Grants;
use crate::snapshot::{Needs, Snapshot};
use crate::verdict::{Permit, Verdict};

pub(crate) mod delegate;
mod directory;
pub(crate) mod parts;
pub(crate) mod query;
mod tools;

use directory::Agents;
use tools::Tools;

/// Answers "may it". Cheap to share: every method takes `&self`, none waits for another decision.
///
/// A change of a grant, an agent or a tool is seen by every decision that begins after the call returned.
#[derive(Debug)]
pub struct Engine {
    state: ArcSwap<State>,
    grants: Grants,
    /// Grants whose entities the schema does not know: they are tried again with the next snapshot.
    strange: Mutex<Vec<Grant>>,
    /// Template ids, each kept once.
    templates: Mutex<HashMap<String, Arc<str>>>,
    /// Held while agents or the snapshot change, so that none of two changes is lost.
    changing: Mutex<()>,
    /// Counts changes. Each counts once it is seen by every decision that begins, and before it is acknowledged.
    changes: AtomicU64,
    veto: Veto,
    #[cfg(feature = "faults")]
    fault: Option<Fault>,
}

/// Somebody who says of a question whether it is denied, whatever the policies say: with a row and a reason.
pub type Objects = dyn Fn(&Question<'_>) -> Option<(Row, String)> + Send + Sync;

/// Them, if there are any.
#[derive(Default)]
struct Veto(OnceLock<Box<Objects>>);

impl std::fmt::Debug for Veto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Veto").finish_non_exhaustive()
    }
}

/// A way for the engine to be wrong, so that tests can show that they would notice.
#[cfg(feature = "faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The index does not look under the ancestors of principal, action and resource.
    ForgetAncestors,
}

/// What changes together.
#[derive(Debug)]
pub(crate) struct State {
    pub snapshot: Arc<Snapshot>,
    /// Whether the snapshot is of policies that were put in force, not only in the place of some.
    pub ready: bool,
    pub agents: Agents,
    /// Tools that changed since; the same in every state.
    pub tools: Arc<Tools>,
}

impl Lookup for State {
    fn find(&self, snapshot: &Snapshot, uid: &EntityUID) -> Option<Arc<Node>> {
        match self.agents.holds(uid) {
            true => self.agents.find(uid),
            false => snapshot.entities.get(uid).cloned(),
        }
    }
}

impl Engine {
    /// An engine with these policies in force and no agents and grants yet.
    pub fn new(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        Self {
            state: ArcSwap::from_pointee(State {
                agents: Agents::default(),
                snapshot,
                ready: true,
                tools: Arc::default(),
            }),
            grants: Grants::default(),
            strange: Mutex::default(),
            templates: Mutex::default(),
            changing: Mutex::default(),
            changes: AtomicU64::default(),
            veto: Veto::default(),
            #[cfg(feature = "faults")]
            fault: None,
        }
    }

    /// An engine without policies in force: until [`Engine::install`] it denies everything, and says so. `snapshot`
    /// gives it a schema.
    pub fn waiting(snapshot: Snapshot) -> Self {
        let engine = Self::new(snapshot);
        let state =
            State { agents: Agents::default(), snapshot: engine.snapshot(), ready: false, tools: Arc::default() };
        Self { state: ArcSwap::from_pointee(state), ..engine }
    }

    /// An engine that is wrong in one known way.
    #[cfg(feature = "faults")]
    pub fn faulty(snapshot: Snapshot, fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::new(snapshot) }
    }

    /// Asks this first, of every question of AuthZEN. Whoever was there before stays.
    pub fn set_veto(&self, objects: Box<Objects>) {
        // There is one server around an engine.
        let _ = self.veto.0.set(objects);
    }

    /// The version of the policy set in force.
    pub fn version(&self) -> Arc<str> {
        Arc::clone(&self.state.load().snapshot.version)
    }

    /// The policy set in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.state.load().snapshot)
    }

    /// What the policy set in force wants to know of an act beside its request.
    pub fn needs(&self) -> Arc<Needs> {
        Arc::clone(&self.state.load().snapshot.needs)
    }

    /// How many changes it has seen. While this stays the same, so do the answers, but for what ends with time.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The groups that a person is in, by name, those that their groups are in included.
    pub fn groups_of(&self, person: &str) -> Vec<String> {
        let state = self.state.load();
        let Ok(human) = delegate::human(&state, person) else { return Vec::new() };
        let groups = human.entity.ancestors().filter(|uid| uid.entity_type().to_string() == "Group");
        let mut names: Vec<String> = groups.map(|uid| AsRef::<str>::as_ref(uid.eid()).to_owned()).collect();
        names.sort();
        names
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// How many grants it holds, the expired ones included.
    pub fn grants(&self) -> usize {
        self.grants.len()
    }

    /// Puts another policy set into force. Agents and grants stay.
    pub fn install(&self, snapshot: Snapshot) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state.load();
        let (agents, tools) = (before.agents.under(&snapshot), Arc::clone(&before.tools));
        self.state.store(Arc::new(State { agents, snapshot: Arc::new(snapshot), ready: true, tools }));
        let strange = std::mem::take(&mut *self.strange.lock().unwrap_or_else(PoisonError::into_inner));
        for grant in strange {
            // Those that are still strange go back to the list.
            let _ = self.put(&grant);
        }
        self.changed();
    }

    /// Takes over an agent as it is now.
    pub fn agent_changed(&self, agent: &Agent) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state.load();
        state.agents.put(&state.snapshot, agent);
        self.changed();
    }

    /// Takes over a blueprint as it is now: while it is suspended, its instances are refused.
    pub fn blueprint_changed(&self, blueprint: &Blueprint) {
        self.state.load().agents.blueprint(blueprint);
        self.changed();
    }

    /// Takes over a tool as it is now. From this moment on one that is quarantined is refused, and one whose approved
    /// definition is not the one in the policy set in force is refused until it is.
    pub fn tool_changed(&self, tool: &Tool) {
        self.state.load().tools.put(tool);
        self.changed();
    }

    /// Refuses all tools of a server while what it lists could not be compared with what was approved, or ends that.
    pub fn block_server(&self, server: &str, blocked: bool) {
        self.state.load().tools.block(server, blocked);
        self.changed();
    }

    /// Takes over a grant as it is now. One that does not fit the schema gives nothing, and is an error.
    pub fn grant_changed(&self, grant: &Grant) -> Result<(), Problem> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let put = self.put(grant);
        self.changed();
        put
    }

    fn put(&self, grant: &Grant) -> Result<(), Problem> {
        let state = self.state.load();
        let mut template = |id: &str| self.template(id);
        self.grants.put(&state.snapshot.types, &mut template, grant).map_err(|why| {
            self.strange.lock().unwrap_or_else(PoisonError::into_inner).push(grant.clone());
            Problem::new(BAD_GRANT, why)
        })
    }

    fn template(&self, id: &str) -> Arc<str> {
        let mut known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(id.to_owned()).or_insert_with(|| id.into()))
    }

    /// Would this grant give anything under the policies in force? To be asked before it is stored.
    pub fn check_grant(&self, template: &str, principal: &str, resource: &str) -> Result<(), Problem> {
        let state = self.state.load();
        let bad = |why: String| Problem::new(BAD_GRANT, why);
        let rule = state.snapshot.templates.get(template).ok_or_else(|| {
            let known: Vec<&str> = state.snapshot.templates().collect();
            let near = cedar_policy_core::fuzzy_match::fuzzy_search(template, &known);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            bad(format!("there is no template `{template}`{hint}"))
        })?;
        let principal = state.snapshot.types.parse(principal).map_err(bad)?;
        let resource = state.snapshot.types.parse(resource).map_err(bad)?;
        query::linkable(&state.snapshot, rule, &principal, &resource).map_err(bad)
    }

    /// May this agent call this tool with these arguments, now?
    pub fn tool_call(&self, call: &ToolCall<'_>, now: Timestamp) -> Verdict {
        let state = self.state.load();
        if !state.ready {
            return not_ready(&state);
        }
        match query::tool_call(&state, call, now) {
            Ok((query, callable)) => self.answer(&state, &query, (&call.by, &call.covered()), now, || {
                let (server, tool) = (Arc::clone(&callable.server), Arc::clone(&callable.tool));
                Permit::new(
                    name_of(&query),
                    server,
                    "tools/call".into(),
                    Some(tool),
                    call.args_digest,
                    Arc::clone(&state.snapshot.version),
                )
            }),
            Err(refusal) => refusal.verdict(&state.snapshot),
        }
    }

    /// The acts that policies about this call look for in what its session did, as "server/tool": only they can change
    /// the answer by being done.
    pub fn awaits(&self, call: &ToolCall<'_>, now: Timestamp) -> Vec<Arc<str>> {
        let state = self.state.load();
        let Ok((query, _)) = query::tool_call(&state, call, now) else { return Vec::new() };
        let candidates = slice(&state.snapshot, &self.grants, &query, now);
        let named: BTreeSet<&Arc<str>> = candidates.iter().flat_map(|candidate| &candidate.rule.awaits).collect();
        named.into_iter().cloned().collect()
    }

    /// May this agent do this at this server, now?
    pub fn server_act(&self, act: &ServerAct<'_>, now: Timestamp) -> Verdict {
        let state = self.state.load();
        if !state.ready {
            return not_ready(&state);
        }
        match query::server_act(&state, act, now) {
            Ok((query, server)) => self.answer(&state, &query, (&act.by, &act.covered()), now, || {
                Permit::new(
                    name_of(&query),
                    server,
                    act.action.into(),
                    None,
                    act.args_digest,
                    Arc::clone(&state.snapshot.version),
                )
            }),
            Err(refusal) => refusal.verdict(&state.snapshot),
        }
    }

    /// Is this tool shown to this agent? It is if `tools/list` is permitted on it, or if some arguments might
    /// permit its call; never if a policy forbids to list it, or to call it whatever the arguments.
    pub fn lists(&self, by: Acting<'_>, server: &str, tool: &str, now: Timestamp) -> bool {
        let state = self.state.load();
        let Ok((list, call)) = query::listing(&state, by, server, tool, now) else { return false };
        let of = |part| {
            let asked = |query| parts::asked_of(&state, query, part, now);
            asked(&list).is_ok_and(|list| asked(&call).is_ok_and(|call| self.shows(&state, &list, &call, now)))
        };
        self.shows(&state, &list, &call, now)
            && parts::parts(&by).all(of)
            && parts::covered(&by, &[Covered::Tool(server, tool)]).is_ok()
    }

    /// Is it shown to one of those whose right it takes?
    fn shows(&self, state: &State, list: &Query, call: &Query, now: Timestamp) -> bool {
        let decision = self.decide(state, list, now);
        let forbidden = !decision.determining.is_empty() || !decision.errors.is_empty();
        let listed = Verdict::of(decision);
        listed.allows() || (!forbidden && self.might(state, call, now))
    }

    /// Might some arguments be permitted? `query` has none, so a condition that asks for them cannot be evaluated,
    /// which means that it might hold; one that is false without them is false.
    fn might(&self, state: &State, query: &Query, now: Timestamp) -> bool {
        use cedar_policy_core::ast::Effect::{Forbid, Permit};
        let candidates = slice(&state.snapshot, &self.grants, query, now);
        let barred = candidates.iter().any(|c| c.rule.effect == Forbid && c.rule.body.is_none());
        let judge = Judge::of(&state.snapshot, state, query, &candidates);
        let evaluator = judge.evaluator();
        let possible = |c: &Candidate<'_>| satisfied(Some(&evaluator), c) != Ok(false);
        !barred && candidates.iter().any(|c| c.rule.effect == Permit && possible(c))
    }

    /// Answers an AuthZEN question: for the subject, and for the person in whose name it acts if the context names one.
    pub fn evaluate(&self, asked: &crate::Evaluation, now: Timestamp) -> Verdict {
        self.question(asked.question(), now)
    }

    /// The same, of borrowed parts.
    pub fn question(&self, asked: Question<'_>, now: Timestamp) -> Verdict {
        self.questioned(asked, false, now)
    }

    /// The same, where people approved exactly this.
    pub fn approved(&self, asked: Question<'_>, now: Timestamp) -> Verdict {
        self.questioned(asked, true, now)
    }

    /// The person in whose name a question says that it is done, by name.
    pub fn on_behalf(&self, asked: Question<'_>, now: Timestamp) -> Option<String> {
        let query = query::evaluation(&self.state.load(), asked, now).ok()?;
        query.asks().human.map(str::to_owned)
    }

    fn questioned(&self, asked: Question<'_>, approved: bool, now: Timestamp) -> Verdict {
        let state = self.state.load();
        if !state.ready {
            return not_ready(&state);
        }
        if let Some((row, why)) = self.veto.0.get().and_then(|objects| objects(&asked)) {
            return Verdict::refused(&state.snapshot.version, row, why);
        }
        match query::evaluation(&state, asked, now) {
            Ok(query) => {
                let query = if approved { query.supposing_approval() } else { query };
                self.together(&state, &query, &query.asks(), &[], now)
            }
            Err(refusal) => refusal.verdict(&state.snapshot),
        }
    }

    fn answer(
        &self,
        state: &State,
        query: &Query,
        (by, acts): (&Acting<'_>, &[Covered<'_>]),
        now: Timestamp,
        permit: impl FnOnce() -> Permit,
    ) -> Verdict {
        let mut verdict = self.together(state, query, by, acts, now);
        if verdict.allows() {
            verdict.permit = Some(permit());
        }
        verdict
    }

    #[cfg(not(feature = "faults"))]
    fn decide(&self, state: &State, query: &Query, now: Timestamp) -> chancery_model::Decision {
        decide(&state.snapshot, &self.grants, state, query, now)
    }

    #[cfg(feature = "faults")]
    fn decide(&self, state: &State, query: &Query, now: Timestamp) -> chancery_model::Decision {
        match self.fault {
            None => decide(&state.snapshot, &self.grants, state, query, now),
            Some(Fault::ForgetAncestors) => {
                let rootless = |node: &Node| Arc::new(Node { above: Vec::new(), ..node.clone() });
                let query = Query {
                    principal: rootless(&query.principal),
                    resource: rootless(&query.resource),
                    action: Arc::new(query.action.with(rootless(&query.action.node))),
                    ..query.clone()
                };
                decide(&state.snapshot, &self.grants, state, &query, now)
            }
        }
    }

    pub(crate) fn parts(&self) -> (Arc<State>, &Grants) {
        (self.state.load_full(), &self.grants)
    }
}

fn not_ready(state: &State) -> Verdict {
    Verdict::refused(&state.snapshot.version, NOT_READY, "the policy files are not valid, and none were before")
}

fn name_of(query: &Query) -> Arc<str> {
    AsRef::<str>::as_ref(query.principal.uid.eid()).into()
}
