//! `chancery mcp config`: the settings a client needs. Never a token: the entry starts the bridge.

use std::io::Write;
use std::path::{Path, PathBuf};

use chancery_model::problem::LOCAL_FILE;
use serde_json::{Map, Value, json};

use super::clients::{Client, Language, Start};
use crate::context::Context;
use crate::failure::{Done, Failure};

/// For which client, agent and server.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The client
    #[arg(long, value_enum)]
    client: Client,
    /// The agent that the client acts as
    #[arg(long = "as", value_name = "AGENT")]
    agent: String,
    /// The upstream server
    #[arg(long, value_name = "NAME")]
    server: String,
    /// The name of the entry [default: the server's]
    #[arg(long)]
    name: Option<String>,
    /// Write it into the client's settings file instead of printing it
    #[arg(long)]
    write: bool,
    /// The settings file [default: the client's usual one]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  chancery mcp config --client claude-code --as crm-assistant --server crm
  chancery mcp config --client cursor --as crm-assistant --server crm --write
  chancery mcp config --client codex --as crm-assistant --server crm --write";

/// Does it.
pub fn run(context: &Context, args: &Args) -> Done {
    let row = args.client.row();
    let start = start(context, args)?;
    let environment = &context.environment;
    let usual = || row.path(&start.name, environment.home(), environment.config_home());
    let path = args.file.clone().unwrap_or_else(usual);
    let entry = (row.shape)(&start);
    if args.write {
        write(row.language, &path, &start.name, entry)?;
        context.output.note(&format!("written: `{}` in {}", start.name, path.display()));
        return Ok(());
    }
    context.output.note(&format!("for {}:", path.display()));
    context.output.text(&fresh(row.language, &start.name, entry)?)
}

fn start(context: &Context, args: &Args) -> Done<Start> {
    let program = std::env::current_exe().map_err(|e| Failure::new(LOCAL_FILE, format!("this program: {e}")))?;
    let mut words: Vec<String> =
        ["mcp", "bridge", "--as", &args.agent, "--server", &args.server].map(str::to_owned).to_vec();
    let global = context.global();
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([flag.to_owned(), value]);
        }
    };
    add("--url", Some(context.url()?));
    add("--key-dir", global.key_dir.as_deref().map(absolute));
    let name = args.name.clone().unwrap_or_else(|| args.server.clone());
    Ok(Start { name, command: program.display().to_string(), args: words })
}

/// Clients start programs from anywhere.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

/// A settings file with nothing but the entry.
fn fresh(language: Language, name: &str, entry: Value) -> Done<String> {
    match language {
        Language::Json(key) => Ok(serde_json::to_string_pretty(&json!({key: {name: entry}}))? + "\n"),
        Language::Toml(table) => toml_entry(table, name, &entry),
        // JSON is YAML: strings in double quotes mean the same in both.
        Language::Yaml(key) => Ok(format!("{key}:\n  {}: {entry}\n", Value::from(name))),
    }
}

fn toml_entry(table: &str, name: &str, entry: &Value) -> Done<String> {
    let document = json!({table: {name: entry}});
    toml::to_string(&document).map_err(|e| Failure::new(LOCAL_FILE, e))
}

/// Adds the entry to the settings file, leaving everything else in it as it is.
fn write(language: Language, path: &Path, name: &str, entry: Value) -> Done {
    let there = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Failure::file(path, e)),
    };
    let text = if there.trim().is_empty() {
        fresh(language, name, entry)?
    } else {
        match language {
            Language::Json(key) => merged_json(path, &there, key, name, entry)?,
            Language::Toml(table) => merged_toml(path, there, table, name, &entry)?,
            Language::Yaml(_) => return Err(by_hand(path, "is YAML with other settings in it")),
        }
    };
    replace(path, &text)
}

fn merged_json(path: &Path, there: &str, key: &str, name: &str, entry: Value) -> Done<String> {
    let parsed: Result<Map<String, Value>, _> = serde_json::from_str(there);
    let mut document = parsed.map_err(|e| by_hand(path, &format!("is not plain JSON ({e})")))?;
    let servers = document.entry(key).or_insert_with(|| json!({}));
    let servers = servers.as_object_mut().ok_or_else(|| by_hand(path, &format!("has no object under `{key}`")))?;
    servers.insert(name.to_owned(), entry);
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Appends, so that comments stay; a table that is there already is left to its owner.
fn merged_toml(path: &Path, there: String, table: &str, name: &str, entry: &Value) -> Done<String> {
    let document: toml::Table = there.parse().map_err(|e| by_hand(path, &format!("is not TOML ({e})")))?;
    if document.get(table).and_then(|t| t.get(name)).is_some() {
        return Err(by_hand(path, &format!("has an entry `{name}` already")));
    }
    Ok(there.trim_end().to_owned() + "\n\n" + &toml_entry(table, name, entry)?)
}

fn by_hand(path: &Path, why: &str) -> Failure {
    Failure::file(path, why).next("leave out --write and put the printed entry in by hand")
}

/// All or nothing: whoever reads it sees the old file or the new one.
fn replace(path: &Path, text: &str) -> Done {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let beside = folder.join(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    work().map_err(|e| Failure::file(path, e))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn start() -> Start {
        Start { name: "crm".into(), command: "/usr/bin/chancery".into(), args: vec!["mcp".into(), "bridge".into()] }
    }

    fn document(client: Client) -> String {
        let row = client.row();
        fresh(row.language, "crm", (row.shape)(&start())).unwrap()
    }

    #[test]
    fn every_client_gets_its_own_shape_without_a_token() {
        for client in Client::value_variants() {
            let text = document(*client);
            assert!(text.contains("/usr/bin/chancery"), "{client:?}");
            assert!(!text.to_lowercase().contains("bearer"), "{client:?}");
        }
    }

    #[test]
    fn the_keys_that_fail_silently_elsewhere_are_right() {
        let key = |client| serde_json::from_str::<Value>(&document(client)).unwrap();
        assert_eq!(key(Client::Vscode)["servers"]["crm"]["type"], "stdio");
        assert_eq!(key(Client::Cursor)["mcpServers"]["crm"]["command"], "/usr/bin/chancery");
        assert_eq!(key(Client::Zed)["context_servers"]["crm"]["source"], "custom");
        assert_eq!(key(Client::Opencode)["mcp"]["crm"]["command"][1], "mcp");
        let codex: toml::Table = document(Client::Codex).parse().unwrap();
        assert_eq!(codex["mcp_servers"]["crm"]["args"][1].as_str(), Some("bridge"));
        assert!(document(Client::Goose).starts_with("extensions:\n  \"crm\": {"));
    }

    #[test]
    fn writing_keeps_what_is_there() {
        let folder = std::env::temp_dir().join(format!("chancery-config-{}", std::process::id()));
        let path = folder.join("deep/mcp.json");
        write(Language::Json("mcpServers"), &path, "crm", json!({"command": "a"})).unwrap();
        write(Language::Json("mcpServers"), &path, "billing", json!({"command": "b"})).unwrap();
        let now: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(now["mcpServers"]["crm"]["command"], "a");
        assert_eq!(now["mcpServers"]["billing"]["command"], "b");

        let toml = folder.join("config.toml");
        std::fs::write(&toml, "# mine\nmodel = \"x\"\n").unwrap();
        write(Language::Toml("mcp_servers"), &toml, "crm", json!({"command": "a"})).unwrap();
        let text = std::fs::read_to_string(&toml).unwrap();
        assert!(text.starts_with("# mine\n") && text.contains("[mcp_servers.crm]"), "{text}");
        assert!(write(Language::Toml("mcp_servers"), &toml, "crm", json!({})).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_with_comments_is_left_alone() {
        let error = merged_json(Path::new("settings.json"), "// hello\n{}", "context_servers", "crm", json!({}));
        assert!(error.is_err());
    }
}
