//! One policy or template as the engine holds it.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy_core::ast::{Effect, EntityUID, Expr, ExprKind, Literal, Template, Var};
use cedar_policy_core::parser::Loc;
use chancery_model::{Demand, Outcome};

use crate::scope::{Scope, Side};

/// How old a human's presence may be where a policy does not say, in seconds.
pub(crate) const MAX_AGE: i64 = 300;

/// A policy or template, read once.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its `@id`.
    pub id: Arc<str>,
    /// The file it stands in.
    pub file: String,
    pub effect: Effect,
    /// What a permit gives: allow, or one of the outcomes that ask a human first.
    pub outcome: Outcome,
    /// Of a permit that asks for a human's presence: how old that may be, in seconds.
    pub max_age: i64,
    /// What it wants where it asks for an approval, by its outcome or by looking at `context.approval`.
    pub demand: Option<Demand>,
    pub scope: Scope,
    /// Its conditions as one expression; nothing where it has none.
    pub body: Option<Arc<Expr>>,
    /// How many steps from entity to entity its conditions can take at the most.
    depth: usize,
    /// The same where the context names no entity, so that nothing read off it leads to one.
    depth_without_context: usize,
    /// The entities its conditions name.
    pub names: Vec<EntityUID>,
    /// The texts in its conditions that may be names of tools, if it looks at what a session did.
    pub awaits: Vec<Arc<str>>,
    pub loc: Option<Loc>,
}

impl Rule {
    pub fn new(id: Arc<str>, file: String, outcome: Outcome, template: &Template) -> Self {
        let body = template.non_scope_constraints_arc().cloned();
        let longest = |looks: fn(&Expr) -> usize| body.as_ref().map_or(0, |body| steps(body, looks));
        let mut names = HashSet::new();
        if let Some(body) = &body {
            literals(body, &mut names);
        }
        Self {
            id,
            file,
            effect: template.effect(),
            outcome,
            max_age: MAX_AGE,
            demand: None,
            scope: Scope::of(template),
            depth: longest(looks),
            depth_without_context: longest(looks_beyond_context),
            body,
            awaits: template.non_scope_constraints().map_or_else(Vec::new, awaits),
            names: names.into_iter().collect(),
            loc: template.loc().cloned(),
        }
    }

    /// How many steps from entity to entity its conditions can take at the most, with a context that names entities
    /// or with one that does not.
    pub fn depth(&self, context_names_entities: bool) -> usize {
        if context_names_entities { self.depth } else { self.depth_without_context }
    }

    /// Is it a template?
    pub fn is_template(&self) -> bool {
        let sides: [&Side; 2] = [&self.scope.principal, &self.scope.resource];
        sides.iter().any(|side| side.has_slot())
    }
}

/// The longest chain of operators that look into an entity. Every one of them takes at most one step, so the
/// entities within that many steps of those in the request and in the text are all that evaluation can look at.
fn steps(expr: &Expr, looks: fn(&Expr) -> usize) -> usize {
    let below = expr.subexpressions_direct().map(|part| steps(part, looks)).max().unwrap_or(0);
    below + looks(expr)
}

/// A member of the context, or a member of that, is no entity where the context names none.
fn looks_beyond_context(expr: &Expr) -> usize {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, .. } | ExprKind::HasAttr { expr, .. } | ExprKind::ExtHasAttr { expr, .. }
            if is_of_context(expr) =>
        {
            0
        }
        _ => looks(expr),
    }
}

fn is_of_context(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Var(variable) => *variable == Var::Context,
        ExprKind::GetAttr { expr, .. } => is_of_context(expr),
        _ => false,
    }
}

fn looks(expr: &Expr) -> usize {
    use cedar_policy_core::ast::BinaryOp::{GetTag, HasTag, In};
    match expr.expr_kind() {
        ExprKind::GetAttr { .. } | ExprKind::HasAttr { .. } => 1,
        ExprKind::ExtHasAttr { attrs, .. } => attrs.len(),
        ExprKind::BinaryApp { op: In | GetTag | HasTag, .. } => 1,
        _ => 0,
    }
}

/// Does it look at `context.approval`?
pub(crate) fn reads_approval(body: &Expr) -> bool {
    let approval = |part: &Expr| match part.expr_kind() {
        ExprKind::GetAttr { expr, attr } => {
            attr == "approval" && matches!(expr.expr_kind(), ExprKind::Var(Var::Context))
        }
        _ => false,
    };
    body.subexpressions().any(approval)
}

fn awaits(body: &Expr) -> Vec<Arc<str>> {
    let done = |part: &Expr| matches!(part.expr_kind(), ExprKind::GetAttr { attr, .. } if attr == "done");
    let texts = body.subexpressions().filter_map(|part| match part.expr_kind() {
        ExprKind::Lit(Literal::String(text)) if text.contains('/') => Some(Arc::from(text.as_str())),
        _ => None,
    });
    if body.subexpressions().any(done) { texts.collect() } else { Vec::new() }
}

fn literals(expr: &Expr, names: &mut HashSet<EntityUID>) {
    for part in expr.subexpressions() {
        if let ExprKind::Lit(Literal::EntityUID(uid)) = part.expr_kind() {
            names.insert((**uid).clone());
        }
    }
}

/// The direct parts of an expression; Cedar's own iterator walks the whole tree.
pub(crate) trait Parts<T> {
    fn subexpressions_direct(&self) -> Box<dyn Iterator<Item = &Expr<T>> + '_>;
}

impl<T> Parts<T> for Expr<T> {
    fn subexpressions_direct(&self) -> Box<dyn Iterator<Item = &Expr<T>> + '_> {
        match self.expr_kind() {
            ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => {
                Box::new(std::iter::empty())
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                Box::new([&**test_expr, &**then_expr, &**else_expr].into_iter())
            }
            ExprKind::And { left, right } | ExprKind::Or { left, right } => Box::new([&**left, &**right].into_iter()),
            ExprKind::UnaryApp { arg, .. } => Box::new(std::iter::once(&**arg)),
            ExprKind::BinaryApp { arg1, arg2, .. } => Box::new([&**arg1, &**arg2].into_iter()),
            ExprKind::ExtensionFunctionApp { args, .. } => Box::new(args.iter()),
            ExprKind::GetAttr { expr, .. }
            | ExprKind::HasAttr { expr, .. }
            | ExprKind::ExtHasAttr { expr, .. }
            | ExprKind::Like { expr, .. }
            | ExprKind::Is { expr, .. } => Box::new(std::iter::once(&**expr)),
            ExprKind::Set(items) => Box::new(items.iter()),
            ExprKind::Record(members) => Box::new(members.values()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depths(condition: &str) -> (usize, usize) {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let template = cedar_policy_core::parser::parse_policy_or_template(None, &text).unwrap();
        let rule = Rule::new("p".into(), "p.cedar".into(), Outcome::Allow, &template);
        (rule.depth(true), rule.depth(false))
    }

    #[test]
    fn the_context_leads_to_entities_only_if_it_names_some() {
        assert_eq!(depths("context.args.amount <= 200 && context.session.age_seconds < 60"), (2, 0));
        assert_eq!(depths("context has human && context.human.department == principal.owner"), (2, 1));
        assert_eq!(depths("principal in context.team"), (2, 1));
        assert_eq!(depths("principal.manager.team == context.args.team"), (2, 2));
        assert_eq!(depths("context.args has amount"), (2, 0));
    }
}
