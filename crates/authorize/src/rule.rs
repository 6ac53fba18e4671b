//! One policy or template as the engine holds it.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy_core::ast::{Effect, EntityUID, Expr, ExprKind, Literal, Template};
use cedar_policy_core::parser::Loc;
use chancery_model::Outcome;

use crate::scope::{Scope, Side};

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
    pub scope: Scope,
    /// Its conditions as one expression; nothing where it has none.
    pub body: Option<Arc<Expr>>,
    /// How many steps from entity to entity its conditions can take at the most.
    pub depth: usize,
    /// The entities its conditions name.
    pub names: Vec<EntityUID>,
    pub loc: Option<Loc>,
}

impl Rule {
    pub fn new(id: Arc<str>, file: String, outcome: Outcome, template: &Template) -> Self {
        let body = template.non_scope_constraints_arc().cloned();
        let depth = body.as_ref().map_or(0, |b| steps(b));
        let mut names = HashSet::new();
        if let Some(body) = &body {
            literals(body, &mut names);
        }
        Self {
            id,
            file,
            effect: template.effect(),
            outcome,
            scope: Scope::of(template),
            body,
            depth,
            names: names.into_iter().collect(),
            loc: template.loc().cloned(),
        }
    }

    /// Is it a template?
    pub fn is_template(&self) -> bool {
        let sides: [&Side; 2] = [&self.scope.principal, &self.scope.resource];
        sides.iter().any(|side| side.has_slot())
    }
}

/// The longest chain of operators that look into an entity. Every one of them takes at most one step, so the
/// entities within that many steps of those in the request and in the text are all that evaluation can look at.
fn steps(expr: &Expr) -> usize {
    let below = expr.subexpressions_direct().map(steps).max().unwrap_or(0);
    below + looks(expr)
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
