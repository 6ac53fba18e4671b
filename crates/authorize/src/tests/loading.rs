//! What is refused at load, and how it is said.

use super::{build, files};
use crate::{Diagnostic, Severity, files::check};

/// The one problem of a directory of one policy.
fn refused(text: &str) -> Diagnostic {
    let problems = build(&[("p.cedar", text)]).expect_err(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    problems.into_iter().next().unwrap()
}

fn with(condition: &str) -> String {
    format!(
        "@id(\"p\") permit (principal is Agent, action == Action::\"billing/refund\", resource)\nwhen {{ {condition} }};"
    )
}

#[test]
fn what_cannot_come_into_force_is_refused_with_place_and_advice() {
    let mut wrong = Vec::new();
    for (text, code, line, message, advice) in [
        ("@id(\"p\") permit (principal action, resource);".to_owned(), "C3001", 1, "unexpected token", ""),
        ("permit (principal is Agent, action, resource);".into(), "C3004", 1, "no id", "@id"),
        (with("context.args.amout <= 200"), "C3002", 2, "amout", "did you mean `amount`"),
        (with("context.args.amount <= \"200\""), "C3002", 2, "unexpected type", ""),
        (with("context.args.note == \"x\""), "C3002", 2, "optional", "has"),
        (with("true && false"), "C3003", 1, "can never apply", ""),
        (with("context.args.order == principal.ownr"), "C3002", 2, "ownr", "owner"),
        (
            "@id(\"p\") permit (principal, action == Action::\"billing/refnd\", resource);".into(),
            "C3002",
            1,
            "billing/refnd",
            "did you mean `Action::\"billing/refund\"`",
        ),
        ("@id(\"p\") permit (principal is Agnt, action, resource);".into(), "C3002", 1, "Agnt", "did you mean `Agent`"),
        (
            "@id(\"p\") permit (principal is Agent, action == Action::\"mcp/connect\", resource is Tool);".into(),
            "C3003",
            1,
            "can never apply",
            "",
        ),
        (
            "@id(\"p\") permit (principal in ?principal, action, resource is Tool);".into(),
            "C3009",
            1,
            "one slot",
            "both",
        ),
        (
            "@id(\"p\") @outcome(\"maybe\") permit (principal is Agent, action, resource);".into(),
            "C3009",
            1,
            "no outcome `maybe`",
            "require_approval",
        ),
        (
            "@id(\"p\") @outcome(\"step_up\") forbid (principal is Agent, action, resource);".into(),
            "C3009",
            1,
            "a forbid",
            "",
        ),
    ] {
        let problem = refused(&text);
        let place =
            (problem.code, problem.line, problem.file.as_str()) == (code, line, "p.cedar") && problem.column >= 1;
        let advised = problem.suggestion.clone().unwrap_or_default().contains(advice);
        if !(place && advised && problem.message.contains(message) && problem.source.is_some()) {
            wrong.push(format!("{text}\n{problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_can_fail_at_run_time_is_refused_and_what_cannot_is_not() {
    for bad in [
        "context.args.amount * context.args.amount < 5",
        "context.args.amount * 2000 < 5",
        "-(context.args.amount * 1024) - 9223372036854775807 < 5",
        "context has human && context.human has email && Human::\"x\".email == \"y\"",
        "Tool::\"billing/list\".read_only",
        "(if context has reason then principal else Agent::\"y\").owner == \"x\"",
        "Agent::\"y\" has owner || Agent::\"y\".owner == \"x\"",
    ] {
        let problems = build(&[("p.cedar", &with(bad))]).expect_err(bad);
        let codes: Vec<&str> = problems.iter().map(|p| p.code).collect();
        assert!(codes.iter().all(|code| ["C3006", "C3002"].contains(code)), "{bad}: {problems:#?}");
    }
    for good in [
        "context.args.amount * 1000 + 5 < 7",
        "-context.args.amount < 0",
        "Tool::\"billing/list\" has read_only && Tool::\"billing/list\".read_only",
        "!(Tool::\"billing/list\" has read_only) || Tool::\"billing/list\".read_only",
        "if Agent::\"y\" has owner then Agent::\"y\".owner == principal.owner else false",
        "context has human && context.human has email && context.human.email like \"*@example.com\"",
        "datetime(\"2026-01-01\").offset(duration(\"1d\")) < datetime(\"2026-02-01\")",
        "resource.destructive && principal.owner == \"x\"",
    ] {
        assert!(build(&[("p.cedar", &with(good))]).is_ok(), "{good}: {:#?}", build(&[("p.cedar", &with(good))]).err());
    }
}

#[test]
fn time_that_may_leave_its_range_is_refused() {
    let schema = "entity Job = { start: datetime }; action \"run\" appliesTo { principal: Agent, resource: Job };";
    let policy = |condition: &str| {
        let text =
            format!("@id(\"p\") permit (principal, action == Action::\"run\", resource) when {{ {condition} }};");
        build(&[("p.cedar", &text), ("jobs.cedarschema", schema)])
    };
    assert!(policy("resource.start < datetime(\"2026-02-01\")").is_ok());
    let problems = policy("resource.start.offset(duration(\"1d\")) < datetime(\"2026-02-01\")").unwrap_err();
    assert_eq!(problems[0].code, "C3006");
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |levels: usize| with(&format!("{}true{}", "(".repeat(levels), ")".repeat(levels)));
    let problems = build(&[("p.cedar", &deep(100_000))]).unwrap_err();
    assert!(problems.iter().any(|p| p.code == "C3001" && p.message.contains("levels deep")), "{problems:?}");
    assert!(build(&[("p.cedar", &deep(30))]).is_ok());
}

#[test]
fn all_or_nothing_across_files() {
    let good = "@id(\"one\") permit (principal is Agent, action == Action::\"mcp/connect\", resource);";
    assert!(build(&[("a.cedar", good)]).is_ok());
    let problems =
        build(&[("a.cedar", good), ("b.cedar", good), ("c.cedar", "permit"), ("d.cedar", &with("1 + true < 2"))]);
    let problems = problems.unwrap_err();
    let found: Vec<(&str, &str)> = problems.iter().map(|p| (p.file.as_str(), p.code)).collect();
    assert_eq!(found, [("b.cedar", "C3004"), ("c.cedar", "C3001"), ("d.cedar", "C3002")]);
}

#[test]
fn schema_and_entities_are_checked_too() {
    for (name, text, code, message) in [
        ("own.cedarschema", "entity Team in [Tem];", "C3007", "Tem"),
        ("own.cedarschema", "entity Team in [", "C3007", ""),
        ("chancery.cedarschema", "entity Agent;", "C3007", "differs from the base schema"),
        (
            "entities.json",
            "[{\"uid\": {\"type\": \"Human\", \"id\": \"a\"}, \"attrs\": {\"email\": 5}, \"parents\": []}]",
            "C3008",
            "email",
        ),
        (
            "entities.json",
            "[{\"uid\": {\"type\": \"Human\", \"id\": \"a\", \"id\": \"b\"}, \"attrs\": {}, \"parents\": []}]",
            "C3008",
            "twice",
        ),
        ("entities.json", "{}", "C3008", "not an array"),
    ] {
        let problems = build(&[(name, text)]).unwrap_err();
        assert_eq!(problems[0].code, code, "{problems:#?}");
        assert!(problems.iter().any(|p| p.message.contains(message)), "{problems:#?}");
    }
}

#[test]
fn warnings_are_told_and_do_not_refuse() {
    let text = "@id(\"all\") forbid (principal, action, resource);\n\
                @id(\"later\") permit (principal, action == Action::\"unseen/tool\", resource) when { context.args.x };";
    let snapshot = build(&[("p.cedar", text)]).unwrap();
    let codes: Vec<&str> = snapshot.warnings().iter().map(|w| w.code).collect();
    assert_eq!(codes, ["C3010", "C3012"]);
    assert_eq!(snapshot.policies().collect::<Vec<_>>(), ["all"]);
    assert!(snapshot.warnings().iter().all(|w| w.severity == Severity::Warning));
}

/// What is known applies at once; above all a forbid is not put off because one of its tools is not there yet.
#[test]
fn a_policy_about_known_and_unknown_tools_applies_to_the_known() {
    let both = "action in [Action::\"billing/refund\", Action::\"unseen/tool\"]";
    let text = format!(
        "@id(\"use\") permit (principal == ?principal, {both}, resource in ?resource);\n\
         @id(\"ceiling\") forbid (principal, {both}, resource) when {{ context.args.amount > 200 }};"
    );
    let snapshot = build(&[("p.cedar", &text)]).unwrap();
    let codes: Vec<&str> = snapshot.warnings().iter().map(|w| w.code).collect();
    assert_eq!(codes, ["C3012", "C3012"]);
    let engine = super::engine(&text);
    engine.grant_changed(&super::grant(1, "use", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    let refund = |amount: i64| super::refund(&engine, &serde_json::json!({"order": "o", "amount": amount})).allows();
    assert_eq!((refund(200), refund(201)), (true, false));
}

#[test]
fn the_shipped_policies_hold_and_pass_their_tests() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let files = crate::Files::read(&directory).unwrap();
    let sources = crate::Sources { files: &files, servers: &[], tools: &[], hash: |_| [0; 32] };
    assert_eq!(check(&sources), Vec::<Diagnostic>::new());
    let ran = crate::files::test(&sources, super::NOW).unwrap();
    let failed: Vec<_> = ran.iter().filter_map(|r| r.failure.as_ref()).map(ToString::to_string).collect();
    assert!(ran.len() >= 5 && failed.is_empty(), "{failed:#?}");
    assert_eq!(crate::files::unformatted(&files), Ok(Vec::new()));
}

#[test]
fn a_wrong_policy_test_fails_with_what_it_got() {
    let case = r#"[{"name": "no", "request": {"principal": "Agent::\"a\"", "action": "Action::\"mcp/connect\"",
        "resource": "Server::\"s\"", "context": {"session": {"age_seconds": 1}}}, "entities": [], "decision": "allow"}]"#;
    let files = files(&[("tests/t.json", case)]);
    let sources = crate::Sources { files: &files, servers: &[], tools: &[], hash: |_| [0; 32] };
    let ran = crate::files::test(&sources, super::NOW).unwrap();
    let failure = ran[0].failure.as_ref().unwrap();
    assert_eq!(failure.code, "C3005");
    assert!(
        failure.message.contains("expected \"allow\", got \"deny\" (no policy and no grant permits it)"),
        "{failure}"
    );
}

#[test]
fn a_policy_test_can_say_that_people_approved_it() {
    let policy = r#"@id("ask") @outcome("require_approval") permit (principal, action == Action::"mcp/connect", resource);
        @id("asks-too") forbid (principal, action == Action::"mcp/connect", resource) unless { context.approval.granted };"#;
    let case = |approved: &str, decision: &str| {
        format!(
            r#"{{"name": "t", "request": {{"principal": "Agent::\"a\"", "action": "Action::\"mcp/connect\"",
            "resource": "Server::\"s\"", "context": {{"session": {{"age_seconds": 1}}}}}}, {approved} "decision": "{decision}"}}"#
        )
    };
    let yes = r#""approved": true,"#;
    let cases = [case("", "require_approval"), case(yes, "allow"), case(yes, "require_approval"), case("", "allow")];
    let files = files(&[("ask.cedar", policy), ("tests/t.json", &format!("[{}]", cases.join(",")))]);
    let sources = crate::Sources { files: &files, servers: &[], tools: &[], hash: |_| [0; 32] };
    let ran = crate::files::test(&sources, super::NOW).unwrap();
    let passed: Vec<bool> = ran.iter().map(|ran| ran.failure.is_none()).collect();
    assert_eq!(passed, [true, true, false, false], "{ran:#?}");
}

/// A new directory with one plain policy in it.
fn directory(test: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("chancery-files-{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("base.cedar"), "// nothing").unwrap();
    path
}

#[test]
fn what_looks_like_a_part_and_cannot_be_read_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    type Make = fn(&std::path::Path);
    let made: [(&str, Make); 8] = [
        ("forbid-all.cedar", |p| symlink(p.join("base.cedar"), p.join("forbid-all.cedar")).unwrap()),
        ("gone.cedar", |p| symlink("/nowhere/gone.cedar", p.join("gone.cedar")).unwrap()),
        ("entities.json", |p| symlink(p.join("base.cedar"), p.join("entities.json")).unwrap()),
        ("own.cedarschema", |p| symlink(p.join("base.cedar"), p.join("own.cedarschema")).unwrap()),
        ("more", |p| symlink(p, p.join("more")).unwrap()),
        ("FORBID.CEDAR", |p| std::fs::write(p.join("FORBID.CEDAR"), "").unwrap()),
        (".cedar", |p| std::fs::write(p.join(std::ffi::OsStr::from_bytes(b"\xff.cedar")), "").unwrap()),
        ("pipe.cedar", |p| drop(std::os::unix::net::UnixListener::bind(p.join("pipe.cedar")).unwrap())),
    ];
    for (n, (name, make)) in made.into_iter().enumerate() {
        let path = directory(&format!("strange-{n}"));
        assert_eq!(crate::Files::read(&path).unwrap().policies().count(), 1);
        make(&path);
        let refused = crate::Files::read(&path).expect_err(name).to_string();
        assert!(refused.contains(name), "{refused}");
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let path = directory("others");
    std::os::unix::fs::symlink("/nowhere", path.join("README")).unwrap();
    std::os::unix::fs::symlink(path.join("base.cedar"), path.join("notes.txt")).unwrap();
    std::fs::write(path.join("base.cedar.orig"), "permit").unwrap();
    assert_eq!(crate::Files::read(&path).unwrap().0.len(), 1);
    std::fs::remove_dir_all(path).unwrap();
}
