//! `chancery doctor`: everything that can be checked from here, each with what to do about it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_authorize::{Files, Sources, files};
use chancery_model::problem::BAD_CONFIG;
use chancery_model::{Hash, Span, Timestamp};
use chancery_server::{Config, Transport};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::output::{Column, column};

/// Nothing to say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chancery doctor\n  chancery doctor --config chancery.toml -o json")]
pub struct Args {}

const COLUMNS: &[Column] =
    &[column("CHECK", "/check"), column("STATE", "/state"), column("FOUND", "/found"), column("DO", "/do")];

/// How long an upstream may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// This program did not exist before.
const BIRTH: i64 = 1_767_225_600;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Look,
    Bad,
}

struct Finding {
    check: String,
    state: State,
    found: String,
    mend: String,
}

fn good(check: &str, found: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), state: State::Good, found: found.into(), mend: String::new() }
}

fn look(check: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), state: State::Look, found: found.into(), mend: mend.into() }
}

fn bad(check: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), state: State::Bad, found: found.into(), mend: mend.into() }
}

/// Checks, shows, and fails if anything is bad.
pub async fn run(context: &Context, _: &Args) -> Done {
    let mut found = vec![clock(context.clock.now())];
    match context.config() {
        Ok(config) => {
            found.push(configuration(context));
            found.extend(examine(context, &config).await);
        }
        Err(failure) => found.push(bad("configuration", &failure.problem().detail, "mend the file")),
    }
    let rows: Vec<Value> = found.iter().map(told).collect();
    context.output.list(COLUMNS, &rows)?;
    match found.iter().filter(|one| one.state == State::Bad).count() {
        0 => Ok(()),
        count => Err(Failure::new(BAD_CONFIG, format!("{count} checks failed")).next("do what the last column says")),
    }
}

fn told(finding: &Finding) -> Value {
    let state = match finding.state {
        State::Good => "good",
        State::Look => "look",
        State::Bad => "bad",
    };
    json!({"check": finding.check, "state": state, "found": finding.found, "do": finding.mend})
}

async fn examine(context: &Context, config: &Config) -> Vec<Finding> {
    let mut found = vec![data(&config.data), key(&config.kek), policies(config)];
    let status = match context.admin() {
        Ok(admin) => admin.get("/v1/status").await.ok(),
        Err(_) => None,
    };
    match &status {
        Some(status) => found.extend(running(context, config, status).await),
        None => found.push(port(config).await),
    }
    for (name, server) in &config.servers {
        found.push(upstream(context, name, &server.transport).await);
    }
    found
}

fn configuration(context: &Context) -> Finding {
    match context.config_file() {
        Some(path) => good("configuration", path.display().to_string()),
        None => look("configuration", "no file: defaults", "write chancery.toml, or name one with --config"),
    }
}

fn clock(now: Timestamp) -> Finding {
    if now < Timestamp::from_seconds(BIRTH) {
        return bad("clock", now.rfc3339(), "set the clock: tokens and sessions depend on it");
    }
    good("clock", now.rfc3339())
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|m| m.permissions().mode() & 0o777)
}

fn data(path: &Path) -> Finding {
    let shown = path.display();
    match (mode(path), mode(&path.join("chancery.db"))) {
        (None, _) => look("data", format!("{shown} does not exist yet"), "`chancery serve` makes it"),
        (Some(open), _) if open & 0o077 != 0 => {
            bad("data", format!("{shown} is open to others ({open:o})"), format!("chmod 700 {shown}"))
        }
        (_, Some(open)) if open & 0o077 != 0 => {
            bad("data", format!("{shown}/chancery.db is open to others ({open:o})"), format!("chmod 600 {shown}/*"))
        }
        _ => good("data", shown.to_string()),
    }
}

fn key(path: &Path) -> Finding {
    let shown = path.display();
    match mode(path) {
        None => look("key", format!("{shown} does not exist yet"), "`chancery serve` makes it; keep a copy elsewhere"),
        Some(open) if open & 0o077 != 0 => {
            bad("key", format!("{shown} is open to others ({open:o})"), format!("chmod 400 {shown}"))
        }
        Some(_) => good("key", shown.to_string()),
    }
}

fn policies(config: &Config) -> Finding {
    let shown = config.policies.display().to_string();
    let read = match Files::read(&config.policies) {
        Ok(read) => read,
        Err(e) => return bad("policies", format!("{shown}: {e}"), "make the directory, or change `policies`"),
    };
    let servers: Vec<String> = config.servers.keys().cloned().collect();
    let remarks = files::check(&Sources { files: &read, servers: &servers, tools: &[], hash: sha256 });
    if files::fatal(&remarks) {
        return bad("policies", format!("{shown}: they would not come into force"), "chancery policy check");
    }
    match remarks.len() {
        0 => good("policies", shown),
        count => look("policies", format!("{shown}: {count} warnings"), "chancery policy check"),
    }
}

fn sha256(bytes: &[u8]) -> Hash {
    chancery_authenticate::jose::sha256(bytes)
}

async fn port(config: &Config) -> Finding {
    match TcpListener::bind(config.listen).await {
        Ok(_) => look("server", format!("not running; {} is free", config.listen), "chancery serve"),
        Err(e) => bad("server", format!("not running, and {}: {e}", config.listen), "stop what listens there"),
    }
}

async fn running(context: &Context, config: &Config, status: &Value) -> Vec<Finding> {
    let url = status["url"].as_str().unwrap_or_default();
    let ready = match status["ready"].as_bool() {
        Some(true) => good("server", format!("running and ready at {url}")),
        _ => bad("server", format!("running at {url}, but everything is denied"), "chancery policy reload"),
    };
    vec![ready, log(context, status), secrets(context, config).await]
}

fn log(context: &Context, status: &Value) -> Finding {
    let size = &status["log"]["size"];
    let Some(signed) = status["log"]["checkpoint_at"].as_str().and_then(Timestamp::parse) else {
        return bad("log", "no checkpoint was signed yet", "look at the server's own log");
    };
    if signed > context.clock.now() + Span::minutes(1) {
        return bad("log", format!("the newest checkpoint is of the future: {signed}"), "set the clock");
    }
    good("log", format!("{size} entries in the signed tree"))
}

/// Every credential that the configuration injects must be stored.
async fn secrets(context: &Context, config: &Config) -> Finding {
    let wanted: BTreeSet<&str> =
        config.servers.values().filter_map(|s| Some(s.inject.as_ref()?.secret.as_str())).collect();
    let stored = match context.admin() {
        Ok(admin) => admin.get("/v1/secrets").await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let names: BTreeSet<&str> = items(&stored).iter().filter_map(|row| row["name"].as_str()).collect();
    let missing: Vec<&str> = wanted.difference(&names).copied().collect();
    match missing.first() {
        None => good("secrets", format!("{} of {} stored", wanted.len(), wanted.len())),
        Some(first) => {
            bad("secrets", format!("missing: {}", missing.join(", ")), format!("chancery secret set {first}"))
        }
    }
}

async fn upstream(context: &Context, name: &str, transport: &Transport) -> Finding {
    let check = format!("upstream {name}");
    match transport {
        Transport::Http(url) => reach(&check, url).await,
        Transport::Stdio(command) => {
            let base = command.cwd.clone().unwrap_or_default();
            match program(&command.program, &base, context.environment.path.as_deref().unwrap_or_default()) {
                Some(path) => good(&check, path.display().to_string()),
                None => bad(&check, format!("`{}` is not found", command.program), "install it, or mend `command`"),
            }
        }
    }
}

async fn reach(check: &str, url: &str) -> Finding {
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    match tokio::time::timeout(PATIENCE, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => good(check, format!("{url} accepts connections")),
        Ok(Err(e)) => bad(check, format!("{url}: {e}"), "start it, or mend `url`"),
        Err(_) => bad(check, format!("{url}: no answer in {} s", PATIENCE.as_secs()), "start it, or mend `url`"),
    }
}

/// Where a program is: as given, or in the search path.
fn program(name: &str, base: &Path, path: &str) -> Option<PathBuf> {
    let runs = |file: &PathBuf| mode(file).is_some_and(|mode| mode & 0o111 != 0) && file.is_file();
    if name.contains('/') {
        return Some(base.join(name)).filter(runs);
    }
    path.split(':').map(|folder| Path::new(folder).join(name)).find(runs)
}
