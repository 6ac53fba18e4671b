//! `chancery why`: a decision explained, as it was.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::context::Context;
use crate::failure::Done;
use crate::http::encoded;
use crate::output::{Column, cell, column};

/// Which decision.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chancery why d-00001k\n  chancery why d-00001k -o json")]
pub struct Args {
    /// Its id: d-…
    id: String,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("OUTCOME", "/outcome"),
    column("AGENT", "/agent"),
    column("ACTION", "/action"),
    column("RESOURCE", "/resource"),
    column("TIME", "/at"),
];

/// Prints it.
pub async fn run(context: &Context, args: &Args) -> Done {
    let found = context.admin()?.get(&format!("/v1/decisions/{}", encoded(&args.id))).await?;
    if context.global().output.is_some() {
        return context.output.item(COLUMNS, &found);
    }
    context.output.text(&story(&found))
}

/// The decision as a person would tell it.
pub fn story(found: &Value) -> String {
    let get = |pointer: &str| cell(found, pointer);
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", get("/outcome"), get("/sentence"));
    for (label, pointer) in [
        ("when", "/at"),
        ("human", "/human"),
        ("chain", "/chain"),
        ("task", "/task"),
        ("session", "/session"),
        ("reason", "/reason"),
        ("code", "/reasons"),
        ("result", "/result_of/result"),
        ("detail", "/detail"),
        ("set", "/policy_version"),
    ] {
        let value = get(pointer);
        if !value.is_empty() {
            let _ = writeln!(text, "  {label:8} {value}");
        }
    }
    for share in rows(found, "shares") {
        let _ = writeln!(text, "  {}", answered(share));
    }
    let mut shown = BTreeSet::new();
    for policy in rows(found, "determining").filter(|policy| shown.insert(cell(policy, "/policy"))) {
        let _ = writeln!(text, "  policy   {}  ({})", cell(policy, "/policy"), cell(policy, "/file"));
        for line in policy["text"].as_str().unwrap_or_default().lines() {
            let _ = writeln!(text, "           | {}", line.replace(char::is_control, " "));
        }
    }
    let grants = get("/grants");
    if !grants.is_empty() {
        let _ = writeln!(text, "  grant    {grants}");
    }
    for miss in rows(found, "would_pass") {
        let part = miss["part"].as_str().map_or_else(String::new, |part| format!("{part}: "));
        let _ = writeln!(text, "  to pass  {part}{}: {}", cell(miss, "/policy"), cell(miss, "/needs"));
    }
    let caveat = get("/caveat");
    if !caveat.is_empty() {
        let _ = writeln!(text, "  note     {caveat}");
    }
    let _ = writeln!(text, "  record   {}", get("/record"));
    text
}

fn rows<'a>(found: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    found[name].as_array().into_iter().flatten()
}

/// The answer of one whose right it took: "allows   person `mara` (refund-small)".
fn answered(share: &Value) -> String {
    let verb = match share["outcome"].as_str() {
        Some("allow") => "allows",
        Some("step_up") => "step-up",
        Some("require_approval") => "approval",
        _ => "denies",
    };
    let by = cell(share, "/policies");
    let by = if by.is_empty() { by } else { format!(" ({by})") };
    let why = cell(share, "/why");
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{verb:8} {}{by}{why}", cell(share, "/part"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everybody_whose_right_it_took_has_a_line_and_a_policy_is_shown_once() {
        let policy = json!({"policy": "small", "file": "a.cedar", "text": "permit (principal, action, resource);"});
        let found = json!({
            "outcome": "denied", "sentence": "bot may not", "determining": [policy, policy],
            "shares": [
                {"part": "person `mara`", "outcome": "allow", "policies": ["small"], "why": ""},
                {"part": "task", "outcome": "deny", "policies": [], "why": "it is outside"},
            ],
        });
        let text = story(&found);
        assert!(text.contains("\n  allows   person `mara` (small)\n"), "{text}");
        assert!(text.contains("\n  denies   task: it is outside\n"), "{text}");
        assert_eq!(text.matches("policy   small").count(), 1, "{text}");
    }
}
