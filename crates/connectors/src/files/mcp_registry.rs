//! MCP servers as registries list them: the official registry (`server.json`, its seed and its answers), and the
//! Docker catalogue (`server.yaml`).

use serde_json::{Map, Value};

use super::mcp_command as command;
use crate::document::{Document, below};
use crate::reference::{Reference, looks_secret};
use crate::report::{Package, Server, Transport};
use crate::sightings::Sightings;

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let mut seen = false;
    for (pointer, root) in document.roots() {
        for (at, entry) in listings(root, &pointer) {
            if is_catalogue(entry) {
                catalogue(entry, &at, sightings);
            } else if is_listing(entry) {
                listing(entry, &at, sightings);
            } else {
                continue;
            }
            seen = true;
        }
    }
    seen
}

/// One server, a list of them, or an answer `{servers: [{server: {…}}]}`.
fn listings<'a>(root: &'a Value, pointer: &str) -> Vec<(String, &'a Map<String, Value>)> {
    let (place, list) = match (root.as_array(), root.get("servers").and_then(Value::as_array)) {
        (Some(list), _) => (pointer.to_owned(), list),
        (_, Some(list)) => (below(pointer, "servers"), list),
        _ => return root.as_object().map(|map| (pointer.to_owned(), map)).into_iter().collect(),
    };
    let entries = list.iter().enumerate().filter_map(|(n, entry)| {
        let at = below(&place, &n.to_string());
        let inner = entry.get("server").and_then(Value::as_object);
        inner.map(|map| (below(&at, "server"), map)).or_else(|| Some((at.clone(), entry.as_object()?)))
    });
    entries.collect()
}

/// `{name, packages | remotes, version…}` of the official registry. Some of its seed have neither; they have where
/// they come from, and a version.
pub(super) fn is_listing(entry: &Map<String, Value>) -> bool {
    let list = |key: &str| entry.get(key).is_some_and(Value::is_array);
    let from = entry.get("repository").is_some_and(Value::is_object) && entry.contains_key("version_detail");
    entry.get("name").is_some_and(Value::is_string)
        && (from || list("remotes") && !list("skills") || list("packages") && entry.contains_key("description"))
        && !entry.contains_key("lockfileVersion")
}

/// `{name, type: server | remote | poci, image | remote, about, meta}` of the Docker catalogue.
fn is_catalogue(entry: &Map<String, Value>) -> bool {
    let kind = entry.get("type").and_then(Value::as_str);
    let has = |key: &str| entry.contains_key(key);
    matches!(kind, Some("server" | "remote" | "poci")) && has("name") && has("about") && has("meta")
}

fn new(name: &str, at: &str, sightings: &Sightings<'_>) -> Server {
    Server {
        id: sightings.id("server", at),
        name: name.to_owned(),
        transport: Transport::Unknown,
        command: None,
        url: None,
        package: None,
        credentials: Vec::new(),
        source: sightings.at(at),
    }
}

fn text<'a>(map: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| map.get(*key)?.as_str()).filter(|text| !text.is_empty())
}

fn objects(value: Option<&Value>) -> impl Iterator<Item = (usize, &Map<String, Value>)> {
    value.and_then(Value::as_array).into_iter().flatten().enumerate().filter_map(|(n, v)| Some((n, v.as_object()?)))
}

fn listing(entry: &Map<String, Value>, at: &str, sightings: &mut Sightings<'_>) {
    let mut server = new(text(entry, &["name"]).unwrap_or_default(), at, sightings);
    for (n, package) in objects(entry.get("packages")) {
        let at = below(&below(at, "packages"), &n.to_string());
        let registry = text(package, &["registryType", "registry_type", "registry_name"]).unwrap_or("unknown");
        let name = text(package, &["identifier", "name"]).unwrap_or_default();
        server.package.get_or_insert_with(|| Package {
            registry: registry.to_owned(),
            name: name.to_owned(),
            version: text(package, &["version"]).map(str::to_owned),
        });
        let stated = package.get("transport").and_then(|transport| transport.get("type")).and_then(Value::as_str);
        server.transport = stated.map_or(Transport::Stdio, transport);
        for key in ["environmentVariables", "environment_variables"] {
            variables(package.get(key), &below(&at, key), Reference::Env, &mut server.credentials, sightings);
        }
    }
    for (n, remote) in objects(entry.get("remotes")) {
        let at = below(&below(at, "remotes"), &n.to_string());
        if let Some(url) = text(remote, &["url"]) {
            let (shown, ids) = command::address(url, &below(&at, "url"), sightings);
            server.credentials.extend(ids);
            if server.url.is_none() {
                server.url = Some(shown);
                server.transport = text(remote, &["type", "transport_type"]).map_or(Transport::Unknown, transport);
            }
        }
        variables(remote.get("headers"), &below(&at, "headers"), Reference::Input, &mut server.credentials, sightings);
    }
    sightings.saw_server(server);
}

/// Declared variables or headers: those that are said to be secret, and those that are by their name.
fn variables(list: Option<&Value>, at: &str, by: Reference, ids: &mut Vec<String>, sightings: &mut Sightings<'_>) {
    for (n, variable) in objects(list) {
        let Some(name) = text(variable, &["name"]) else { continue };
        let said = ["isSecret", "is_secret"].iter().find_map(|key| variable.get(*key)?.as_bool());
        let kind = match said {
            Some(false) => None,
            Some(true) => looks_secret(name).or(Some("api_key")),
            None => looks_secret(name),
        };
        if let Some(kind) = kind {
            ids.push(sightings.referred(kind, by, name, &below(at, &n.to_string())));
        }
    }
}

fn catalogue(entry: &Map<String, Value>, at: &str, sightings: &mut Sightings<'_>) {
    let mut server = new(text(entry, &["name"]).unwrap_or_default(), at, sightings);
    if let Some(image) = text(entry, &["image"]) {
        server.package = Some(command::oci(image));
        server.transport = Transport::Stdio;
    }
    if let Some(remote) = entry.get("remote").and_then(Value::as_object) {
        let place = below(at, "remote");
        let said = text(remote, &["transport_type", "type"]);
        server.transport = said.map_or(Transport::Unknown, transport);
        if let Some(url) = text(remote, &["url"]) {
            let (shown, ids) = command::address(url, &below(&place, "url"), sightings);
            server.url = Some(shown);
            server.credentials.extend(ids);
        }
    }
    let secrets = below(&below(at, "config"), "secrets");
    for (n, secret) in objects(entry.get("config").and_then(|config| config.get("secrets"))) {
        let Some(name) = text(secret, &["env", "name"]) else { continue };
        let kind = looks_secret(name).unwrap_or("api_key");
        server.credentials.push(sightings.referred(kind, Reference::Env, name, &below(&secrets, &n.to_string())));
    }
    for (n, grant) in objects(entry.get("oauth")) {
        let name = text(grant, &["provider", "secret"]).unwrap_or("oauth");
        let at = below(&below(at, "oauth"), &n.to_string());
        server.credentials.push(sightings.referred("oauth_grant", Reference::Store, name, &at));
    }
    sightings.saw_server(server);
}

fn transport(said: &str) -> Transport {
    match said {
        "stdio" => Transport::Stdio,
        "sse" => Transport::Sse,
        "streamable-http" | "streamable" | "http" => Transport::StreamableHttp,
        _ => Transport::Unknown,
    }
}
