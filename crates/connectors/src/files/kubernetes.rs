//! Kubernetes manifests: service accounts, workloads and as whom they run, secrets, agents and MCP servers that are
//! objects of their own. Roles and bindings: [`super::kubernetes_rbac`].

use serde_json::Value;

use super::kubernetes_rbac as rbac;
use super::mcp_command as command;
use crate::document::{Document, below};
use crate::join::End;
use crate::reference::{Reference, looks_secret};
use crate::report::{Identity, OwnerHint, Server, Transport};
use crate::sightings::Sightings;

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let mut seen = false;
    for (pointer, root) in document.roots() {
        // A list of objects, as `kubectl get -o yaml` prints one.
        let items = root.get("items").and_then(Value::as_array).filter(|_| is_object(root));
        match items {
            Some(items) => {
                for (n, item) in items.iter().enumerate() {
                    seen |= object(item, &below(&below(&pointer, "items"), &n.to_string()), sightings);
                }
            }
            None => seen |= object(root, &pointer, sightings),
        }
    }
    seen
}

fn is_object(value: &Value) -> bool {
    value.get("apiVersion").is_some_and(Value::is_string) && value.get("kind").is_some_and(Value::is_string)
}

/// A name within its namespace; `default` where the manifest leaves it to whoever applies it.
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
}

impl<'a> Named<'a> {
    pub fn of(value: &'a Value) -> Option<Self> {
        let metadata = value.get("metadata")?;
        let name = metadata.get("name").or_else(|| metadata.get("generateName"))?.as_str()?;
        let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or("default");
        Some(Self { name, namespace })
    }

    /// `namespace/name`.
    pub fn full(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Says what this object is, and whether it is one that matters.
fn object(value: &Value, at: &str, sightings: &mut Sightings<'_>) -> bool {
    if !is_object(value) {
        return false;
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let Some(named) = Named::of(value) else { return false };
    let group = text("apiVersion").split('/').next().unwrap_or_default();
    match text("kind") {
        "ServiceAccount" => service_account(value, &named, at, sightings),
        "Role" | "ClusterRole" => rbac::role(value, &named, at, sightings),
        "RoleBinding" | "ClusterRoleBinding" => rbac::binding(value, &named, sightings),
        "Secret" => secret(value, &named, at, sightings),
        "Agent" | "AgentRuntime" | "A2AAgent" => agent(value, &named, at, sightings),
        "MCPServer" | "RemoteMCPServer" | "ToolServer" => server(value, &named, at, sightings),
        kind => match pod(value, kind) {
            Some((template, place)) => workload(kind, group, value, template, &named, (at, place), sightings),
            None => return false,
        },
    }
    true
}

fn service_account(value: &Value, named: &Named<'_>, at: &str, sightings: &mut Sightings<'_>) {
    let mut account = sightings.identity("service_account", &named.full(), "kubernetes", at);
    account.owner_hints = owner_hints(value);
    // A cloud's identity that this one may take.
    for (key, name) in annotations(value) {
        if matches!(
            key,
            "eks.amazonaws.com/role-arn" | "iam.gke.io/gcp-service-account" | "azure.workload.identity/client-id"
        ) {
            sightings.edge(&account.id, "federates_to", format!("role:{name}"));
        }
    }
    sightings.joins.name(sightings.path, "service_account", named.full(), account.id.clone());
    for (n, name) in names(value.get("secrets")).enumerate() {
        let at = below(&below(at, "secrets"), &n.to_string());
        account.credentials.push(sightings.referred("sa_token", Reference::Store, name, &at));
    }
    sightings.saw_identity(account);
}

/// `[{name}, …]`.
fn names(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(|value| value.get("name")?.as_str())
}

fn annotations(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let map = value.pointer("/metadata/annotations").and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// Labels and annotations by which teams say who keeps something.
fn owner_hints(value: &Value) -> Vec<OwnerHint> {
    let mut hints = Vec::new();
    for (place, from) in [("/metadata/labels", "label"), ("/metadata/annotations", "annotation")] {
        for (key, value) in value.pointer(place).and_then(Value::as_object).into_iter().flatten() {
            let last = key.rsplit('/').next().unwrap_or(key);
            if let (true, Some(name)) = (matches!(last, "owner" | "team" | "maintainer" | "contact"), value.as_str()) {
                hints.push(OwnerHint { name: name.to_owned(), from });
            }
        }
    }
    hints
}

/// The pod a workload makes, and where it stands.
fn pod<'a>(value: &'a Value, kind: &str) -> Option<(&'a Value, &'static str)> {
    let place = match kind {
        "Pod" => "/spec",
        "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
            "/spec/template/spec"
        }
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    };
    Some((value.pointer(place)?, place))
}

fn workload(
    kind: &str,
    group: &str,
    value: &Value,
    pod: &Value,
    named: &Named<'_>,
    (at, place): (&str, &str),
    sightings: &mut Sightings<'_>,
) {
    // Kinds are not unique over groups; names of these are within their kind.
    let _ = group;
    let mut workload = sightings.identity("workload", &format!("{kind}/{}", named.full()), "kubernetes", at);
    workload.owner_hints = owner_hints(value);
    let spec = format!("{at}{place}");
    for key in ["initContainers", "containers"] {
        for (n, container) in pod.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            variables(container, &below(&below(&spec, key), &n.to_string()), &mut workload, sightings);
        }
    }
    for (n, volume) in pod.get("volumes").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(name) = volume.pointer("/secret/secretName").and_then(Value::as_str) {
            let at = below(&below(&spec, "volumes"), &n.to_string());
            workload.credentials.push(sightings.referred("api_key", Reference::Store, name, &at));
        }
    }
    let stated = pod.get("serviceAccountName").or_else(|| pod.get("serviceAccount")).and_then(Value::as_str);
    let account = format!("{}/{}", named.namespace, stated.filter(|name| !name.is_empty()).unwrap_or("default"));
    sightings.edge_to(&workload.id, "runs_as", End::Named("service_account", account));
    sightings.saw_identity(workload);
}

/// What a container is given: stated values, entries of secrets, whole secrets.
fn variables(container: &Value, at: &str, workload: &mut Identity, sightings: &mut Sightings<'_>) {
    for (n, variable) in container.get("env").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let at = below(&below(at, "env"), &n.to_string());
        let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
        if let Some(key) = variable.pointer("/valueFrom/secretKeyRef") {
            let text = |field: &str| key.get(field).and_then(Value::as_str).unwrap_or_default();
            let stored = format!("{}/{}", text("name"), text("key"));
            let kind = looks_secret(name).unwrap_or("api_key");
            workload.credentials.push(sightings.referred(kind, Reference::Store, &stored, &at));
        } else if let Some(value) = variable.get("value").and_then(Value::as_str) {
            workload.credentials.extend(sightings.field(name, value, &below(&at, "value")));
        }
    }
    for (n, from) in container.get("envFrom").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(name) = from.pointer("/secretRef/name").and_then(Value::as_str) {
            let at = below(&below(at, "envFrom"), &n.to_string());
            workload.credentials.push(sightings.referred("api_key", Reference::Store, name, &at));
        }
    }
}

/// A secret in a manifest is a secret in a repository.
fn secret(value: &Value, named: &Named<'_>, at: &str, sightings: &mut Sightings<'_>) {
    let native = value.get("type").and_then(Value::as_str);
    for place in ["stringData", "data"] {
        for (key, value) in value.get(place).and_then(Value::as_object).into_iter().flatten() {
            let Some(value) = value.as_str() else { continue };
            let kind = match native {
                Some("kubernetes.io/service-account-token") => "sa_token",
                Some("kubernetes.io/tls" | "kubernetes.io/ssh-auth") => "key_pair",
                _ => looks_secret(key).unwrap_or("api_key"),
            };
            if key.ends_with(".crt") || value.is_empty() {
                continue;
            }
            // What stands in `data` is base64, which no placeholder is.
            let reference = if place == "data" { Reference::Literal } else { Reference::of(value) };
            let name = format!("{}/{key}", named.full());
            sightings.stated(kind, reference, &name, value, &below(&below(at, place), key));
        }
    }
}

/// An agent that an operator keeps (kagent and its like).
fn agent(value: &Value, named: &Named<'_>, at: &str, sightings: &mut Sightings<'_>) {
    let mut agent = sightings.identity("ai_agent", &named.full(), "kubernetes", at);
    agent.owner_hints = owner_hints(value);
    let declared = ["/spec/declarative", "/spec"].iter().find_map(|place| {
        let spec = value.pointer(place)?;
        (spec.get("modelConfig").is_some() || spec.get("tools").is_some()).then_some(spec)
    });
    let model = declared.and_then(|spec| spec.get("modelConfig")).and_then(Value::as_str);
    agent.model = model.map(str::to_owned);
    let tools = declared.and_then(|spec| spec.get("tools")).and_then(Value::as_array).into_iter().flatten();
    for tool in tools {
        let names = tool.pointer("/mcpServer/toolNames").and_then(Value::as_array).into_iter().flatten();
        agent.tools.extend(names.filter_map(Value::as_str).map(str::to_owned));
        if let Some(server) = tool.pointer("/mcpServer/name").and_then(Value::as_str) {
            let to = End::Named("server", format!("{}/{server}", named.namespace));
            sightings.edge_to(&agent.id, "uses_tool", to);
        }
    }
    sightings.saw_identity(agent);
}

/// An MCP server that an operator keeps.
fn server(value: &Value, named: &Named<'_>, at: &str, sightings: &mut Sightings<'_>) {
    let text = |place: &str| value.pointer(place).and_then(Value::as_str);
    let id = sightings.id("server", at);
    let mut credentials = Vec::new();
    let url = text("/spec/url").map(|url| {
        let (shown, ids) = command::address(url, &format!("{at}/spec/url"), sightings);
        credentials = ids;
        shown
    });
    let transport = match text("/spec/transport").or(text("/spec/protocol")).unwrap_or_default() {
        "stdio" => Transport::Stdio,
        "sse" | "SSE" => Transport::Sse,
        _ if url.is_some() => Transport::StreamableHttp,
        _ => Transport::Unknown,
    };
    let package = text("/spec/image").or(text("/spec/deployment/image")).map(command::oci);
    sightings.joins.name(sightings.path, "server", named.full(), id.clone());
    let (name, source) = (named.full(), sightings.at(at));
    sightings.saw_server(Server { id, name, transport, command: None, url, package, credentials, source });
}
