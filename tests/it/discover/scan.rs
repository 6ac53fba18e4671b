//! What `chancery discover scan` makes of files, and what it never prints.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Scanner;

pub(super) fn place(files: &[(&str, &str)]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    place
}

/// One server of each client's own form. The secrets are put together here, so that no scanner takes them for real ones.
#[test]
fn mcp_servers_of_every_client_are_found_and_their_secrets_are_not_printed() {
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let claude = json!({"mcpServers": {
        "github": {"command": "npx", "args": ["-y", "@acme/github@1.0.0", "--access-token", secret], "env": {"LOG": "debug"}},
        "db": {"command": "docker", "args": ["run", "-e", "DB_PASSWORD", "acme/db", format!("postgres://u:{secret}@h/db")]},
        "web": {"type": "http", "url": format!("https://mcp.example.com/?api_key={secret}"), "headers": {"Authorization": "Bearer ${TOKEN}"}},
    }});
    let code = "{\n  // hidden while it is typed\n  \"inputs\": [{\"id\": \"pat\", \"type\": \"promptString\", \"password\": true}],\n  \"servers\": {\"issues\": {\"type\": \"sse\", \"url\": \"http://issues.example.com/sse\", \"headers\": {\"X-Api-Key\": \"${input:pat}\"}},},\n}";
    let place = place(&[
        ("claude_desktop_config.json", &claude.to_string()),
        (".vscode/mcp.json", code),
        (
            "codex/config.toml",
            "[mcp_servers.docs]\ncommand = \"uvx\"\nargs = [\"docs-server\"]\nbearer_token_env_var = \"DOCS_TOKEN\"\n",
        ),
        ("opencode.json", r#"{"mcp": {"files": {"type": "local", "command": ["npx", "files-server@2"]}}}"#),
        ("zed/settings.json", r#"{"context_servers": {"zed": {"command": {"path": "zed-server", "args": []}}}}"#),
        (
            "goose/config.yaml",
            "extensions:\n  memory:\n    type: stdio\n    cmd: uvx\n    args: [memory==1]\n    env_keys: [MEMORY_KEY]\n",
        ),
        (".claude.json", r#"{"projects": {"/src/a": {"mcpServers": {"own": {"command": "own-server"}}}}}"#),
    ]);
    let text = Scanner::new().text(place.path());
    assert!(!String::from_utf8_lossy(&text).contains(&secret), "a secret was printed");
    let report: Value = serde_json::from_slice(&text).unwrap();
    let servers: BTreeSet<(&str, &str, &str)> = list(&report, "servers")
        .iter()
        .map(|server| (str(server, "/name"), str(server, "/transport"), str(server, "/package/name")))
        .collect();
    let expected = [
        ("db", "stdio", "acme/db"),
        ("docs", "stdio", "docs-server"),
        ("files", "stdio", "files-server"),
        ("github", "stdio", "@acme/github"),
        ("issues", "sse", ""),
        ("memory", "stdio", "memory"),
        ("own", "stdio", ""),
        ("web", "streamable-http", ""),
        ("zed", "stdio", ""),
    ];
    assert_eq!(servers, expected.into_iter().collect());
    let credentials: BTreeSet<(&str, &str)> =
        list(&report, "credentials").iter().map(|one| (str(one, "/name"), str(one, "/reference"))).collect();
    let expected = [
        ("access-token", "literal"),
        ("DB_PASSWORD", "env"),
        ("connection string", "literal"),
        ("api_key", "literal"),
        ("Authorization", "env"),
        ("X-Api-Key", "input"),
        ("pat", "input"),
        ("DOCS_TOKEN", "env"),
        ("MEMORY_KEY", "store"),
    ];
    assert_eq!(credentials, expected.into_iter().collect());
    let rules: BTreeSet<&str> = list(&report, "findings").iter().map(|finding| str(finding, "/rule")).collect();
    assert_eq!(rules, BTreeSet::from(["SEC-1", "TPN-1", "AUT-4"]));
    assert_eq!(report["coverage"]["parsed"], 7);
}

/// The same secret in two files has one fingerprint; another machine's key gives another.
#[test]
fn one_secret_in_two_places_is_seen_to_be_one() {
    let place = place(&[
        ("a/.env", "API_TOKEN=correct-horse-battery\n"),
        ("b/.env", "export OTHER_TOKEN='correct-horse-battery'\nPORT=1\n"),
    ]);
    let fingerprints = |scanner: &Scanner| -> BTreeSet<String> {
        let report = scanner.scan(place.path());
        assert_eq!(list(&report, "credentials").len(), 2);
        list(&report, "credentials").iter().map(|one| str(one, "/fingerprint").to_owned()).collect()
    };
    let (here, there) = (Scanner::new(), Scanner::new());
    assert_eq!(fingerprints(&here).len(), 1);
    assert_eq!(fingerprints(&here), fingerprints(&here));
    assert_ne!(fingerprints(&here), fingerprints(&there));
    let key = here.home.path().join(".config/chancery/fingerprint.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = here.run(&["scan", place.path().to_str().unwrap()]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("can be read by others"));
}

#[test]
fn what_is_not_understood_is_a_gap_and_every_file_is_accounted_for() {
    let place = place(&[
        ("broken.json", "{\"mcpServers\": {"),
        ("latin.yaml", "role: caf\u{e9}\n"),
        ("agent.py", "from crewai import Agent\nAgent(role='x')\n"),
        ("plain.py", "print('hello')\n"),
        ("chart/Chart.yaml", "apiVersion: v2\nname: chart\n"),
        ("chart/templates/sa.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: \"{{ .Values.name }}\"}\n"),
        (".github/workflows/ci.yml", "on: push\njobs: {build: {steps: []}}\n"),
        ("notes.md", "nothing"),
        ("node_modules/x/mcp.json", r#"{"mcpServers": {"x": {"command": "x"}}}"#),
    ]);
    fs::write(place.path().join("latin.yaml"), b"role: caf\xe9\n").unwrap();
    let scanner = Scanner::new();
    let report = scanner.scan(place.path());
    let coverage = &report["coverage"];
    let gaps: BTreeSet<&str> = coverage["gaps"].as_array().unwrap().iter().map(|gap| str(gap, "/path")).collect();
    let expected = ["broken.json", "latin.yaml", "agent.py", "chart/templates/sa.yaml", ".github/workflows/ci.yml"];
    assert_eq!(gaps, expected.into_iter().collect());
    assert_eq!((&coverage["files"], &coverage["parsed"], &coverage["irrelevant"]), (&json!(8), &json!(0), &json!(3)));
    assert_eq!(coverage["excluded"], json!([{"path": "node_modules", "reason": "installed packages"}]));
    let all = scanner.run(&["scan", place.path().to_str().unwrap(), "--all", "-o", "json"]);
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all["servers"][0]["source"]["path"], "node_modules/x/mcp.json");
    let nowhere = scanner.run(&["scan", "/nowhere/at/all"]);
    assert!(!nowhere.status.success(), "a place that is not there is an error, not an empty inventory");
}

#[test]
fn agent_cards_and_agents_of_operators_are_agents() {
    let card = json!({"name": "Invoice Agent", "url": "https://a.example.com", "protocolVersion": "0.3.0", "provider": {"organization": "Acme"},
        "capabilities": {}, "skills": [{"id": "pay", "name": "Pay"}], "securitySchemes": {"sso": {"type": "openIdConnect"}}});
    let open = json!({"name": "Open Agent", "capabilities": ["streaming"], "skills": []});
    let kagent = "apiVersion: kagent.dev/v1alpha2\nkind: Agent\nmetadata: {name: ops, namespace: tools, labels: {team: platform}}\nspec:\n  declarative:\n    modelConfig: gpt\n    tools: [{mcpServer: {name: shell, toolNames: [run]}}]\n---\napiVersion: kagent.dev/v1alpha1\nkind: MCPServer\nmetadata: {name: shell, namespace: tools}\nspec: {deployment: {image: 'acme/shell:1'}, transport: stdio}\n";
    let place =
        place(&[("agent-card.json", &card.to_string()), ("open.json", &open.to_string()), ("kagent.yaml", kagent)]);
    let report = Scanner::new().scan(place.path());
    let agents: Vec<(&str, &Value, &Value)> =
        list(&report, "identities").iter().map(|one| (str(one, "/name"), &one["tools"], &one["owner_hints"])).collect();
    let none = json!([]);
    let hints = [json!([{"name": "Acme", "from": "provider"}]), json!([{"name": "platform", "from": "label"}])];
    let tools = [json!(["pay"]), json!(["run"])];
    assert_eq!(
        agents,
        [("Invoice Agent", &tools[0], &hints[0]), ("tools/ops", &tools[1], &hints[1]), ("Open Agent", &none, &none)]
    );
    let edge = json!({"from": "ai_agent:kagent.yaml#/0", "kind": "uses_tool", "to": "server:kagent.yaml#/1"});
    assert!(list(&report, "edges").contains(&edge), "{report:#}");
    let open = list(&report, "findings").iter().filter(|finding| finding["rule"] == "AUT-2").count();
    assert_eq!(open, 1, "the one without a scheme");
}

#[test]
fn people_see_a_table_and_what_was_not_understood() {
    let place = place(&[("crew/agents.yaml", "writer: {role: Writer, goal: Write}\n"), ("x.json", "{")]);
    let output = Scanner::new().run(&["scan", place.path().to_str().unwrap()]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("ai_agent\twriter\tcrew/agents.yaml\tcrewai"), "{out}");
    assert!(err.contains("2 files: 1 parsed, 0 irrelevant, 1 not understood; 1 identities"), "{err}");
    assert!(err.contains("not understood: x.json: not JSON"), "{err}");
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().unwrap()
}

fn str<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Every field of what is printed is in the published schema, and none that it demands is missing.
#[test]
fn the_published_schema_says_what_is_printed() {
    let place = place(&[
        (".env", "A_TOKEN=abcdefgh\n"),
        (
            "mcp.json",
            r#"{"mcpServers": {"x": {"command": "npx", "args": ["x@1"]}, "y": {"url": "https://y.example.com"}}}"#,
        ),
        ("agents.yaml", "writer: {role: Writer, goal: Write, llm: m, tools: [t]}\n"),
        ("node_modules/x.json", "{}"),
        ("x.json", "{"),
        ("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {owner: o}}\nspec: {containers: []}\n"),
    ]);
    let scanner = Scanner::new();
    let schema: Value = serde_json::from_slice(&scanner.run(&["schema"]).stdout).unwrap();
    conforms(&scanner.scan(place.path()), &schema, &schema, "");
}

/// The little of JSON Schema that ours uses.
fn conforms(value: &Value, schema: &Value, root: &Value, at: &str) {
    let schema = schema.get("$ref").map_or(schema, |name| root.pointer(&name.as_str().unwrap()[1..]).unwrap());
    if let Some(map) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(map.contains_key(name.as_str().unwrap()), "{at}: no {name}");
        }
        for (name, value) in map {
            let inner = schema["properties"].get(name).unwrap_or_else(|| panic!("{at}/{name} is not in the schema"));
            conforms(value, inner, root, &format!("{at}/{name}"));
        }
    }
    for value in value.as_array().into_iter().flatten() {
        conforms(value, &schema["items"], root, &format!("{at}/-"));
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let Some(words) = schema.get("enum") {
        assert!(words.as_array().unwrap().contains(value), "{at}: {value}");
    }
}
