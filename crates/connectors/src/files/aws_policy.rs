//! An AWS policy by itself (IAM user guide, "JSON policy elements"): who may step into a role, and what is allowed.
//!
//! A document with principals is the trust policy of a role: it says who may step into it. One without says what somebody
//! may do; to whom it is attached stands elsewhere.

use serde_json::Value;

use crate::document::{Document, below};
use crate::join::End;
use crate::sightings::Sightings;

const WIDE_TRUST: (&str, &[&str]) = ("CLD-1", &["NHI6", "ASI03"]);
const ALL_POWERFUL: (&str, &[&str]) = ("OVP-1", &["NHI5", "ASI03"]);

/// The claim that says which repository, branch or environment a CI job runs for, by the issuer of its tokens.
const SUBJECTS: [&str; 3] = ["token.actions.githubusercontent.com:sub", "gitlab.com:sub", "api.bitbucket.org/2.0/:sub"];

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let mut seen = false;
    for (pointer, root) in document.roots() {
        let is_policy =
            root.get("Statement").is_some() && root.get("Version").and_then(Value::as_str).is_some_and(dated);
        if is_policy {
            policy(root, &pointer, sightings);
            seen = true;
        }
    }
    seen
}

/// `2012-10-17` and `2008-10-17` are all there ever were.
fn dated(version: &str) -> bool {
    ["2012-10-17", "2008-10-17"].contains(&version)
}

fn policy(root: &Value, pointer: &str, sightings: &mut Sightings<'_>) {
    let statements: Vec<(String, &Value)> = match &root["Statement"] {
        Value::Array(list) => {
            let at = |n: usize| below(&below(pointer, "Statement"), &n.to_string());
            list.iter().enumerate().map(|(n, statement)| (at(n), statement)).collect()
        }
        one => vec![(below(pointer, "Statement"), one)],
    };
    let name = sightings.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".json").to_owned();
    let trusts = statements.iter().any(|(_, statement)| statement.get("Principal").is_some() && is_assume(statement));
    let role = trusts.then(|| sightings.identity("assumable_role", &name, "aws", pointer));
    let subject = role.as_ref().map_or_else(|| sightings.id("policy", pointer), |role| role.id.clone());
    for (at, statement) in &statements {
        if statement.get("Effect").and_then(Value::as_str) != Some("Allow") {
            continue;
        }
        match &role {
            Some(role) => trust(statement, at, &role.id, &name, sightings),
            None if is_everything(statement) => {
                sightings.finding(ALL_POWERFUL, &subject, at, format!("`{name}` allows everything on everything"));
            }
            None => {}
        }
    }
    if let Some(role) = role {
        sightings.saw_identity(role);
    }
}

/// One text or several.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_assume(statement: &Value) -> bool {
    texts(statement.get("Action")).iter().any(|action| {
        let action = action.to_ascii_lowercase();
        action.starts_with("sts:assumerole") || action == "sts:*" || action == "*"
    })
}

fn is_everything(statement: &Value) -> bool {
    let star = |field: &str| texts(statement.get(field)).contains(&"*");
    star("Action") && star("Resource") && statement.get("Condition").is_none()
}

/// Who may step into the role by this statement.
fn trust(statement: &Value, at: &str, role: &str, name: &str, sightings: &mut Sightings<'_>) {
    if !is_assume(statement) {
        return;
    }
    let principal = statement.get("Principal");
    if principal.and_then(Value::as_str) == Some("*") || texts(principal.and_then(|p| p.get("AWS"))).contains(&"*") {
        if statement.get("Condition").is_none() {
            let evidence = format!("anybody of any account may step into `{name}`");
            sightings.finding(WIDE_TRUST, role, at, evidence);
        }
        return;
    }
    for arn in texts(principal.and_then(|principal| principal.get("AWS"))) {
        let kind = if arn.contains(":role/") { "assumable_role" } else { "user" };
        sightings.joins.edge(sightings.path, End::Id(format!("{kind}:{arn}")), "can_assume", End::Id(role.to_owned()));
    }
    for provider in texts(principal.and_then(|principal| principal.get("Federated"))) {
        federated(statement, provider, (at, role, name), sightings);
    }
}

/// Whom of an outside issuer the role trusts.
fn federated(statement: &Value, provider: &str, (at, role, name): (&str, &str, &str), sightings: &mut Sightings<'_>) {
    let issuer = provider.rsplit("oidc-provider/").next().unwrap_or(provider);
    let subjects = subjects(statement.get("Condition"));
    for subject in &subjects {
        let from = End::Id(format!("workload_identity:{issuer}#{subject}"));
        sightings.joins.edge(sightings.path, from, "federates_to", End::Id(role.to_owned()));
        if let Some(why) = too_wide(subject) {
            let evidence = format!("`{name}` trusts `{subject}` of {issuer}: {why}");
            sightings.finding(WIDE_TRUST, role, at, evidence);
        }
    }
    let is_ci = SUBJECTS.iter().any(|claim| claim.starts_with(issuer));
    if subjects.is_empty() && is_ci {
        let evidence = format!("`{name}` trusts every job of {issuer}: no condition says whose");
        sightings.finding(WIDE_TRUST, role, at, evidence);
    }
}

/// What the conditions want of the subject. Operators that say what it must not be do not narrow it enough to be counted.
fn subjects(condition: Option<&Value>) -> Vec<&str> {
    let operators = condition.and_then(Value::as_object).into_iter().flatten();
    let positive = operators.filter(|(operator, _)| {
        let operator = operator.rsplit(':').next().unwrap_or_default().trim_end_matches("IfExists");
        ["StringEquals", "StringLike", "StringEqualsIgnoreCase"].contains(&operator)
    });
    let claims = positive.filter_map(|(_, claims)| claims.as_object()).flatten();
    claims.filter(|(claim, _)| SUBJECTS.contains(&claim.as_str())).flat_map(|(_, value)| texts(Some(value))).collect()
}

/// A subject names a repository, and of that a branch, a tag or an environment; what is left open, others fill.
fn too_wide(subject: &str) -> Option<&'static str> {
    let rest = subject.strip_prefix("repo:").or_else(|| subject.strip_prefix("project_path:")).unwrap_or(subject);
    let (repository, context) = rest.split_once(':').unwrap_or((rest, ""));
    if repository.contains(['*', '?']) {
        return Some("any repository that fits may step in");
    }
    let open = context.is_empty() || context == "*" || context == "ref:*" || context == "pull_request";
    open.then_some("any branch and any pull request of it may step in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_narrow_when_it_names_repository_and_branch() {
        for narrow in [
            "repo:acme/deploy:ref:refs/heads/main",
            "repo:acme/deploy:environment:production",
            "repo:acme/deploy:ref:refs/tags/v*",
            "project_path:acme/deploy:ref_type:branch:ref:main",
        ] {
            assert_eq!(too_wide(narrow), None, "{narrow}");
        }
        for wide in [
            "repo:acme/*",
            "repo:acme/*:ref:refs/heads/main",
            "repo:acme/deploy:*",
            "repo:*",
            "*",
            "repo:acme/deploy",
            "repo:acme/deploy:pull_request",
        ] {
            assert!(too_wide(wide).is_some(), "{wide}");
        }
    }

    #[test]
    fn what_a_subject_must_not_be_is_no_bound() {
        let claim = SUBJECTS[0];
        let condition = serde_json::json!({
            "StringLike": {claim: ["repo:a/b:*"], "other": "x"},
            "ForAnyValue:StringEquals": {claim: "repo:a/c:ref:refs/heads/main"},
            "StringNotEquals": {claim: "repo:a/d:*"},
        });
        let mut found = subjects(Some(&condition));
        found.sort_unstable();
        assert_eq!(found, ["repo:a/b:*", "repo:a/c:ref:refs/heads/main"]);
        assert!(subjects(None).is_empty());
    }

    #[test]
    fn everything_is_every_action_on_every_resource_without_a_condition() {
        let policy = |text: &str| is_everything(&serde_json::from_str(text).unwrap());
        assert!(policy(r#"{"Action": "*", "Resource": ["*"]}"#));
        assert!(!policy(r#"{"Action": "s3:*", "Resource": "*"}"#) && !policy(r#"{"NotAction": "*", "Resource": "*"}"#));
        assert!(!policy(
            r#"{"Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}"#
        ));
    }
}
