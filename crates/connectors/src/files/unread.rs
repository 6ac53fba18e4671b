//! Payloads that matter and are not read yet: each is a gap, so that nobody takes silence for absence.

use serde_json::Value;

use crate::document::Document;

/// What this is, if it is something that states identities, servers or credentials.
pub(super) fn what(document: &Document<'_>) -> Option<&'static str> {
    document.roots().find_map(|(_, root)| one(root))
}

fn one(root: &Value) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().all(|key| root.get(*key).is_some());
    let list = |key: &str| root.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if has(&["UserDetailList", "RoleDetailList"]) {
        return Some("an AWS account authorization dump");
    }
    if has(&["Resources"]) && (has(&["AWSTemplateFormatVersion"]) || has(&["Transform"])) {
        return Some("a CloudFormation template");
    }
    if has(&["jobs"]) && (has(&["on"]) || has(&["true"])) {
        return Some("a GitHub Actions workflow");
    }
    if root.get("services").is_some_and(Value::is_object) && root.get("apiVersion").is_none() {
        return Some("a compose file");
    }
    if has(&["stages"]) || root.as_object().is_some_and(|map| map.values().any(is_gitlab_job)) {
        return Some("a GitLab CI pipeline");
    }
    if has(&["dependencies", "graphs"]) {
        return Some("a LangGraph configuration");
    }
    if list("extraction_intents") || has(&["kind", "botId"]) || has(&["mcs.metadata"]) {
        return Some("a Copilot export");
    }
    if root.get("type").and_then(Value::as_str) == Some("service_account") && has(&["private_key"]) {
        return Some("a Google service account key");
    }
    if root.get("bomFormat").is_some() {
        return Some("a CycloneDX bill of materials");
    }
    None
}

fn is_gitlab_job(value: &Value) -> bool {
    value.get("script").is_some_and(|script| script.is_array() || script.is_string()) && value.get("stage").is_some()
}
