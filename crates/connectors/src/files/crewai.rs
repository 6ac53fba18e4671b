//! crewAI: a map of agents, each with `role` and `goal`; a map of tasks, each with `description` and `expected_output`.

use serde_json::{Map, Value};

use crate::document::{Document, below};
use crate::join::End;
use crate::sightings::Sightings;

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let mut seen = false;
    for (pointer, root) in document.roots() {
        let Some(map) = root.as_object() else { continue };
        for (key, value) in map {
            let Some(value) = value.as_object() else { continue };
            let at = below(&pointer, key);
            if is_agent(value) {
                agent(key, value, &at, sightings);
            } else if is_task(value) {
                task(value, &at, sightings);
            } else {
                continue;
            }
            seen = true;
        }
    }
    seen
}

fn has(value: &Map<String, Value>, fields: &[&str]) -> bool {
    fields.iter().all(|field| value.get(*field).is_some_and(Value::is_string))
}

fn is_agent(value: &Map<String, Value>) -> bool {
    has(value, &["role", "goal"])
}

fn is_task(value: &Map<String, Value>) -> bool {
    has(value, &["description", "expected_output"])
}

fn agent(key: &str, value: &Map<String, Value>, at: &str, sightings: &mut Sightings<'_>) {
    let mut agent = sightings.identity("ai_agent", key, "crewai", at);
    agent.model = value.get("llm").and_then(Value::as_str).map(str::to_owned);
    if let Some(model) = &agent.model {
        sightings.edge(&agent.id, "uses_model", format!("model:{model}"));
    }
    let tools = value.get("tools").and_then(Value::as_array).into_iter().flatten();
    agent.tools = tools.filter_map(Value::as_str).map(str::to_owned).collect();
    for tool in &agent.tools {
        sightings.edge(&agent.id, "uses_tool", format!("tool:{tool}"));
    }
    sightings.joins.name(sightings.path, "ai_agent", format!("crewai/{key}"), agent.id.clone());
    sightings.saw_identity(agent);
}

/// A task names the agent that performs it; it may stand in another file.
fn task(value: &Map<String, Value>, at: &str, sightings: &mut Sightings<'_>) {
    if let Some(agent) = value.get("agent").and_then(Value::as_str) {
        let from = End::Named("ai_agent", format!("crewai/{}", agent.trim()));
        let task = End::Id(sightings.id("task", at));
        sightings.joins.edge(sightings.path, from, "performs", task);
    }
}
