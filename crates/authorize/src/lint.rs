//! What strict validation leaves open. A policy that fits the schema can still fail in exactly these ways:
//!
//! 1. Long arithmetic overflows. Every integer that reaches a policy from outside is within ±2^53 (arguments,
//!    properties and `entities.json` are read so), so intervals decide: `context.args.n * 100` cannot overflow,
//!    `principal.a * resource.b` can.
//! 2. `offset`, `durationSince` and `toDate` leave the range of time. They are accepted between constants only.
//! 3. An attribute is read from an entity that does not exist. Principal and resource of a request always do; any
//!    other entity may not. `x has a && x.a …` is safe, because `has` is false for what does not exist.
//! 4. The expression is nested too deeply for the stack.
//!
//! Constructors of extension types on anything but literals, tags read without `hasTag`, and optional attributes
//! read without `has` do not get past strict validation. So what passes here does not fail.

use std::collections::HashSet;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Template, UnaryOp, Var};
use cedar_policy_core::parser::Loc;
use cedar_policy_core::validator::typecheck::{PolicyCheck, Typechecker};
use cedar_policy_core::validator::types::Type;
use cedar_policy_core::validator::{ValidationMode, ValidatorSchema};
use chancery_model::problem::POLICY_MAY_FAIL;

use crate::diagnostic::Diagnostic;
use crate::json::EXACT;
use crate::rule::Parts;

type Typed = Expr<Option<Type>>;

/// How deeply conditions may be nested.
const DEPTH: usize = 200;
const FALLIBLE: [&str; 3] = ["offset", "durationSince", "toDate"];

/// Everything in this policy that can fail while it is evaluated.
pub(crate) fn check(schema: &ValidatorSchema, file: &str, template: &Template) -> Vec<Diagnostic> {
    if template.non_scope_constraints().is_none() {
        return Vec::new();
    }
    if template.non_scope_constraints().is_some_and(|body| depth(body) > DEPTH) {
        let message = format!("the conditions are nested more than {DEPTH} levels deep");
        return vec![Diagnostic::error(file, POLICY_MAY_FAIL, message).at(template.loc()).suggest("split the policy")];
    }
    let mut linter = Linter { file, found: HashSet::new(), problems: Vec::new() };
    for (_, result) in Typechecker::new(schema, ValidationMode::Strict).typecheck_by_request_env(template) {
        if let PolicyCheck::Success(typed) | PolicyCheck::Irrelevant(_, typed) = result {
            linter.walk(&typed, &HashSet::new());
        }
    }
    linter.problems
}

fn depth(expr: &Expr) -> usize {
    // An explicit stack: the expression may be too deep for ours.
    let (mut deepest, mut open) = (0, vec![(expr, 1)]);
    while let Some((expr, level)) = open.pop() {
        deepest = deepest.max(level);
        open.extend(expr.subexpressions_direct().map(|part| (part, level + 1)));
    }
    deepest
}

struct Linter<'a> {
    file: &'a str,
    found: HashSet<(usize, String)>,
    problems: Vec<Diagnostic>,
}

/// Expressions, as text, whose entity is known to exist.
type Facts = HashSet<String>;

impl Linter<'_> {
    fn report(&mut self, loc: Option<&Loc>, message: String, advice: String) {
        if self.found.insert((loc.map_or(0, Loc::start), message.clone())) {
            self.problems.push(Diagnostic::error(self.file, POLICY_MAY_FAIL, message).at(loc).suggest(advice));
        }
    }

    fn walk(&mut self, expr: &Typed, exist: &Facts) {
        match expr.expr_kind() {
            ExprKind::And { left, right } => {
                self.walk(left, exist);
                self.walk(right, &with(exist, facts(left, true)));
            }
            ExprKind::Or { left, right } => {
                self.walk(left, exist);
                self.walk(right, &with(exist, facts(left, false)));
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                self.walk(test_expr, exist);
                self.walk(then_expr, &with(exist, facts(test_expr, true)));
                self.walk(else_expr, &with(exist, facts(test_expr, false)));
            }
            _ => {
                self.attribute(expr, exist);
                self.arithmetic(expr);
                self.time(expr);
                expr.subexpressions_direct().for_each(|part| self.walk(part, exist));
            }
        }
    }

    fn attribute(&mut self, expr: &Typed, exist: &Facts) {
        let ExprKind::GetAttr { expr: inner, attr } = expr.expr_kind() else { return };
        let is_entity = matches!(inner.data(), Some(Type::Entity(_)));
        if !is_entity || always_there(inner) || exist.contains(&inner.to_string()) {
            return;
        }
        let text = said(inner);
        self.report(
            expr.source_loc(),
            format!("`{text}` may name an entity that does not exist, and reading `{attr}` from it then fails"),
            format!("write `{text} has {attr} && {text}.{attr} …`"),
        );
    }

    fn arithmetic(&mut self, expr: &Typed) {
        let is_operation = matches!(
            expr.expr_kind(),
            ExprKind::BinaryApp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, .. }
                | ExprKind::UnaryApp { op: UnaryOp::Neg, .. }
        );
        let (low, high) = range(expr);
        if is_operation && (low < i128::from(i64::MIN) || high > i128::from(i64::MAX)) {
            self.report(
                expr.source_loc(),
                format!("`{}` may leave the range of Long, and then fails", said(expr)),
                "compare the operands separately, or use smaller factors: integers from outside are within ±2^53"
                    .into(),
            );
        }
    }

    fn time(&mut self, expr: &Typed) {
        let ExprKind::ExtensionFunctionApp { fn_name, .. } = expr.expr_kind() else { return };
        if FALLIBLE.contains(&fn_name.to_string().as_str()) && !constant(expr) {
            self.report(
                expr.source_loc(),
                format!("`{}` may leave the range of time, and then fails", said(expr)),
                "compare with a constant instead: `x < datetime(\"…\")`".into(),
            );
        }
    }
}

/// Are these in every request?
fn always_there(expr: &Typed) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(Var::Principal | Var::Resource | Var::Action))
}

fn said(expr: &Typed) -> String {
    expr.source_loc().and_then(Loc::snippet).map_or_else(|| expr.to_string(), str::to_owned)
}

fn with(exist: &Facts, more: Facts) -> Facts {
    exist.union(&more).cloned().collect()
}

/// Which entities exist if the expression came out as `outcome`.
fn facts(expr: &Typed, outcome: bool) -> Facts {
    match (expr.expr_kind(), outcome) {
        (ExprKind::UnaryApp { op: UnaryOp::Not, arg }, _) => facts(arg, !outcome),
        (ExprKind::And { left, right }, true) | (ExprKind::Or { left, right }, false) => {
            with(&facts(left, outcome), facts(right, outcome))
        }
        (ExprKind::And { left, right }, false) | (ExprKind::Or { left, right }, true) => {
            facts(left, outcome).intersection(&facts(right, outcome)).cloned().collect()
        }
        (ExprKind::HasAttr { expr, .. }, true) => Facts::from([expr.to_string()]),
        (ExprKind::BinaryApp { op: BinaryOp::HasTag, arg1, .. }, true) => Facts::from([arg1.to_string()]),
        (ExprKind::ExtHasAttr { expr, attrs }, true) => {
            let mut path = expr.to_string();
            let mut facts = Facts::from([path.clone()]);
            for attr in attrs.iter().take(attrs.len() - 1) {
                path = format!("{path}[{attr:?}]");
                facts.insert(path.clone());
                facts.insert(path.replace(&format!("[{attr:?}]"), &format!(".{attr}")));
            }
            facts
        }
        _ => Facts::new(),
    }
}

type Range = (i128, i128);
const OUTSIDE: Range = (-(EXACT as i128), EXACT as i128);
const ANY: Range = (i64::MIN as i128, i64::MAX as i128);

/// The values an expression of type Long can have.
fn range(expr: &Typed) -> Range {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Long(n)) => (i128::from(*n), i128::from(*n)),
        ExprKind::UnaryApp { op: UnaryOp::Neg, arg } => {
            let (low, high) = range(arg);
            (-high, -low)
        }
        ExprKind::BinaryApp { op, arg1, arg2 } => operation(*op, range(arg1), range(arg2)),
        ExprKind::If { then_expr, else_expr, .. } => {
            let ((a, b), (c, d)) = (range(then_expr), range(else_expr));
            (a.min(c), b.max(d))
        }
        ExprKind::GetAttr { expr, .. } if from_outside(expr) => OUTSIDE,
        _ => ANY,
    }
}

fn operation(op: BinaryOp, (a, b): Range, (c, d): Range) -> Range {
    match op {
        BinaryOp::Add => (a.saturating_add(c), b.saturating_add(d)),
        BinaryOp::Sub => (a.saturating_sub(d), b.saturating_sub(c)),
        BinaryOp::Mul => {
            let corners = [a.saturating_mul(c), a.saturating_mul(d), b.saturating_mul(c), b.saturating_mul(d)];
            let fold = |pick: fn(i128, i128) -> i128| corners.into_iter().reduce(pick).unwrap_or_default();
            (fold(Ord::min), fold(Ord::max))
        }
        // Tags of entities are read like attributes.
        BinaryOp::GetTag => OUTSIDE,
        _ => ANY,
    }
}

/// Is it a chain of attributes of something in the request or the directory?
fn from_outside(expr: &Typed) -> bool {
    match expr.expr_kind() {
        ExprKind::Var(_) | ExprKind::Lit(Literal::EntityUID(_)) => true,
        ExprKind::GetAttr { expr, .. } => from_outside(expr),
        ExprKind::BinaryApp { op: BinaryOp::GetTag, .. } => true,
        _ => false,
    }
}

/// Does it say the same in every request, without failing?
fn constant(expr: &Typed) -> bool {
    use cedar_policy_core::ast::{Context, EntityUIDEntry, Request, SlotEnv};
    use cedar_policy_core::{entities::Entities, evaluator::Evaluator, extensions::Extensions};
    let depends = expr.subexpressions().any(|part| matches!(part.expr_kind(), ExprKind::Var(_) | ExprKind::Slot(_)));
    let Some(plain) = expr.source_loc().and_then(Loc::snippet).and_then(|text| text.parse::<Expr>().ok()) else {
        return false;
    };
    let nobody = EntityUIDEntry::unknown;
    let request = Request::new_unchecked(nobody(), nobody(), nobody(), Some(Context::empty()));
    let entities = Entities::new();
    let evaluator = Evaluator::new(request, &entities, Extensions::all_available());
    !depends && evaluator.interpret(&plain, &SlotEnv::new()).is_ok()
}
