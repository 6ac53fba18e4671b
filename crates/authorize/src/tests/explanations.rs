//! What would make it pass.

use chancery_model::{NearMiss, Span, Timestamp};
use serde_json::{Value, json};

use super::{CALL, NOW, by, engine, grant, refund};
use crate::{Asked, ToolCall};

fn call(args: &Value) -> ToolCall<'_> {
    ToolCall { by: by("crm"), server: "billing", tool: "refund", definition: None, args, args_digest: [0; 32] }
}

fn told(misses: &[NearMiss]) -> Vec<String> {
    misses.iter().map(|miss| format!("{}: {}", miss.policy, miss.needs)).collect()
}

#[test]
fn false_clauses_are_shown_with_what_they_saw() {
    let engine = engine(
        r#"@id("small") permit (principal == Agent::"crm", action == Action::"billing/refund", resource)
           when { context.args.amount <= 200 && principal.owner == "platform" } unless { context.session.age_seconds < 3600 };"#,
    );
    let args = json!({"order": "o", "amount": 340});
    assert!(!refund(&engine, &args).allows());
    assert_eq!(
        told(&engine.explain_tool_call(&call(&args), NOW)),
        [
            "small: `context.args.amount <= 200` (where `context.args.amount` was 340) was false",
            "small: unless `context.session.age_seconds < 3600` (where `context.session.age_seconds` was 60) was false",
        ]
    );
}

#[test]
fn missing_grants_and_other_principals_are_named() {
    let engine = engine(&format!(
        "{CALL}\n@id(\"other\") permit (principal == Agent::\"ops\", action == Action::\"billing/refund\", resource in Server::\"billing\");"
    ));
    let args = json!({"order": "o", "amount": 1});
    assert_eq!(
        told(&engine.explain_tool_call(&call(&args), NOW)),
        [
            "tools-call: a grant of `tools-call` on Tool::\"billing/refund\" to Agent::\"crm\" would permit it",
            "other: it wants the principal to be Agent::\"ops\", not Agent::\"crm\"",
        ]
    );
    let mut over = grant(7, "tools-call", "Agent::\"crm\"", "Server::\"billing\"");
    over.expires_at = Some(Timestamp::from_seconds(1_790_000_000));
    engine.grant_changed(&over).unwrap();
    let told = told(&engine.explain_tool_call(&call(&args), NOW));
    assert!(told[0].contains("is over since 2026-09-21"), "{told:?}");
}

#[test]
fn forbids_that_hit_say_why() {
    let engine = engine(&format!(
        "{CALL}\n@id(\"no\") forbid (principal, action in Action::\"tools/call\", resource) when {{ resource.destructive }};"
    ));
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    let args = json!({"order": "o", "amount": 1});
    assert_eq!(
        told(&engine.explain_tool_call(&call(&args), NOW)),
        [
            "no: it forbids this because `resource.destructive` (where `resource.destructive` was true); one of these must not hold"
        ]
    );
}

#[test]
fn a_recorded_question_is_explained_the_same_later() {
    let engine = engine(CALL);
    let args = json!({"order": "o", "amount": 1});
    let asked = Asked::from(&call(&args));
    let kept = serde_json::to_string(&asked).unwrap();
    let read: Asked = serde_json::from_str(&kept).unwrap();
    assert_eq!(read, asked);
    assert_eq!(engine.explain(&read, NOW), engine.explain_tool_call(&call(&args), NOW));
    assert!(!engine.explain(&read, NOW).is_empty());
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    assert_eq!(engine.explain(&read, NOW), Vec::new());
}

#[test]
fn grants_are_taken_as_they_were() {
    let mut later = grant(1, "t", "A::\"a\"", "B::\"b\"");
    later.created_at = NOW + Span::seconds(1);
    let mut revoked = grant(2, "t", "A::\"a\"", "B::\"b\"");
    revoked.revoked_at = Some(NOW + Span::seconds(5));
    let then = crate::as_of(&[later, revoked], NOW);
    assert_eq!(then.iter().map(|g| (g.id.as_str().len(), g.revoked_at)).collect::<Vec<_>>(), [(30, None)]);
}
