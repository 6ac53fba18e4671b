//! The entities of a snapshot: `entities.json`, the servers, their tools, the actions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy_core::ast::EntityUID;
use cedar_policy_core::entities::{EntityJsonParser, TCComputation};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::{CoreSchema, ValidatorSchema};
use chancery_model::problem::POLICY_ENTITIES;
use chancery_model::{Limits, parse_strict};
use serde_json::{Value, json};

use crate::diagnostic::Diagnostic;
use crate::entity::Node;
use crate::snapshot::{Action, Callable, Sources};
use crate::tools::Hints;
use crate::value::{Field, Fields, Shape};

const FILE: &str = "entities.json";
/// What an agent has before the directory knows it.
const AGENT_ATTRIBUTES: [&str; 4] = ["kind", "owner", "purpose", "sponsor"];

/// All entities that the snapshot knows.
#[derive(Default)]
pub(super) struct Directory {
    pub nodes: HashMap<EntityUID, Arc<Node>>,
}

/// Reads and checks the entities; what is wrong goes to `problems`.
pub(super) fn build(sources: &Sources<'_>, schema: &ValidatorSchema, problems: &mut Vec<Diagnostic>) -> Directory {
    let mut entries = match sources.files.entities().map(own).unwrap_or_else(|| Ok(BTreeMap::new())) {
        Ok(entries) => entries,
        Err(problem) => {
            problems.push(problem);
            return Directory::default();
        }
    };
    add_servers(&mut entries, sources);
    let core = CoreSchema::new(schema);
    let parser = EntityJsonParser::new(Some(&core), Extensions::all_available(), TCComputation::ComputeNow);
    match parser.from_json_value(entries.into_values().collect()) {
        Ok(entities) => {
            let nodes = entities.iter().map(|e| (e.uid().clone(), Arc::new(Node::of(Arc::new(e.clone())))));
            Directory { nodes: nodes.collect() }
        }
        Err(error) => {
            let why = std::error::Error::source(&error).map_or_else(String::new, |s| format!(": {s}"));
            problems.push(Diagnostic::error(FILE, POLICY_ENTITIES, format!("{error}{why}")));
            Directory::default()
        }
    }
}

type Entries = BTreeMap<(String, String), Value>;

/// The entries of the file. Integers beyond 2^53 and keys given twice are refused: policies are checked against
/// overflow on the strength of that.
fn own(text: &str) -> Result<Entries, Diagnostic> {
    let refuse = |message: String| Diagnostic::error(FILE, POLICY_ENTITIES, message);
    let limits = Limits { depth: 64, keys: usize::MAX };
    let parsed = parse_strict(text.as_bytes(), limits).map_err(|e| refuse(e.to_string()))?;
    let Value::Array(items) = parsed else { return Err(refuse("it is not an array of entities".into())) };
    let mut entries = Entries::new();
    for mut item in items {
        let (kind, id) = uid(&item).ok_or_else(|| refuse(format!("an entity has no uid {{type, id}}: {item}")))?;
        if kind == "Agent" {
            fill(&mut item);
        }
        if entries.insert((kind.clone(), id.clone()), item).is_some() {
            return Err(refuse(format!("the entity {kind}::\"{id}\" appears twice")));
        }
    }
    Ok(entries)
}

fn uid(item: &Value) -> Option<(String, String)> {
    let uid = item.get("uid")?;
    let uid = uid.get("__entity").unwrap_or(uid);
    Some((uid.get("type")?.as_str()?.to_owned(), uid.get("id")?.as_str()?.to_owned()))
}

/// An agent stands in the file for its groups: its attributes are those of its registration.
fn fill(item: &mut Value) {
    if !item["attrs"].is_object() {
        item["attrs"] = json!({});
    }
    for name in AGENT_ATTRIBUTES {
        if item["attrs"].get(name).is_none() {
            item["attrs"][name] = json!("");
        }
    }
    if item.get("parents").is_none() {
        item["parents"] = json!([]);
    }
}

/// Servers and tools are what the configuration and the approved definitions say; the file may put them in groups. A
/// tool that nobody approved yet is there with the hints of one that says nothing.
fn add_servers(entries: &mut Entries, sources: &Sources<'_>) {
    for server in server_names(sources) {
        let entry = entries.entry(("Server".into(), server.to_owned())).or_insert_with(|| json!({"parents": []}));
        entry["uid"] = json!({"type": "Server", "id": server});
        entry["attrs"] = json!({});
    }
    for tool in sources.tools {
        let entry = entries.entry(("Tool".into(), tool.qualified())).or_insert_with(|| json!({"parents": []}));
        let hints = Hints::of(tool);
        entry["uid"] = json!({"type": "Tool", "id": tool.qualified()});
        entry["attrs"] = json!({
            "destructive": hints.destructive,
            "idempotent": hints.idempotent,
            "open_world": hints.open_world,
            "read_only": hints.read_only,
        });
        if let Some(parents) = entry["parents"].as_array_mut() {
            parents.push(json!({"type": "Server", "id": tool.server}));
        }
    }
}

fn server_names<'a>(sources: &Sources<'a>) -> impl Iterator<Item = &'a str> {
    let (servers, tools) = (sources.servers, sources.tools);
    let mut names: Vec<&str> =
        servers.iter().map(String::as_str).chain(tools.iter().map(|tool| tool.server.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

impl Directory {
    fn node(&self, text: &str) -> Option<&Arc<Node>> {
        self.nodes.get(&text.parse::<EntityUID>().ok()?)
    }

    fn named(&self, kind: &str, id: &str) -> Option<&Arc<Node>> {
        let kind = crate::entity::entity_type(kind)?;
        self.nodes.get(&crate::entity::uid(&kind, id))
    }

    /// Every action of the schema.
    pub fn actions(&self, schema: &ValidatorSchema) -> HashMap<EntityUID, Arc<Action>> {
        let known = schema.actions().filter_map(|uid| {
            let node = self.nodes.get(uid).or_else(|| self.node(&uid.to_string()))?;
            Some((node.uid.clone(), Arc::new(Action::new(schema, Arc::clone(node)))))
        });
        known.collect()
    }

    /// Every tool that has an action, by server and name.
    pub fn tools(
        &self,
        sources: &Sources<'_>,
        actions: &HashMap<EntityUID, Arc<Action>>,
    ) -> HashMap<String, HashMap<String, Callable>> {
        let mut servers: HashMap<String, HashMap<String, Callable>> = HashMap::new();
        for tool in sources.tools {
            let name = tool.qualified();
            let action = crate::schema::action_uid(&name).and_then(|uid| actions.get(&uid));
            let (Some(action), Some(node)) = (action, self.named("Tool", &name)) else { continue };
            let callable = Callable {
                server: tool.server.as_str().into(),
                tool: tool.name.as_str().into(),
                node: Arc::clone(node),
                action: Arc::clone(action),
                args: args(action),
            };
            servers.entry(tool.server.clone()).or_default().insert(tool.name.clone(), callable);
        }
        servers
    }

    /// Every server by name.
    pub fn servers(&self, sources: &Sources<'_>) -> HashMap<String, (Arc<str>, Arc<Node>)> {
        let known = server_names(sources).filter_map(|name| {
            let node = self.named("Server", name)?;
            Some((name.to_owned(), (Arc::from(name), Arc::clone(node))))
        });
        known.collect()
    }

    /// What `entities.json` puts each agent into.
    pub fn memberships(&self) -> HashMap<String, Vec<EntityUID>> {
        let agents = self.nodes.values().filter(|node| node.uid.entity_type().to_string() == "Agent");
        agents
            .map(|node| {
                let name = AsRef::<str>::as_ref(node.uid.eid()).to_owned();
                (name, node.entity.ancestors().cloned().collect())
            })
            .collect()
    }
}

fn args(action: &Action) -> Fields {
    match action.context.0.get("args") {
        Some(Field { shape: Shape::Record(fields), .. }) => fields.clone(),
        _ => Fields::default(),
    }
}
