//! AuthZEN: the decisions of the interoperability scenarios, and what the three semantics of `evaluations` answer.
//!
//! The expected decisions are the working group's and are not copied here: where they are not at hand, the test
//! says so and checks nothing.

use std::path::{Path, PathBuf};

use chancery_authorize::{Engine, Evaluation, Evaluations, Files, Semantics, Snapshot, Sources, evaluations};
use chancery_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

#[derive(Deserialize)]
struct Decisions {
    evaluation: Vec<One>,
    #[serde(default)]
    evaluations: Vec<Several>,
}

#[derive(Deserialize)]
struct One {
    request: Evaluation,
    expected: bool,
}

#[derive(Deserialize)]
struct Several {
    request: Evaluations,
    expected: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    decision: bool,
}

/// Reads a file of expected decisions, if it is anywhere above the workspace.
fn decisions(name: &str) -> Option<Decisions> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("shared/data/authzen").join(name))
        .find(|path| path.is_file());
    let Some(path) = found else {
        println!("skipped: 0 cases, `{name}` is not at hand");
        return None;
    };
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn engine() -> Engine {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/authzen");
    let files = Files::read(&directory).unwrap();
    let sources = Sources { files: &files, servers: &[], tools: &[], hash: |_| [0; 32] };
    Engine::new(Snapshot::build(&sources).unwrap())
}

/// How many cases are answered as expected.
fn score(
    decisions: &Decisions,
    one: impl Fn(&Evaluation) -> bool,
    several: impl Fn(&Evaluations) -> Vec<bool>,
) -> (usize, usize) {
    let single = decisions.evaluation.iter().filter(|case| one(&case.request) == case.expected).count();
    let expected = |case: &Several| case.expected.iter().map(|e| e.decision).collect::<Vec<_>>();
    let multiple = decisions.evaluations.iter().filter(|case| several(&case.request) == expected(case)).count();
    (single + multiple, decisions.evaluation.len() + decisions.evaluations.len())
}

fn scored(decisions: &Decisions) -> (usize, usize) {
    let engine = engine();
    let several = |asked: &Evaluations| evaluations(&engine, asked, NOW).iter().map(|v| v.allows()).collect();
    score(decisions, |asked| engine.evaluate(asked, NOW).allows(), several)
}

fn always_true(decisions: &Decisions) -> (usize, usize) {
    score(decisions, |_| true, |asked| vec![true; asked.evaluations.len()])
}

#[test]
fn the_todo_scenario_is_decided_as_the_working_group_says() {
    let Some(decisions) = decisions("todo-decisions.json") else { return };
    assert_eq!(scored(&decisions), (43, 43));
    assert_eq!(always_true(&decisions), (27, 43), "the cases would not notice a stub");
}

#[test]
fn the_gateway_scenario_is_decided_as_the_working_group_says() {
    let Some(decisions) = decisions("gateway-decisions.json") else { return };
    assert_eq!(scored(&decisions), (25, 25));
    assert_eq!(always_true(&decisions).1, 25);
    assert!(always_true(&decisions).0 < 25, "the cases would not notice a stub");
}

fn asked(semantic: &str) -> Evaluations {
    let todo = |owner: &str| json!({"resource": {"type": "todo", "id": owner, "properties": {"ownerID": owner}}});
    let (own, other) = ("morty@the-citadel.com", "rick@the-citadel.com");
    let value = json!({
        "subject": {"type": "user", "id": "morty", "properties": {"email": own}},
        "action": {"name": "can_update_todo"},
        "evaluations": [todo(own), todo(other), todo(own), {"action": {"name": "can_fly"}}],
        "options": {"evaluations_semantic": semantic},
    });
    serde_json::from_value(value).unwrap()
}

/// Morty is in no directory here: his role has to come from somewhere.
fn engine_with_morty() -> Engine {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/authzen");
    let mut files = Files::read(&directory).unwrap();
    let mut entities: Value = serde_json::from_str(&files.0["entities.json"]).unwrap();
    let parent = json!({"type": "role", "id": "editor"});
    entities
        .as_array_mut()
        .unwrap()
        .push(json!({"uid": {"type": "user", "id": "morty"}, "attrs": {}, "parents": [parent]}));
    files.0.insert("entities.json".into(), entities.to_string());
    let sources = Sources { files: &files, servers: &[], tools: &[], hash: |_| [0; 32] };
    Engine::new(Snapshot::build(&sources).unwrap())
}

#[test]
fn evaluations_stop_where_their_semantics_say() {
    let engine = engine_with_morty();
    for (semantic, expected) in [
        ("execute_all", vec![true, false, true, false]),
        ("deny_on_first_deny", vec![true, false]),
        ("permit_on_first_permit", vec![true]),
    ] {
        let verdicts = evaluations(&engine, &asked(semantic), NOW);
        assert_eq!(verdicts.iter().map(|v| v.allows()).collect::<Vec<_>>(), expected, "{semantic}");
    }
    assert_eq!(asked("execute_all").options.evaluations_semantic, Semantics::ExecuteAll);
}

#[test]
fn what_the_schema_does_not_know_is_a_deny_with_a_reason() {
    let engine = engine();
    let ask = |subject: Value, action: &str, resource: Value| {
        let asked = json!({"subject": subject, "action": {"name": action}, "resource": resource});
        engine.evaluate(&serde_json::from_value(asked).unwrap(), NOW)
    };
    let (user, todo) = (json!({"type": "user", "id": "x"}), json!({"type": "todo", "id": "y"}));
    for (subject, action, resource, reason) in [
        (user.clone(), "can_update_tod", todo.clone(), "did you mean `can_update_todo`?"),
        (json!({"type": "usr", "id": "x"}), "can_update_todo", todo.clone(), "no entity type `usr`"),
        (todo.clone(), "can_update_todo", todo.clone(), "does not apply to a subject of type `todo`"),
        (user.clone(), "can_update_todo", user.clone(), "does not apply to a resource of type `user`"),
        (
            json!({"type": "user", "id": "x", "properties": {"email": 5}}),
            "can_update_todo",
            todo.clone(),
            "`email` is an integer, not a string",
        ),
        (json!({"type": "Agent", "id": "ghost"}), "mcp/connect", todo.clone(), "no agent `ghost` is registered"),
        (user.clone(), "can_update_todo", todo.clone(), "no policy and no grant permits it"),
    ] {
        let verdict = ask(subject, action, resource);
        assert!(!verdict.allows() && verdict.permit.is_none());
        assert!(verdict.why.contains(reason), "{} does not contain {reason}", verdict.why);
    }
}

#[test]
fn a_question_that_lacks_a_member_is_a_deny_in_its_place() {
    let asked: Evaluations = serde_json::from_value(json!({
        "subject": {"type": "user", "id": "x"},
        "evaluations": [{"action": {"name": "can_read_todos"}}],
    }))
    .unwrap();
    let verdicts = evaluations(&engine(), &asked, NOW);
    assert_eq!((verdicts.len(), verdicts[0].allows()), (1, false));
    assert!(verdicts[0].why.contains("`resource`"), "{}", verdicts[0].why);
}
