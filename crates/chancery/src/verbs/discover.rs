//! `chancery discover`: what acts here, and nobody registered.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chancery_connectors::{FingerprintKey, Options, Report, SCHEMA, scan};
use chancery_discover::{FILES, swept};
use chancery_model::Timestamp;
use chancery_model::problem::{BAD_FIELD, UNSAFE_CONFIG};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::encoded;
use crate::output::{Column, column, wide};

/// What can be discovered.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Read files and say which agents, servers, workloads and credentials they state, and what was not understood
    #[command(after_help = SCAN)]
    Scan(Scan),
    /// Print the JSON Schema of what `scan -o json` prints
    Schema,
    /// List what was looked at: the newest sweep of each source and scope
    Sweeps(Sweeps),
    /// Show one sweep, with everything it did not look at
    Sweep(Id),
    /// Say that what a sweep did not see, and held back because it is so much, is missing indeed
    Accept(Accept),
}

/// Gaps that are shown.
const SHOWN: usize = 10;

const SCAN: &str = "\
Needs no server and changes nothing, unless --submit hands what it saw to the server's inventory, each PATH as a scope
of the source `files`. Secrets are never printed: they have a fingerprint, which is the same for the
same secret under the same key. The key is made at the first scan; give all machines the same one to compare them.

Examples:
  chancery discover scan ~/src
  chancery discover scan ~/.cursor ~/.config -o json > inventory.json
  chancery discover scan --submit /etc /srv
  chancery discover scan . -o json | jq '.findings[] | select(.rule == \"SEC-1\")'";

/// Where to look, and how.
#[derive(Debug, Args)]
pub struct Scan {
    /// Files and directories
    #[arg(required = true, value_name = "PATH")]
    places: Vec<PathBuf>,
    /// Enter also installed packages, build output and version control
    #[arg(long)]
    all: bool,
    /// The file with the 32 bytes, in hex, under which secrets are fingerprinted
    #[arg(long, value_name = "FILE")]
    fingerprint_key: Option<PathBuf>,
    /// Hand what was seen to the server's inventory
    #[arg(long)]
    submit: bool,
    /// What the inventory calls this machine [default: its host name]
    #[arg(long, value_name = "NAME", requires = "submit")]
    host: Option<String>,
}

/// Which sweeps.
#[derive(Debug, Args)]
pub struct Sweeps {
    /// Earlier ones too
    #[arg(long)]
    all: bool,
}

/// One sweep.
#[derive(Debug, Args)]
pub struct Id {
    /// Its id: swp_…
    id: String,
}

/// Which one, and why.
#[derive(Debug, Args)]
pub struct Accept {
    /// Its id: swp_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const SWEEPS: &[Column] = &[
    column("ID", "/id"),
    column("SOURCE", "/source"),
    column("SCOPE", "/scope"),
    column("STATUS", "/status"),
    column("OBSERVED", "/observed_at"),
    column("SEEN", "/seen"),
    column("NEW", "/added"),
    column("CHANGED", "/changed"),
    column("MISSING", "/missing"),
    column("GONE", "/gone"),
    column("HELD", "/held"),
    wide("BY", "/by"),
    wide("WHY", "/why"),
];

const COLUMNS: &[Column] = &[
    column("KIND", "/kind"),
    column("NAME", "/name"),
    column("WHERE", "/path"),
    column("WITH", "/with"),
    column("CREDENTIALS", "/credentials"),
    wide("PLACE", "/pointer"),
    wide("ID", "/id"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Schema => context.output.text(SCHEMA),
        Verb::Scan(args) if args.submit => submit(context, args).await,
        Verb::Scan(args) => print(context, &read(context, args, &args.places)?),
        Verb::Sweeps(args) => {
            let path = if args.all { "/v1/sweeps?all=true" } else { "/v1/sweeps" };
            context.output.list(SWEEPS, items(&context.admin()?.get(path).await?))
        }
        Verb::Sweep(args) => {
            let sweep = context.admin()?.get(&format!("/v1/sweeps/{}", encoded(&args.id))).await?;
            context.output.item(SWEEPS, &sweep)?;
            tell_gaps(context, &sweep);
            Ok(())
        }
        Verb::Accept(args) => {
            let path = format!("/v1/sweeps/{}/accept", encoded(&args.id));
            context.output.item(SWEEPS, &context.admin()?.post(&path, &json!({"reason": args.reason})).await?)
        }
    }
}

fn read(context: &Context, args: &Scan, places: &[PathBuf]) -> Done<Report> {
    let key = fingerprint_key(context, args.fingerprint_key.as_deref())?;
    let options = Options { all: args.all, ..Options::default() };
    scan(places, options, &key).map_err(|e| Failure::file(&e.path, e.error))
}

/// Each place is a scope of its own: what one does not hold says nothing about another.
async fn submit(context: &Context, args: &Scan) -> Done {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => {
            let file = Path::new("/proc/sys/kernel/hostname");
            fs::read_to_string(file).map_err(|e| Failure::file(file, e))?.trim().to_owned()
        }
    };
    let mut sweeps = Vec::new();
    for place in &args.places {
        let whole = fs::canonicalize(place).map_err(|e| Failure::file(place, e))?;
        let observed_at = context.clock.now();
        let report = read(context, args, std::slice::from_ref(place))?;
        let scope = format!("{host}:{}", whole.display());
        let lines = lines(&report, &scope, observed_at)?;
        sweeps.push(context.admin()?.post_lines("/v1/sweeps", lines).await?);
    }
    context.output.list(SWEEPS, &sweeps)?;
    sweeps.iter().for_each(|sweep| tell_gaps(context, sweep));
    Ok(())
}

/// As the server takes a sweep: of what, what was seen, what was not, what was looked at.
fn lines(report: &Report, scope: &str, observed_at: Timestamp) -> Done<Vec<u8>> {
    let swept = swept(report, (FILES, scope)).map_err(|e| Failure::new(BAD_FIELD, e))?;
    let first = json!({"source": FILES, "scope": scope, "observed_at": observed_at.rfc3339()});
    let objects = swept.objects.iter().map(|object| json!({"object": object}));
    let gaps = swept.ended.gaps.iter().map(|gap| json!({"gap": gap}));
    let findings = swept.findings.iter().map(|finding| json!({"finding": finding}));
    let last = json!({"end": {"coverage": swept.ended.coverage, "why": swept.ended.why}});
    let mut text = Vec::new();
    for line in std::iter::once(first).chain(objects).chain(findings).chain(gaps).chain(std::iter::once(last)) {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// What a sweep did not look at, the first of it.
fn tell_gaps(context: &Context, sweep: &Value) {
    let gaps = sweep["gaps"].as_array().map_or(&[][..], Vec::as_slice);
    for gap in gaps.iter().take(SHOWN) {
        let text = |field: &str| gap[field].as_str().unwrap_or_default().to_owned();
        context.output.note(&format!("not looked at: {}: {}", text("path"), text("reason")));
    }
    if gaps.len() > SHOWN {
        context.output.note(&format!("and {} more: see `gaps` with -o json", gaps.len() - SHOWN));
    }
}

fn print(context: &Context, report: &Report) -> Done {
    if context.output.is_json() {
        return context.output.item(&[], &serde_json::to_value(report)?);
    }
    context.output.list(COLUMNS, &rows(report))?;
    summary(report).iter().for_each(|line| context.output.note(line));
    Ok(())
}

/// Identities and servers; a credential by itself is shown with whoever uses it, or in the JSON.
fn rows(report: &Report) -> Vec<Value> {
    let identities = report.identities.iter().map(|identity| {
        let with = identity.model.as_deref().unwrap_or(identity.framework);
        json!({"id": identity.id, "kind": identity.kind, "name": identity.name, "path": identity.source.path,
            "pointer": identity.source.pointer, "with": with, "credentials": identity.credentials.len()})
    });
    let servers = report.servers.iter().map(|server| {
        let package = server.package.as_ref().map(|package| package.name.clone());
        let with =
            package.or_else(|| server.url.clone()).or_else(|| server.command.as_ref().map(|words| words.join(" ")));
        json!({"id": server.id, "kind": "mcp_server", "name": server.name, "path": server.source.path,
            "pointer": server.source.pointer, "with": with, "credentials": server.credentials.len()})
    });
    identities.chain(servers).collect()
}

/// What was seen, and what was not.
fn summary(report: &Report) -> Vec<String> {
    let coverage = &report.coverage;
    let mut lines = vec![format!(
        "{} files: {} parsed, {} irrelevant, {} not understood; {} identities, {} servers, {} credentials, {} findings",
        coverage.files,
        coverage.parsed,
        coverage.irrelevant,
        coverage.gaps.len(),
        report.identities.len(),
        report.servers.len(),
        report.credentials.len(),
        report.findings.len()
    )];
    lines.extend(coverage.gaps.iter().take(SHOWN).map(|gap| format!("not understood: {}: {}", gap.path, gap.reason)));
    if coverage.gaps.len() > SHOWN {
        lines.push(format!("and {} more: see `coverage.gaps` with -o json", coverage.gaps.len() - SHOWN));
    }
    if !coverage.excluded.is_empty() {
        lines
            .push(format!("not entered: {} directories and links (--all enters directories)", coverage.excluded.len()));
    }
    lines
}

/// The key that was named, or this machine's own, which is made when there is none.
fn fingerprint_key(context: &Context, named: Option<&Path>) -> Done<FingerprintKey> {
    let own = context.environment.config_home().join("chancery/fingerprint.key");
    let path = named.unwrap_or(&own);
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => make(context, path)?,
        read => read.map_err(|e| Failure::file(path, e))?,
    };
    let mode = fs::metadata(path).map_err(|e| Failure::file(path, e))?.mode();
    if mode & 0o077 != 0 {
        let why = format!("{} can be read by others (mode {:o})", path.display(), mode & 0o777);
        return Err(Failure::new(UNSAFE_CONFIG, why).next(format!("chmod 600 {}", path.display())));
    }
    let key = bytes(text.trim()).ok_or_else(|| Failure::file(path, "not 32 bytes in hex"))?;
    Ok(FingerprintKey::new(&key))
}

fn make(context: &Context, path: &Path) -> Done<String> {
    let text: String = context.random.bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
    let write = || -> std::io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{text}")?;
        file.sync_all()
    };
    write().map_err(|e| Failure::file(path, e))?;
    Ok(text)
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}
