//! A2A agent cards (the Agent2Agent protocol, sections "Agent Card"), also those that do not follow it to the letter.

use serde_json::Value;

use crate::document::{Document, below};
use crate::reference::Reference;
use crate::report::OwnerHint;
use crate::sightings::Sightings;

const OPEN_ENDPOINT: (&str, &[&str]) = ("AUT-2", &["NHI4", "ASI07"]);
const UNSIGNED: (&str, &[&str]) = ("AUT-4", &["NHI4", "ASI07"]);

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let cards: Vec<_> = document.roots().filter(|(_, root)| is_card(root)).collect();
    cards.iter().for_each(|(pointer, card)| read_card(card, pointer, sightings));
    !cards.is_empty()
}

fn is_card(value: &Value) -> bool {
    let text = |key: &str| value.get(key).is_some_and(Value::is_string);
    let skills = value.get("skills").is_some_and(Value::is_array);
    let more = ["capabilities", "defaultInputModes", "protocolVersion", "supportedInterfaces", "securitySchemes"];
    text("name") && skills && more.iter().any(|key| value.get(*key).is_some())
}

fn read_card(card: &Value, pointer: &str, sightings: &mut Sightings<'_>) {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let name = text(card, "name").unwrap_or_default();
    let mut agent = sightings.identity("ai_agent", &name, "a2a", pointer);
    let skills = card.get("skills").and_then(Value::as_array).into_iter().flatten();
    agent.tools = skills.filter_map(|skill| text(skill, "id").or_else(|| text(skill, "name"))).collect();
    for tool in &agent.tools {
        sightings.edge(&agent.id, "uses_tool", format!("tool:{tool}"));
    }
    let organization = card.get("provider").and_then(|provider| text(provider, "organization"));
    agent.owner_hints.extend(organization.map(|name| OwnerHint { name, from: "provider" }));
    let schemes = card.get("securitySchemes").and_then(Value::as_object);
    for (name, scheme) in schemes.into_iter().flatten() {
        let at = below(&below(pointer, "securitySchemes"), name);
        agent.credentials.push(sightings.referred(sort(scheme), Reference::Input, name, &at));
    }
    if schemes.is_none_or(serde_json::Map::is_empty) && card.get("authentication").is_none() {
        let evidence = format!("the card of `{name}` asks callers for no credential");
        sightings.finding(OPEN_ENDPOINT, &agent.id, pointer, evidence);
    }
    if card.get("signatures").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        sightings.finding(UNSIGNED, &agent.id, pointer, format!("the card of `{name}` is not signed"));
    }
    sightings.saw_identity(agent);
}

/// Which kind of credential a scheme asks for.
fn sort(scheme: &Value) -> &'static str {
    // OpenAPI's form has a `type`; the newer one is a map with one key.
    let kind = scheme.get("type").and_then(Value::as_str);
    let wrapped = || scheme.as_object().and_then(|map| map.keys().next()).map(String::as_str);
    match kind.or_else(wrapped).unwrap_or_default() {
        "oauth2" | "openIdConnect" | "oauth2SecurityScheme" | "openIdConnectSecurityScheme" => "oauth_grant",
        "mutualTLS" | "mtlsSecurityScheme" => "key_pair",
        "http" | "httpAuthSecurityScheme" => "token",
        _ => "api_key",
    }
}
