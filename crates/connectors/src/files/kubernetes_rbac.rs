//! Kubernetes roles and bindings: who has which, and which of them read secrets.

use serde_json::Value;

use super::kubernetes::Named;
use crate::join::End;
use crate::sightings::Sightings;

const READS_SECRETS: (&str, &[&str]) = ("CLD-3", &["NHI6", "NHI5", "ASI03"]);
const ALL_POWERFUL: (&str, &[&str]) = ("OVP-1", &["NHI5", "ASI03"]);

/// A role is a thing that bindings name.
pub(super) fn role(value: &Value, named: &Named<'_>, at: &str, sightings: &mut Sightings<'_>) {
    let cluster = value.get("kind").and_then(Value::as_str) == Some("ClusterRole");
    let id = sightings.id("role", at);
    let (kind, name) = if cluster { ("cluster_role", named.name.to_owned()) } else { ("role", named.full()) };
    sightings.joins.name(sightings.path, kind, name, id.clone());
    let rules = value.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let wide = if cluster { "in every namespace" } else { "in its namespace" };
    if rules.iter().any(is_everything) {
        let evidence = format!("`{}` may do everything to everything {wide}", named.name);
        sightings.finding(ALL_POWERFUL, &id, at, evidence);
    } else if rules.iter().any(reads_secrets) {
        sightings.finding(READS_SECRETS, &id, at, format!("`{}` reads secrets {wide}", named.name));
    }
}

fn lists(rule: &Value, field: &str, any: &[&str]) -> bool {
    let list = rule.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    list.into_iter().any(|word| any.contains(&word))
}

fn is_everything(rule: &Value) -> bool {
    ["verbs", "resources", "apiGroups"].iter().all(|field| lists(rule, field, &["*"]))
}

/// One secret by its name is what a workload needs; all of them is what nobody does.
fn reads_secrets(rule: &Value) -> bool {
    lists(rule, "resources", &["secrets", "*"])
        && lists(rule, "apiGroups", &["", "*"])
        && lists(rule, "verbs", &["get", "list", "watch", "*"])
        && rule.get("resourceNames").and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// `has_role` from each subject to the role.
pub(super) fn binding(value: &Value, named: &Named<'_>, sightings: &mut Sightings<'_>) {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(role) = value.get("roleRef") else { return };
    let name = text(role, "name");
    let to = match text(role, "kind").as_str() {
        "ClusterRole" => End::Named("cluster_role", name),
        _ => End::Named("role", format!("{}/{name}", named.namespace)),
    };
    for subject in value.get("subjects").and_then(Value::as_array).into_iter().flatten() {
        let name = text(subject, "name");
        let from = match text(subject, "kind").as_str() {
            "ServiceAccount" => {
                let stated = subject.get("namespace").and_then(Value::as_str).unwrap_or(named.namespace);
                End::Named("service_account", format!("{stated}/{name}"))
            }
            "Group" => End::Id(format!("group:{name}")),
            _ => End::Id(format!("user:{name}")),
        };
        sightings.joins.edge(sightings.path, from, "has_role", to.clone());
    }
}
