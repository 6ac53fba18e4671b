//! MCP servers as clients are told of them.
//!
//! Every client has its own file and nearly its own key: `mcpServers` (Claude Desktop and Code, Cursor, Windsurf, Cline,
//! Gemini, Amazon Q, …), `servers` (Visual Studio Code's `mcp.json`, and `mcp.servers` in its settings), `mcp`
//! (opencode), `context_servers` (Zed), `mcp_servers` (Codex, TOML), `extensions` (Goose, YAML). What counts is what an
//! entry looks like: a command or an address.

use serde_json::{Map, Value};

use super::{mcp_command as command, mcp_registry};
use crate::document::{Document, below};
use crate::reference::Reference;
use crate::report::{Server, Transport};
use crate::sightings::Sightings;

const UNPINNED: (&str, &[&str]) = ("TPN-1", &["NHI3", "ASI04"]);
const IN_CLEAR: (&str, &[&str]) = ("AUT-4", &["NHI4", "ASI07"]);

/// Where clients keep their servers.
const PLACES: [&str; 9] = [
    "/mcpServers",
    "/servers",
    "/mcp/servers",
    "/mcp/mcpServers",
    "/mcp",
    "/settings/mcp/servers",
    "/context_servers",
    "/mcp_servers",
    "/extensions",
];
/// Keys under which nothing but MCP servers stands, so that an entry that is not understood still is one.
const SURE: [&str; 2] = ["/mcpServers", "/mcp_servers"];

pub(super) fn read(document: &Document<'_>, sightings: &mut Sightings<'_>) -> bool {
    let mut seen = false;
    for (pointer, root) in document.roots() {
        for (place, map) in maps(root) {
            for (key, name, entry) in map {
                let at = below(&format!("{pointer}{place}"), &key);
                seen |= server(&name, entry, &at, SURE.contains(&place.as_str()), sightings);
            }
        }
        // Claude Code keeps those of a project under its path.
        for (project, value) in root.get("projects").and_then(Value::as_object).into_iter().flatten() {
            for (name, entry) in value.get("mcpServers").and_then(Value::as_object).into_iter().flatten() {
                let at = below(&below(&format!("{pointer}/projects"), project), "mcpServers");
                seen |= server(name, entry, &below(&at, name), true, sightings);
            }
        }
        seen |= inputs(root, &pointer, seen, sightings);
    }
    seen
}

type Entries<'a> = Vec<(String, String, &'a Value)>;

/// The entries of each place: a map by name, or a list of entries with names.
fn maps(root: &Value) -> Vec<(String, Entries<'_>)> {
    let at = |place: &&str| {
        let entries = match root.pointer(place)? {
            Value::Object(map) => map.iter().map(|(name, entry)| (name.clone(), name.clone(), entry)).collect(),
            Value::Array(list) => named(list),
            _ => return None,
        };
        Some(((*place).to_owned(), entries))
    };
    PLACES.iter().filter_map(at).collect()
}

fn named(list: &[Value]) -> Entries<'_> {
    let entries = list.iter().enumerate();
    entries.filter_map(|(n, entry)| Some((n.to_string(), entry.get("name")?.as_str()?.to_owned(), entry))).collect()
}

/// Says so if this is a server.
fn server(name: &str, entry: &Value, at: &str, sure: bool, sightings: &mut Sightings<'_>) -> bool {
    let Some(entry) = entry.as_object() else { return false };
    // A list of `servers` with packages is a registry's.
    if mcp_registry::is_listing(entry) {
        return false;
    }
    let (words, url) = (command_of(entry), url_of(entry));
    if words.is_none() && url.is_none() && !sure {
        return false;
    }
    let mut server = Server {
        id: sightings.id("server", at),
        name: name.to_owned(),
        transport: transport(entry, words.is_some()),
        package: words.as_deref().and_then(command::package),
        command: None,
        url: None,
        credentials: Vec::new(),
        source: sightings.at(at),
    };
    if let Some(words) = words {
        let (shown, ids) = command::words(&words, &below(at, "args"), sightings);
        server.command = Some(shown);
        server.credentials.extend(ids);
    }
    if let Some((key, url)) = url {
        let (shown, ids) = command::address(url, &below(at, key), sightings);
        server.url = Some(shown);
        server.credentials.extend(ids);
    }
    for key in ["env", "envs", "environment", "headers", "http_headers"] {
        fields(entry.get(key), &below(at, key), &mut server.credentials, sightings);
    }
    // What is shown to a server over HTTP opens that server, for whoever has it.
    if server.url.is_some() {
        for credential in &server.credentials {
            sightings.edge(credential, "can_access", server.id.clone());
        }
    }
    elsewhere(entry, at, &mut server.credentials, sightings);
    judge(&server, at, sightings);
    sightings.saw_server(server);
    true
}

/// `command` and `args`; some write the whole line as a list, or as one text.
fn command_of(entry: &Map<String, Value>) -> Option<Vec<String>> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut words = match entry.get("command").or_else(|| entry.get("cmd"))? {
        Value::String(line) => vec![line.clone()],
        Value::Array(list) => texts(&Value::Array(list.clone())),
        // Zed: `{path, args, env}`.
        Value::Object(inner) => {
            let program = inner.get("path")?.as_str()?.to_owned();
            [vec![program], inner.get("args").map_or_else(Vec::new, texts)].concat()
        }
        _ => return None,
    };
    words.extend(entry.get("args").map_or_else(Vec::new, texts));
    (!words.is_empty()).then_some(words)
}

fn url_of(entry: &Map<String, Value>) -> Option<(&'static str, &str)> {
    let keys = ["url", "httpUrl", "serverUrl", "uri", "endpoint"];
    keys.into_iter().find_map(|key| Some((key, entry.get(key)?.as_str()?))).filter(|(_, url)| url.contains("://"))
}

fn transport(entry: &Map<String, Value>, has_command: bool) -> Transport {
    let said = ["type", "transport", "transportType"].iter().find_map(|key| entry.get(*key)?.as_str());
    match said.map(str::to_ascii_lowercase).as_deref() {
        Some("stdio" | "local" | "command") => Transport::Stdio,
        Some("sse") => Transport::Sse,
        Some("http" | "streamable-http" | "streamable_http" | "streamablehttp") => Transport::StreamableHttp,
        Some("ws" | "websocket") => Transport::WebSocket,
        _ if has_command => Transport::Stdio,
        Some("remote") => Transport::StreamableHttp,
        _ => match url_of(entry) {
            Some((_, url)) if url.trim_end_matches('/').ends_with("/sse") => Transport::Sse,
            Some(_) => Transport::StreamableHttp,
            None => Transport::Unknown,
        },
    }
}

/// A map of variables or headers.
fn fields(map: Option<&Value>, at: &str, ids: &mut Vec<String>, sightings: &mut Sightings<'_>) {
    for (name, value) in map.and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = value.as_str() {
            ids.extend(sightings.field(name, value, &below(at, name)));
        }
    }
}

/// Credentials that are only pointed at.
fn elsewhere(entry: &Map<String, Value>, at: &str, ids: &mut Vec<String>, sightings: &mut Sightings<'_>) {
    if let Some(file) = entry.get("envFile").and_then(Value::as_str) {
        ids.push(sightings.referred("api_key", Reference::File, file, &below(at, "envFile")));
    }
    // Codex: the name of the variable that holds the token.
    if let Some(name) = entry.get("bearer_token_env_var").and_then(Value::as_str) {
        ids.push(sightings.referred("token", Reference::Env, name, &below(at, "bearer_token_env_var")));
    }
    // Goose: names of stored secrets.
    for (n, name) in entry.get("env_keys").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(name) = name.as_str() {
            let at = below(&below(at, "env_keys"), &n.to_string());
            ids.push(sightings.referred("api_key", Reference::Store, name, &at));
        }
    }
    if entry.get("oauth").is_some_and(Value::is_object) {
        ids.push(sightings.referred("oauth_grant", Reference::Store, "oauth", &below(at, "oauth")));
    }
}

/// What Visual Studio Code asks for when a server starts: those that are hidden while they are typed.
fn inputs(root: &Value, pointer: &str, seen: bool, sightings: &mut Sightings<'_>) -> bool {
    let (place, list) = match (root.get("inputs"), root.pointer("/mcp/inputs")) {
        (Some(list), _) => ("/inputs", list),
        (None, Some(list)) => ("/mcp/inputs", list),
        (None, None) => return false,
    };
    if !seen {
        return false;
    }
    for (n, input) in list.as_array().into_iter().flatten().enumerate() {
        let hidden = input.get("password").and_then(Value::as_bool) == Some(true);
        if let Some(id) = input.get("id").and_then(Value::as_str).filter(|_| hidden) {
            let at = below(&format!("{pointer}{place}"), &n.to_string());
            sightings.referred("api_key", Reference::Input, id, &at);
        }
    }
    true
}

fn judge(server: &Server, at: &str, sightings: &mut Sightings<'_>) {
    if let Some(package) = &server.package
        && package.version.as_deref().is_none_or(|version| version == "latest")
    {
        let evidence = format!("`{}` is run in whichever version is newest", package.name);
        sightings.finding(UNPINNED, &server.id, at, evidence);
    }
    let local = ["http://localhost", "http://127.", "http://[::1]", "http://host.docker.internal"];
    if let Some(url) = &server.url
        && url.starts_with("http://")
        && !local.iter().any(|start| url.starts_with(start))
    {
        sightings.finding(IN_CLEAR, &server.id, at, format!("`{url}` is spoken to without encryption"));
    }
}
