//! n8n workflows: an export is one workflow or a list of them.
//!
//! Nodes are joined by name: `connections.<source>.<kind>` lists whom a node serves. Those of a kind that begins with
//! `ai_` are what an agent is made of: its model, its tools, its memory, and what these stand on in turn.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::document::{Document, below};
use crate::reference::Reference;
use crate::report::Credential;
use crate::sightings::Sightings;

const AGENTS: [&str; 2] = ["@n8n/n8n-nodes-langchain.agent", "@n8n/n8n-nodes-langchain.agentTool"];
const OPEN_ENDPOINT: (&str, &[&str]) = ("AUT-2", &["NHI4", "ASI07"]);

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let mut seen = false;
    for (pointer, root) in document.roots() {
        let list = root.as_array().map_or_else(Vec::new, |list| {
            list.iter().enumerate().map(|(at, workflow)| (below(&pointer, &at.to_string()), workflow)).collect()
        });
        for (pointer, workflow) in list.into_iter().chain([(pointer, root)]) {
            if let Some(workflow) = Workflow::of(workflow, pointer) {
                workflow.read(sightings);
                seen = true;
            }
        }
    }
    seen
}

struct Node<'a> {
    name: &'a str,
    kind: &'a str,
    pointer: String,
    value: &'a Value,
}

impl Node<'_> {
    fn is_agent(&self) -> bool {
        AGENTS.contains(&self.kind)
    }
}

struct Workflow<'a> {
    value: &'a Value,
    pointer: String,
    nodes: Vec<Node<'a>>,
    /// By the name of the node that is served: how (`ai_tool`, …) and by whom.
    served: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
}

impl<'a> Workflow<'a> {
    fn of(value: &'a Value, pointer: String) -> Option<Self> {
        let (nodes, connections) = (value.get("nodes")?.as_array()?, value.get("connections")?.as_object()?);
        let at = below(&pointer, "nodes");
        let nodes = nodes.iter().enumerate().filter_map(|(n, value)| {
            let kind = value.get("type")?.as_str()?;
            let name = value.get("name").and_then(Value::as_str).unwrap_or(kind);
            Some(Node { name, kind, pointer: below(&at, &n.to_string()), value })
        });
        let nodes: Vec<_> = nodes.collect();
        let mut served: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (source, kinds) in connections {
            for (kind, target) in targets(kinds) {
                served.entry(target).or_default().push((kind, source.as_str()));
            }
        }
        // An empty workflow is one as well; a graph of something else is not.
        let known = nodes.iter().any(|node| node.kind.contains("n8n-nodes") || node.value.get("typeVersion").is_some());
        (known || (nodes.is_empty() && value.get("settings").is_some())).then_some(Self {
            value,
            pointer,
            nodes,
            served,
        })
    }

    fn name(&self) -> &str {
        self.value.get("name").and_then(Value::as_str).unwrap_or("unnamed workflow")
    }

    fn read(&self, sightings: &mut Sightings<'_>) {
        let credentials: Vec<_> = self.nodes.iter().map(|node| credentials(node, sightings)).collect();
        let mut workflow = sightings.identity("workflow", self.name(), "n8n", &self.pointer);
        for node in self.nodes.iter().filter(|node| node.is_agent()) {
            self.agent(node, &workflow.id, &credentials, sightings);
        }
        self.open_endpoints(&workflow.id, sightings);
        workflow.credentials = unique(credentials.into_iter().flatten());
        sightings.saw_identity(workflow);
    }

    fn agent(&self, node: &Node<'_>, workflow: &str, credentials: &[Vec<String>], sightings: &mut Sightings<'_>) {
        let mut agent = sightings.identity("ai_agent", node.name, "n8n", &node.pointer);
        sightings.edge(&agent.id, "part_of", workflow.to_owned());
        for (kind, other) in self.served.get(node.name).map_or(&[][..], Vec::as_slice) {
            let Some(other) = self.nodes.iter().find(|node| node.name == *other) else { continue };
            match *kind {
                "ai_tool" => {
                    agent.tools.push(other.name.to_owned());
                    let to = if other.is_agent() { "ai_agent" } else { "tool" };
                    sightings.edge(&agent.id, "uses_tool", sightings.id(to, &other.pointer));
                }
                "ai_languageModel" => {
                    // Where none is stated, n8n takes its own default, which changes with its versions.
                    let model = model(other.value);
                    let named = model.clone().unwrap_or_else(|| short(other.kind).to_owned());
                    sightings.edge(&agent.id, "uses_model", format!("model:{named}"));
                    agent.model = agent.model.or(model);
                }
                "ai_memory" => sightings.edge(&agent.id, "uses_memory", sightings.id("memory", &other.pointer)),
                _ => {}
            }
        }
        let reached = self.below(node.name);
        let with = self.nodes.iter().zip(credentials).filter(|(node, _)| reached.contains(node.name));
        agent.credentials = unique(with.flat_map(|(_, ids)| ids.iter().cloned()));
        sightings.saw_identity(agent);
    }

    /// The node and whatever serves it as part of an agent, and what serves that.
    fn below(&self, name: &'a str) -> BTreeSet<&'a str> {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![name]);
        while let Some(name) = waiting.pop() {
            if reached.insert(name) {
                let parts = self.served.get(name).map_or(&[][..], Vec::as_slice);
                waiting.extend(parts.iter().filter(|(kind, _)| kind.starts_with("ai_")).map(|(_, source)| *source));
            }
        }
        reached
    }

    /// Whoever knows the address starts the workflow, and speaks to its agent.
    fn open_endpoints(&self, workflow: &str, sightings: &mut Sightings<'_>) {
        if !self.nodes.iter().any(Node::is_agent) {
            return;
        }
        for node in self.nodes.iter().filter(|node| is_open(node)) {
            let evidence = format!("`{}` takes requests from anybody and an agent reads them", node.name);
            sightings.finding(OPEN_ENDPOINT, workflow, &node.pointer, evidence);
        }
    }
}

/// Whom a node serves: `{kind: [[{node, type, index}, …], …]}`.
fn targets(kinds: &Value) -> impl Iterator<Item = (&str, &str)> {
    kinds.as_object().into_iter().flatten().flat_map(|(kind, outputs)| {
        let ends = outputs.as_array().into_iter().flatten().filter_map(Value::as_array).flatten();
        ends.filter_map(move |end| Some((kind.as_str(), end.get("node")?.as_str()?)))
    })
}

/// `credentials: {openAiApi: {id, name}}`; older ones `{openAiApi: "name"}`.
fn credentials(node: &Node<'_>, sightings: &mut Sightings<'_>) -> Vec<String> {
    let at = below(&node.pointer, "credentials");
    let stored = node.value.get("credentials").and_then(Value::as_object).into_iter().flatten();
    let mut ids: Vec<_> = stored
        .map(|(kind, value)| {
            let name = value.get("name").or(Some(value)).and_then(Value::as_str);
            let key = value.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
            // One stored credential is one, however many nodes use it.
            let stored = key.or(name).unwrap_or("default");
            let credential = Credential {
                id: sightings.id("credential", &format!("n8n:{kind}:{stored}")),
                kind: sort(kind),
                reference: Reference::Store,
                name: name.map(str::to_owned),
                native_type: Some(kind.clone()),
                fingerprint: None,
                source: sightings.at(&below(&at, kind)),
            };
            if sightings.report.credentials.iter().rev().any(|other| other.id == credential.id) {
                return credential.id;
            }
            sightings.credential(credential)
        })
        .collect();
    let parameters = below(&node.pointer, "parameters");
    if let Some(value) = node.value.get("parameters") {
        literals(value, &parameters, sightings, &mut ids);
    }
    ids
}

/// Headers and queries of a request node that hold a secret: lists of `{name, value}`. What begins with `=` is computed.
fn literals(value: &Value, pointer: &str, sightings: &mut Sightings<'_>, ids: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(n, value)| literals(value, &below(pointer, &n.to_string()), sightings, ids));
        }
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            if let (Some(name), Some(stated)) = (text("name"), text("value"))
                && !stated.starts_with('=')
                && !stated.contains(' ') | stated.starts_with("Bearer ")
            {
                ids.extend(sightings.field(name, stated, &below(pointer, "value")));
            } else {
                map.iter().for_each(|(key, value)| literals(value, &below(pointer, key), sightings, ids));
            }
        }
        _ => {}
    }
}

/// The kind of what n8n calls, say, `googleSheetsOAuth2Api`.
fn sort(native: &str) -> &'static str {
    let lower = native.to_ascii_lowercase();
    let is = |part: &str| lower.contains(part);
    if is("oauth") {
        "oauth_grant"
    } else if is("basicauth")
        || is("smtp")
        || is("imap")
        || is("postgres")
        || is("mysql")
        || is("ftp")
        || is("password")
    {
        "password"
    } else if is("aws") {
        "access_key"
    } else if is("ssh") || is("privatekey") || is("jwtauth") {
        "key_pair"
    } else if is("token") || is("headerauth") {
        "token"
    } else {
        "api_key"
    }
}

/// `gpt-4o` or `{value: "gpt-4o", …}`.
fn model(node: &Value) -> Option<String> {
    let parameters = node.get("parameters")?;
    let stated =
        parameters.get("model").or_else(|| parameters.get("modelName")).or_else(|| parameters.get("modelId"))?;
    let name = stated.as_str().or_else(|| stated.get("value").and_then(Value::as_str))?;
    let name = name.trim_start_matches("models/").trim();
    // `={{ … }}` is computed when it runs; `=name` is a name after all.
    let name = name.strip_prefix('=').unwrap_or(name);
    (!name.is_empty() && !name.contains("{{")).then(|| name.to_owned())
}

fn short(kind: &str) -> &str {
    kind.rsplit('.').next().unwrap_or(kind)
}

fn is_open(node: &Node<'_>) -> bool {
    let parameter = |key: &str| node.value.get("parameters").and_then(|parameters| parameters.get(key));
    let off = node.value.get("disabled").and_then(Value::as_bool) == Some(true);
    let none = parameter("authentication").and_then(Value::as_str).is_none_or(|kind| kind == "none");
    match short(node.kind) {
        "webhook" | "formTrigger" => none && !off,
        "chatTrigger" => none && !off && parameter("public").and_then(Value::as_bool) == Some(true),
        _ => false,
    }
}

fn unique(ids: impl Iterator<Item = String>) -> Vec<String> {
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}
