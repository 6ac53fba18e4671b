//! What would make it pass: the clauses that were false with the values they saw, the scopes that did not match,
//! the grants that are missing, over, or for others, and the policies that forbade it.
//!
//! Nothing here is remembered from the decision: it is worked out again from the question, so that it can be
//! done later over the policies, agents and grants as they were.

use std::sync::Arc;

use cedar_policy_core::ast::{Effect, Expr, ExprKind, UnaryOp, Value, Var};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::parser::Loc;
use chancery_model::{Covered, Decision, Demand, Grant, Hash, NearMiss, Outcome, Share, Timestamp};

use crate::call::{Acting, Asked, ServerAct, ToolCall};
use crate::decide::{Candidate, For, Judge, Query, decide, satisfied, slice, truth};
use crate::engine::parts::{Part, asked_of, covered, parts};
use crate::engine::{Engine, State, query};
use crate::grants::{Grants, Row};
use crate::rule::{Parts, Rule};
use crate::scope::{Side, Slots};
use crate::verdict::Verdict;

/// How many policies whose scope did not match are named: the first few tell what is missing.
const OTHERS: usize = 20;
/// How much of a value or a clause is shown, in characters.
const SHOWN: usize = 200;

impl Engine {
    /// What would make it pass, under the policies, agents and grants in force; empty for what passes.
    pub fn explain(&self, asked: &Asked, now: Timestamp) -> Vec<NearMiss> {
        match asked {
            Asked::Evaluation(evaluation) => {
                let (state, grants) = self.parts();
                match query::evaluation(&state, evaluation.question(), now) {
                    Ok(query) => together(&state, grants, Ok(query.clone()), (&query.asks(), &[]), now),
                    refused => explained(&state, grants, refused, now),
                }
            }
            Asked::ToolCall { by, server, tool, args } => {
                let ancestors = by.ancestors();
                self.explain_tool_call(&tool_call(by.acting(&ancestors), server, tool, args), now)
            }
            Asked::ServerAct { by, server, action, resource } => {
                let ancestors = by.ancestors();
                self.explain_server_act(&server_act(by.acting(&ancestors), server, action, resource.as_deref()), now)
            }
        }
    }

    /// The answer of each whose right it takes, the person's first and the task's last; empty where it takes the right of
    /// the agent that acts, and nobody else's.
    pub fn shares(&self, asked: &Asked, now: Timestamp) -> Vec<Share> {
        let (state, grants) = self.parts();
        match asked {
            Asked::Evaluation(_) => Vec::new(),
            Asked::ToolCall { by, server, tool, args } => {
                let ancestors = by.ancestors();
                let call = tool_call(by.acting(&ancestors), server, tool, args);
                let asked = query::tool_call(&state, &call, now).map(|(query, _)| query);
                shares(&state, grants, asked, (&call.by, &call.covered()), now)
            }
            Asked::ServerAct { by, server, action, resource } => {
                let ancestors = by.ancestors();
                let act = server_act(by.acting(&ancestors), server, action, resource.as_deref());
                let asked = query::server_act(&state, &act, now).map(|(query, _)| query);
                shares(&state, grants, asked, (&act.by, &act.covered()), now)
            }
        }
    }

    /// What would make a call pass.
    pub fn explain_tool_call(&self, call: &ToolCall<'_>, now: Timestamp) -> Vec<NearMiss> {
        let (state, grants) = self.parts();
        let asked = query::tool_call(&state, call, now).map(|(query, _)| query);
        together(&state, grants, asked, (&call.by, &call.covered()), now)
    }

    /// What would make another act pass.
    pub fn explain_server_act(&self, act: &ServerAct<'_>, now: Timestamp) -> Vec<NearMiss> {
        let (state, grants) = self.parts();
        let asked = query::server_act(&state, act, now).map(|(query, _)| query);
        together(&state, grants, asked, (&act.by, &act.covered()), now)
    }
}

fn tool_call<'a>(by: Acting<'a>, server: &'a str, tool: &'a str, args: &'a serde_json::Value) -> ToolCall<'a> {
    ToolCall { by, server, tool, definition: None, args, args_digest: Hash::default() }
}

fn server_act<'a>(by: Acting<'a>, server: &'a str, action: &'a str, resource: Option<&'a str>) -> ServerAct<'a> {
    ServerAct { by, server, action, resource, args_digest: Hash::default() }
}

/// The grants as they were at a moment: those of later are left out, those revoked later were in force.
pub fn as_of(grants: &[Grant], at: Timestamp) -> Vec<Grant> {
    let then = grants.iter().filter(|grant| grant.created_at <= at).cloned();
    then.map(|grant| Grant { revoked_at: grant.revoked_at.filter(|revoked| *revoked <= at), ..grant }).collect()
}

fn miss(policy: &str, needs: impl Into<String>) -> NearMiss {
    NearMiss { policy: policy.to_owned(), needs: needs.into(), part: None }
}

/// What would make it pass, of everybody whose right it takes.
fn together(
    state: &State,
    grants: &Grants,
    asked: Result<Query, query::Refusal>,
    (by, acts): (&Acting<'_>, &[Covered<'_>]),
    now: Timestamp,
) -> Vec<NearMiss> {
    let query = match asked {
        Ok(query) => query,
        refused => return explained(state, grants, refused, now),
    };
    let several = takes_several(by);
    let of = |part: String, misses: Vec<NearMiss>| {
        let part = several.then_some(part);
        misses.into_iter().map(move |miss| NearMiss { part: part.clone(), ..miss })
    };
    let others =
        parts(by).flat_map(|part| of(part.named(), explained(state, grants, asked_of(state, &query, part, now), now)));
    let others: Vec<NearMiss> = others.collect();
    let task = covered(by, acts).err().map(|refusal| vec![miss("(limits)", refusal.why())]).unwrap_or_default();
    let own = explained(state, grants, Ok(query), now);
    of(Part::Agent(by.agent).named(), own).chain(others).chain(of("task".to_owned(), task)).collect()
}

/// Whether it takes more than the right of the agent that acts.
fn takes_several(by: &Acting<'_>) -> bool {
    !(by.ancestors.is_empty() && by.human.is_none() && by.limits.is_empty())
}

/// What each whose right it takes says.
fn shares(
    state: &State,
    grants: &Grants,
    asked: Result<Query, query::Refusal>,
    (by, acts): (&Acting<'_>, &[Covered<'_>]),
    now: Timestamp,
) -> Vec<Share> {
    let Ok(query) = asked else { return Vec::new() };
    if !takes_several(by) {
        return Vec::new();
    }
    let answer = |asked: Result<Query, query::Refusal>| match asked {
        Ok(query) => Verdict::of(decide(&state.snapshot, grants, state, &query, now)),
        Err(refusal) => refusal.verdict(&state.snapshot),
    };
    let mut shares: Vec<Share> =
        parts(by).map(|part| share(part.named(), answer(asked_of(state, &query, part, now)))).collect();
    shares.reverse();
    shares.push(share(Part::Agent(by.agent).named(), answer(Ok(query))));
    if !by.limits.is_empty() {
        let outcome = if covered(by, acts).is_ok() { Outcome::Allow } else { Outcome::Deny };
        let why = covered(by, acts).err().map(|refusal| refusal.why().to_string()).unwrap_or_default();
        shares.push(Share { part: "task".to_owned(), outcome, policies: Vec::new(), why });
    }
    shares
}

fn share(part: String, verdict: Verdict) -> Share {
    let policies = verdict.decision.determining.iter().map(|d| d.policy.to_string()).collect();
    Share { part, outcome: verdict.decision.outcome, policies, why: verdict.why.into_owned() }
}

fn explained(state: &State, grants: &Grants, asked: Result<Query, query::Refusal>, now: Timestamp) -> Vec<NearMiss> {
    let query = match asked {
        Ok(query) => query,
        Err(refusal) => return vec![miss("(request)", refusal.why())],
    };
    let decision: Decision = decide(&state.snapshot, grants, state, &query, now);
    if decision.outcome == Outcome::Allow {
        return Vec::new();
    }
    let candidates = slice(&state.snapshot, grants, &query, now);
    let judge = Judge::of(&state.snapshot, state, &query, &candidates);
    let evaluator = judge.evaluator();
    let mut misses: Vec<NearMiss> = candidates.iter().flat_map(|c| candidate(&evaluator, c)).collect();
    if decision.determining.is_empty() || decision.outcome != Outcome::Deny {
        misses.extend(idle_grants(state, grants, &query, now));
        misses.extend(missing_grants(state, &query, &candidates));
        misses.extend(other_scopes(state, &query));
    }
    misses
}

// --- policies whose scope matched -----------------------------------------------------------------------------

fn candidate(evaluator: &Evaluator<'_>, candidate: &Candidate<'_>) -> Vec<NearMiss> {
    let rule = candidate.rule;
    let holds = satisfied(Some(evaluator), candidate);
    match (rule.effect, holds) {
        (_, Err(error)) => vec![miss(&rule.id, format!("it could not be evaluated: {error}"))],
        (Effect::Forbid, Ok(true)) => vec![miss(&rule.id, forbidding(evaluator, candidate))],
        (Effect::Permit, Ok(false)) => false_clauses(evaluator, candidate),
        (Effect::Permit, Ok(true)) => asks(rule).into_iter().collect(),
        (Effect::Forbid, Ok(false)) => Vec::new(),
    }
}

fn asks(rule: &Rule) -> Option<NearMiss> {
    match rule.outcome {
        Outcome::RequireApproval => {
            let who = rule.demand.as_ref().map_or_else(|| "a human".to_owned(), Demand::who);
            Some(miss(&rule.id, format!("the approval of {who}")))
        }
        Outcome::StepUp => {
            Some(miss(&rule.id, format!("a person who confirmed presence within the last {} s", rule.max_age)))
        }
        Outcome::Allow | Outcome::Deny => None,
    }
}

fn forbidding(evaluator: &Evaluator<'_>, candidate: &Candidate<'_>) -> String {
    let clauses = clauses(candidate.rule);
    if clauses.is_empty() {
        return "it forbids this whatever the circumstances".into();
    }
    let said: Vec<String> = clauses.iter().map(|clause| clause.shown(evaluator, candidate)).collect();
    format!("it forbids this because {}; one of these must not hold", said.join(" and "))
}

fn false_clauses(evaluator: &Evaluator<'_>, candidate: &Candidate<'_>) -> Vec<NearMiss> {
    let mut misses = Vec::new();
    for clause in clauses(candidate.rule) {
        match evaluator.interpret(clause.expr, &candidate.slots()).map_err(|e| e.to_string()).and_then(|v| truth(&v)) {
            Ok(true) => {}
            Ok(false) => {
                misses.push(miss(&candidate.rule.id, format!("{} was false", clause.shown(evaluator, candidate))))
            }
            // What comes after a guard that failed says nothing.
            Err(_) => break,
        }
    }
    misses
}

/// One of the conditions that must all hold.
struct Clause<'e> {
    expr: &'e Expr,
}

/// The conditions, taken apart at every `&&`.
fn clauses(rule: &Rule) -> Vec<Clause<'_>> {
    fn flatten<'e>(expr: &'e Expr, clauses: &mut Vec<Clause<'e>>) {
        match expr.expr_kind() {
            ExprKind::And { left, right } => {
                flatten(left, clauses);
                flatten(right, clauses);
            }
            ExprKind::Lit(_) => {}
            _ => clauses.push(Clause { expr }),
        }
    }
    let mut clauses = Vec::new();
    if let Some(body) = &rule.body {
        flatten(body, &mut clauses);
    }
    clauses
}

impl Clause<'_> {
    /// Its text, with the values it saw.
    fn shown(&self, evaluator: &Evaluator<'_>, candidate: &Candidate<'_>) -> String {
        let said = match self.expr.expr_kind() {
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } if text(self.expr).starts_with("unless") => {
                format!("unless `{}`", text(arg))
            }
            _ => format!("`{}`", text(self.expr)),
        };
        let mut seen = Vec::new();
        paths(self.expr, &mut seen);
        let slots = candidate.slots();
        let values: Vec<String> = seen
            .into_iter()
            .filter_map(|path| {
                Some(format!("`{}` was {}", text(path), shown(&evaluator.interpret(path, &slots).ok()?)))
            })
            .collect();
        if values.is_empty() { said } else { format!("{said} (where {})", values.join(", ")) }
    }
}

/// What an expression looks at: its longest chains of attributes, and the variables it uses as they are.
fn paths<'e>(expr: &'e Expr, seen: &mut Vec<&'e Expr>) {
    match expr.expr_kind() {
        ExprKind::GetAttr { .. } => seen.push(expr),
        ExprKind::Var(Var::Principal | Var::Resource) => seen.push(expr),
        ExprKind::HasAttr { .. } | ExprKind::ExtHasAttr { .. } => {}
        _ => expr.subexpressions_direct().for_each(|part| paths(part, seen)),
    }
}

fn text(expr: &Expr) -> String {
    let text = expr.source_loc().and_then(Loc::snippet).map_or_else(|| expr.to_string(), str::to_owned);
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(one_line)
}

fn shown(value: &Value) -> String {
    cut(value.to_string())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

// --- grants ---------------------------------------------------------------------------------------------------

/// Grants that would link these two, but give nothing now.
fn idle_grants(state: &State, grants: &Grants, query: &Query, now: Timestamp) -> Vec<NearMiss> {
    let mut rows: Vec<Arc<Row>> = Vec::new();
    grants.visit(&query.principal, &query.resource, |row| {
        if !row.gives(now, query.mode) {
            rows.push(Arc::clone(row));
        }
    });
    let would = |row: &Row| {
        let rule = state.snapshot.templates.get(&row.template)?;
        let slots = Slots { principal: Some(&row.principal), resource: Some(&row.resource) };
        rule.scope.admits(&query.principal, &query.action.node, &query.resource, slots).then_some(rule)
    };
    let told = rows.iter().filter_map(|row| {
        let rule = would(row)?;
        let why = match row.over(now) {
            Some(end) => format!("grant {} is over since {}: extend it", row.id, end.rfc3339()),
            None if query.mode == For::Itself => {
                format!("grant {} holds only on behalf of a human, and there was none", row.id)
            }
            None => format!("grant {} holds only for what the agent does by itself, and it acted for a human", row.id),
        };
        Some(miss(&rule.id, why))
    });
    told.collect()
}

/// The grants that would permit it.
fn missing_grants(state: &State, query: &Query, candidates: &[Candidate<'_>]) -> Vec<NearMiss> {
    let (principal, resource) = (&query.principal.uid, &query.resource.uid);
    let slots = Slots { principal: Some(principal), resource: Some(resource) };
    let linked = |rule: &Rule| candidates.iter().any(|c| c.grant.is_some() && c.rule.id == rule.id);
    let mut fitting: Vec<&Rule> = state
        .snapshot
        .templates
        .values()
        .filter(|rule| rule.effect == Effect::Permit && !linked(rule))
        .filter(|rule| rule.scope.admits(&query.principal, &query.action.node, &query.resource, slots))
        .collect();
    fitting.sort_by(|a, b| a.id.cmp(&b.id));
    let told = fitting.into_iter().map(|rule| {
        let condition = if rule.body.is_some() { ", where its conditions hold" } else { "" };
        miss(&rule.id, format!("a grant of `{}` on {resource} to {principal} would permit it{condition}", rule.id))
    });
    told.collect()
}

// --- policies for others --------------------------------------------------------------------------------------

/// Permits for this action whose principal or resource is another.
fn other_scopes(state: &State, query: &Query) -> Vec<NearMiss> {
    let permits = state.snapshot.rules.iter().filter(|rule| rule.effect == Effect::Permit);
    let about = permits.filter(|rule| rule.scope.action.admits(&query.action.node));
    let mut missed: Vec<(usize, NearMiss)> = about.filter_map(|rule| other_scope(rule, query)).collect();
    missed.sort_by_key(|(parts, _)| *parts);
    missed.into_iter().map(|(_, miss)| miss).take(OTHERS).collect()
}

fn other_scope(rule: &Rule, query: &Query) -> Option<(usize, NearMiss)> {
    let sides =
        [("principal", &rule.scope.principal, &query.principal), ("resource", &rule.scope.resource, &query.resource)];
    let wrong: Vec<String> = sides
        .into_iter()
        .filter(|(_, side, node)| !side.admits(node, None))
        .map(|(role, side, node)| format!("{role} to be {}, not {}", demanded(side), node.uid))
        .collect();
    (!wrong.is_empty()).then(|| (wrong.len(), miss(&rule.id, format!("it wants the {}", wrong.join(" and the ")))))
}

fn demanded(side: &Side) -> String {
    let entity = side.entity().map_or_else(String::new, ToString::to_string);
    match side {
        Side::Any => "anything".into(),
        Side::Eq(_) => entity,
        Side::In(_) => format!("in {entity}"),
        Side::Is(kind) => format!("a {kind}"),
        Side::IsIn(kind, _) => format!("a {kind} in {entity}"),
    }
}
