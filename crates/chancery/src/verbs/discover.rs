//! `chancery discover`: what acts here, and nobody registered.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chancery_connectors::{FingerprintKey, Options, Report, SCHEMA, scan};
use chancery_model::problem::UNSAFE_CONFIG;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::output::{Column, column, wide};

/// What can be discovered.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Read files and say which agents, servers, workloads and credentials they state, and what was not understood
    #[command(after_help = SCAN)]
    Scan(Scan),
    /// Print the JSON Schema of what `scan -o json` prints
    Schema,
}

const SCAN: &str = "\
Needs no server and changes nothing. Secrets are never printed: they have a fingerprint, which is the same for the
same secret under the same key. The key is made at the first scan; give all machines the same one to compare them.

Examples:
  chancery discover scan ~/src
  chancery discover scan ~/.cursor ~/.config -o json > inventory.json
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
}

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
pub fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Schema => context.output.text(SCHEMA),
        Verb::Scan(args) => {
            let key = fingerprint_key(context, args.fingerprint_key.as_deref())?;
            let options = Options { all: args.all, ..Options::default() };
            let report = scan(&args.places, options, &key).map_err(|e| Failure::file(&e.path, e.error))?;
            print(context, &report)
        }
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
    const SHOWN: usize = 10;
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
