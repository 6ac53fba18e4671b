//! From files to a snapshot: read, name, check, all or nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, AnyId, Effect, EntityUID, ExprKind, PolicyID, PolicySet, StaticPolicy, Template, Var,
};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::parse_policyset;
use cedar_policy_core::validator::{
    ValidationError, ValidationMode, ValidationWarning, Validator, ValidatorSchema, json_schema::Fragment,
};
use chancery_model::problem::{
    POLICY_FORM, POLICY_ID, POLICY_INERT, POLICY_SYNTAX, POLICY_TYPE, POLICY_UNINDEXED, POLICY_WAITS, Row,
};
use chancery_model::{Demand, Outcome, Tool};

use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::index::Index;
use crate::rule::{MAX_AGE, Parts, Rule};
use crate::snapshot::{Action, Reads, Snapshot, Sources, Standing};
use crate::{lint, nesting, schema, tools};

mod demand;
mod directory;
mod meters;

pub(crate) use meters::{FILE as METERS_FILE, read as meters};

/// The oldest presence that a policy may be content with, in seconds: a day.
const OLDEST: i64 = 86_400;

/// A policy or template as it stands in its file.
struct Written {
    file: String,
    id: Arc<str>,
    outcome: Outcome,
    max_age: i64,
    demand: Option<Demand>,
    template: Template,
}

/// Builds a snapshot, or says everything that is wrong.
pub(crate) fn snapshot(sources: &Sources<'_>) -> Result<Snapshot, Vec<Diagnostic>> {
    let files = sources.files;
    let mut problems = Vec::new();
    let written = read_policies(files, &mut problems);
    let declared = declared(files);
    let generated = tools::generate(sources.tools, |action| declared.contains(action));
    let meters = meters::read(sources, &mut problems);
    let (schema, types) = match schema::build(files, &generated.fragment, &meters) {
        Ok(built) => built,
        Err(more) => return Err(sorted(problems, more)),
    };
    let (written, mut warnings) = set_waiting_aside(written, sources, &schema);
    warnings.extend(generated.untyped);
    warnings.extend(meters::waiting(sources, &meters));
    check(&schema, &written, &mut problems, &mut warnings);
    let directory = directory::build(sources, &schema, &mut problems);
    if !problems.is_empty() {
        return Err(sorted(problems, Vec::new()));
    }
    let reads = reads(&written);
    let needs = Arc::new(meters::needs(meters, &reads));
    let (templates, rules): (Vec<Rule>, Vec<Rule>) = written.into_iter().map(rule).partition(Rule::is_template);
    let index = Index::of(&rules);
    warnings.extend(index.always.iter().filter_map(|number| unindexed(rules.get(*number as usize)?)));
    let actions = directory.actions(&schema);
    Ok(Snapshot {
        version: version(sources),
        named_actions: named(&actions),
        tools: directory.tools(sources, &actions),
        standing: sources.tools.iter().map(|tool| (tool.qualified(), Standing::of(tool))).collect(),
        servers: directory.servers(sources),
        memberships: directory.memberships(),
        entities: directory.nodes,
        templates: templates.into_iter().map(|rule| (Arc::clone(&rule.id), rule)).collect(),
        warnings: sorted(warnings, Vec::new()),
        schema,
        types,
        rules,
        index,
        actions,
        reads,
        needs,
    })
}

fn rule(w: Written) -> Rule {
    let mut rule = Rule::new(w.id, w.file, w.outcome, &w.template);
    rule.max_age = w.max_age;
    rule.demand = w.demand;
    rule
}

fn sorted(mut some: Vec<Diagnostic>, more: Vec<Diagnostic>) -> Vec<Diagnostic> {
    some.extend(more);
    some.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn version(sources: &Sources<'_>) -> Arc<str> {
    let mut bytes = schema::BASE.as_bytes().to_vec();
    bytes.extend(sources.files.canonical());
    for tool in sources.tools {
        bytes.extend_from_slice(tool.qualified().as_bytes());
        bytes.extend_from_slice(&tool.digest);
    }
    let hex: String = (sources.hash)(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.into()
}

fn named(actions: &HashMap<EntityUID, Arc<Action>>) -> HashMap<String, Arc<Action>> {
    let plain = actions.iter().filter(|(uid, _)| uid.entity_type().name().is_unqualified());
    plain.map(|(uid, action)| (AsRef::<str>::as_ref(uid.eid()).to_owned(), Arc::clone(action))).collect()
}

/// The actions that the directory declares itself: a tool's declaration stands instead of the generated one.
fn declared(files: &Files) -> BTreeSet<String> {
    let own = files.schemas().filter(|(name, _)| *name != schema::BASE_FILE);
    let parsed = own.filter_map(|(_, text)| Fragment::from_cedarschema_str(text, Extensions::all_available()).ok());
    parsed
        .flat_map(|(fragment, _)| fragment.0.into_values())
        .flat_map(|part| part.actions.into_keys())
        .map(|action| action.to_string())
        .collect()
}

// --- reading and naming ---------------------------------------------------------------------------------------

fn read_policies(files: &Files, problems: &mut Vec<Diagnostic>) -> Vec<Written> {
    let mut written = Vec::new();
    for (file, text) in files.policies() {
        if let Some(problem) = nesting::too_deep(file, text) {
            problems.push(problem);
            continue;
        }
        match parse_policyset(text) {
            Ok(set) => set.all_templates().for_each(|template| match name(file, template) {
                Ok(policy) => written.push(policy),
                Err(problem) => problems.push(problem),
            }),
            Err(_) => problems.extend(syntax(file, text)),
        }
    }
    problems.extend(duplicates(&written));
    written
}

/// Every syntax error of a file.
pub(crate) fn syntax(file: &str, text: &str) -> Vec<Diagnostic> {
    if let Some(problem) = nesting::too_deep(file, text) {
        return vec![problem];
    }
    match parse_policyset(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|e| describe(file, POLICY_SYNTAX, e, Some(text))).collect(),
    }
}

fn annotation<'a>(template: &'a Template, name: &str) -> Option<&'a str> {
    let found = template.annotations().find(|(key, _): &(&AnyId, _)| AsRef::<str>::as_ref(*key) == name);
    found.map(|(_, annotation)| annotation.val.as_str())
}

fn name(file: &str, template: &Template) -> Result<Written, Diagnostic> {
    let refuse = |row, message: String| Diagnostic::error(file, row, message).at(first_line(template).as_ref());
    let id = annotation(template, "id").filter(|id| !id.trim().is_empty()).ok_or_else(|| {
        refuse(POLICY_ID, "this policy has no id".into()).suggest("write @id(\"a-name-of-its-own\") before it")
    })?;
    let slots = template.slots().count();
    if slots == 1 {
        return Err(refuse(
            POLICY_FORM,
            format!("template `{id}` has only one slot: a grant names a principal and a resource"),
        )
        .suggest("use both ?principal and ?resource in its scope"));
    }
    let outcome = outcome(template).map_err(|message| {
        refuse(POLICY_FORM, message)
            .suggest("write @outcome(\"require_approval\") or @outcome(\"step_up\") before a permit")
    })?;
    let max_age = max_age(template, outcome).map_err(|message| {
        refuse(POLICY_FORM, message).suggest("write @max_age(\"300\") beside @outcome(\"step_up\"): seconds")
    })?;
    let id: Arc<str> = id.into();
    let demand = demand::demand(&id, outcome, template).map_err(|message| {
        let advice = "write @approvers(\"a-group\"), @quorum(\"2\"), @approval(\"four_eyes\"), @risk(\"high\") and \
                      @approve_within(\"900\") only where approval is asked for";
        refuse(POLICY_FORM, message).suggest(advice)
    })?;
    let template = template.new_id(PolicyID::from_string(&*id));
    Ok(Written { file: file.to_owned(), id, outcome, max_age, demand, template })
}

/// What a permit gives. The strictest of the permits that apply wins, so that one which asks for a human can be
/// put on top of a grant.
fn outcome(template: &Template) -> Result<Outcome, String> {
    match (annotation(template, "outcome"), template.effect()) {
        (None, Effect::Permit) => Ok(Outcome::Allow),
        (None, Effect::Forbid) => Ok(Outcome::Deny),
        (Some(_), Effect::Forbid) => Err("a forbid has no other outcome than a deny".into()),
        (Some("require_approval"), Effect::Permit) => Ok(Outcome::RequireApproval),
        (Some("step_up"), Effect::Permit) => Ok(Outcome::StepUp),
        (Some(other), Effect::Permit) => Err(format!("there is no outcome `{other}`")),
    }
}

/// How old the presence of a human may be (RFC 9470, section 3: `max_age`).
fn max_age(template: &Template, outcome: Outcome) -> Result<i64, String> {
    let Some(stated) = annotation(template, "max_age") else { return Ok(MAX_AGE) };
    let seconds = stated.parse::<i64>().ok().filter(|seconds| (1..=OLDEST).contains(seconds));
    match (seconds, outcome) {
        (Some(seconds), Outcome::StepUp) => Ok(seconds),
        (Some(_), _) => Err("only a permit with the outcome `step_up` has a `max_age`".into()),
        (None, _) => Err(format!("`{stated}` is no number of seconds from 1 to {OLDEST}")),
    }
}

fn first_line(template: &Template) -> Option<cedar_policy_core::parser::Loc> {
    let loc = template.loc()?;
    let line = loc.snippet().and_then(|text| text.lines().next()).map_or(1, str::len);
    Some(loc.span(loc.start()..loc.start() + line))
}

fn duplicates(written: &[Written]) -> Vec<Diagnostic> {
    let mut first: HashMap<&str, &str> = HashMap::new();
    let twice = written.iter().filter_map(|w| first.insert(&w.id, &w.file).map(|other| (w, other)));
    twice
        .map(|(w, other)| {
            Diagnostic::error(&w.file, POLICY_ID, format!("the id `{}` is taken by another policy in {other}", w.id))
                .at(first_line(&w.template).as_ref())
                .suggest("give it an id of its own")
        })
        .collect()
}

// --- policies about tools that are not known yet --------------------------------------------------------------

/// Takes the actions out that are tools of servers nobody has listed yet, or tools that nobody has approved yet: there
/// is nothing to be asked about them. A policy that has no other action waits until they are known.
fn set_waiting_aside(
    written: Vec<Written>,
    sources: &Sources<'_>,
    schema: &ValidatorSchema,
) -> (Vec<Written>, Vec<Diagnostic>) {
    let unseen: Vec<&str> = sources
        .servers
        .iter()
        .map(String::as_str)
        .filter(|server| !sources.tools.iter().any(|tool| tool.server == *server && tool.was_approved()))
        .collect();
    let unapproved: BTreeSet<String> =
        sources.tools.iter().filter(|tool| !tool.was_approved()).map(Tool::qualified).collect();
    let (mut ready, mut notes) = (Vec::new(), Vec::new());
    for policy in written {
        let of_unseen = |uid: &EntityUID| {
            let name = AsRef::<str>::as_ref(uid.eid());
            let server = name.split_once('/').map(|(server, _)| server);
            let waits = unapproved.contains(name) || server.is_some_and(|server| unseen.contains(&server));
            waits && schema.get_action_id(uid).is_none()
        };
        let known: Vec<EntityUID> = actions(&policy.template).into_iter().filter(|uid| !of_unseen(uid)).collect();
        match (known.len(), actions(&policy.template).len()) {
            (known, all) if known == all => ready.push(policy),
            (0, _) => notes.push(waiting_note(&policy)),
            _ => {
                notes.push(waiting_note(&policy));
                ready.push(Written { template: about(&policy.template, known), ..policy });
            }
        }
    }
    (ready, notes)
}

/// The actions that a policy names; none if it is about all.
fn actions(template: &Template) -> Vec<EntityUID> {
    match template.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(uid) => vec![(**uid).clone()],
        ActionConstraint::In(uids) => uids.iter().map(|uid| (**uid).clone()).collect(),
    }
}

/// The same policy about these actions only.
fn about(template: &Template, actions: Vec<EntityUID>) -> Template {
    Template::new_shared(
        template.id().clone(),
        template.loc().cloned(),
        Arc::clone(template.annotations_arc()),
        template.effect(),
        template.principal_constraint().clone(),
        ActionConstraint::is_in(actions),
        template.resource_constraint().clone(),
        template.non_scope_constraints_arc().cloned(),
    )
}

fn waiting_note(w: &Written) -> Diagnostic {
    let message =
        format!("policy `{}` names tools that are not known yet; it applies to them once they are pinned", w.id);
    Diagnostic::warning(&w.file, POLICY_WAITS, message).at(first_line(&w.template).as_ref())
}

// --- checking -------------------------------------------------------------------------------------------------

fn check(
    schema: &ValidatorSchema,
    written: &[Written],
    problems: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) {
    let files: HashMap<&str, &Written> = written.iter().map(|w| (&*w.id, w)).collect();
    let validator = Validator::new(schema.clone());
    let result = validator.validate(&policy_set(written), ValidationMode::Strict);
    let of = |text: &str| policy_named(text).and_then(|id| files.get(id).copied());
    for error in result.validation_errors() {
        problems.push(type_error(error, of(&error.to_string())));
    }
    let ill: BTreeSet<String> =
        result.validation_errors().map(|e| e.to_string()).filter_map(|t| policy_named(&t).map(str::to_owned)).collect();
    for warning in result.validation_warnings() {
        match inert(warning) {
            // What cannot be typed cannot be judged: one error is enough.
            Some(id) if ill.contains(&id) => {}
            Some(id) => problems.extend(files.get(&*id).map(|w| never(w))),
            None => warnings.push(remark(warning, of(&warning.to_string()))),
        }
    }
    let well = written.iter().filter(|w| !ill.contains(&*w.id));
    well.for_each(|w| problems.extend(lint::check(schema, &w.file, &w.template)));
}

fn policy_set(written: &[Written]) -> PolicySet {
    let mut set = PolicySet::new();
    for w in written {
        // Ids are unique here but for those already reported, of which the first is looked at.
        let _ = match StaticPolicy::try_from(w.template.clone()) {
            Ok(policy) => set.add_static(policy),
            Err(_) => set.add_template(w.template.clone()),
        };
    }
    set
}

/// The id in Cedar's "for policy `id`, …".
fn policy_named(text: &str) -> Option<&str> {
    text.strip_prefix("for policy `")?.split_once("`, ").map(|(id, _)| id)
}

fn type_error(error: &ValidationError, written: Option<&Written>) -> Diagnostic {
    let file = written.map_or("(policies)", |w| w.file.as_str());
    let text = written.and_then(|w| w.template.loc()).map(|loc| Arc::clone(&loc.src));
    let mut problem = describe(file, POLICY_TYPE, error, text.as_deref());
    if let Some((_, rest)) = problem.message.strip_prefix("for policy `").and_then(|t| t.split_once("`, ")) {
        problem.message = rest.to_owned();
    }
    problem
}

/// The policy that can never apply, if that is what the warning says.
fn inert(warning: &ValidationWarning) -> Option<String> {
    match warning {
        ValidationWarning::ImpossiblePolicy(w) => Some(w.policy_id.to_string()),
        ValidationWarning::InvalidActionApplication(w) => Some(w.policy_id.to_string()),
        _ => None,
    }
}

fn never(w: &Written) -> Diagnostic {
    let message = format!("policy `{}` can never apply: no request satisfies its scope and conditions", w.id);
    Diagnostic::error(&w.file, POLICY_INERT, message)
        .at(first_line(&w.template).as_ref())
        .suggest("see with `chancery policy schema` which principals and resources the action takes, and which conditions contradict each other")
}

fn remark(warning: &ValidationWarning, written: Option<&Written>) -> Diagnostic {
    let file = written.map_or("(policies)", |w| w.file.as_str());
    Diagnostic { severity: crate::Severity::Warning, ..describe(file, POLICY_FORM, warning, None) }
}

fn unindexed(rule: &Rule) -> Option<Diagnostic> {
    let message = format!("policy `{}` is looked at in every decision: its scope says nothing", rule.id);
    Some(
        Diagnostic::warning(&rule.file, POLICY_UNINDEXED, message)
            .at(rule.loc.as_ref())
            .suggest("name a principal, an action or a resource where it can"),
    )
}

/// One of Cedar's own diagnostics, with its place and its advice.
pub(crate) fn describe(file: &str, row: Row, error: &dyn miette::Diagnostic, text: Option<&str>) -> Diagnostic {
    let mut problem = Diagnostic::error(file, row, error.to_string());
    let place = error.labels().and_then(|mut labels| labels.next());
    if let (Some(place), Some(text)) = (place, text) {
        problem = problem.span(text, place.offset(), place.offset() + place.len());
    }
    match error.help() {
        Some(help) => problem.suggest(help.to_string()),
        None => problem,
    }
}

// --- what policies look at --------------------------------------------------------------------------------------

fn reads(written: &[Written]) -> Reads {
    let mut reads = Reads::default();
    for body in written.iter().filter_map(|w| w.template.non_scope_constraints()) {
        look(body, &mut reads);
    }
    reads
}

/// Notes the attributes an expression names, and whether it takes the context or its arguments as a whole.
fn look(expr: &cedar_policy_core::ast::Expr, reads: &mut Reads) {
    if is_whole(expr) {
        reads.whole = true;
        return;
    }
    let inner = match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
            reads.names.insert(attr.to_string());
            expr
        }
        ExprKind::ExtHasAttr { expr, attrs } => {
            reads.names.extend(attrs.iter().map(ToString::to_string));
            expr
        }
        _ => return expr.subexpressions_direct().for_each(|part| look(part, reads)),
    };
    // One member of it is looked at, not the whole.
    if !is_whole(inner) {
        look(inner, reads);
    }
}

/// Is it `context` or `context.args`?
fn is_whole(expr: &cedar_policy_core::ast::Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Var(Var::Context) => true,
        ExprKind::GetAttr { expr, attr } => attr == "args" && matches!(expr.expr_kind(), ExprKind::Var(Var::Context)),
        _ => false,
    }
}
