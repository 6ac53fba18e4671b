//! `chancery policy`: the rules.

use std::path::PathBuf;

use chancery_authorize::files::{self, Ran};
use chancery_authorize::{Diagnostic, Files, Sources};
use chancery_model::problem::{POLICY_FORM, POLICY_SYNTAX, POLICY_TEST, row};
use chancery_model::{Hash, Timestamp, Tool};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::output::{Column, column, wide};

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check a directory as loading it would
    #[command(after_help = "Examples:\n  chancery policy check\n  chancery policy check policies/ -o json")]
    Check(Directory),
    /// Run the test files of a directory
    #[command(after_help = "Examples:\n  chancery policy test\n  chancery policy test policies/ -o jsonl")]
    Test(Directory),
    /// Format the policy files of a directory
    #[command(
        after_help = "Examples:\n  chancery policy fmt\n  chancery policy fmt --check      for continuous integration"
    )]
    Fmt(Fmt),
    /// Put the server's policy files in force again: all of them, or none
    Reload,
    /// Which set is in force, and what should be looked at
    Status,
    /// Print the schema, the actions of a running server's pinned tools included
    #[command(
        after_help = "Examples:\n  chancery policy schema\n  chancery policy schema --base > policies/chancery.cedarschema"
    )]
    Schema(Schema),
}

/// Which directory.
#[derive(Debug, Args)]
pub struct Directory {
    /// The directory [default: `policies` of the configuration]
    directory: Option<PathBuf>,
}

/// How to format.
#[derive(Debug, Args)]
pub struct Fmt {
    #[command(flatten)]
    directory: Directory,
    /// Change nothing; fail if something would change
    #[arg(long)]
    check: bool,
}

/// Which part.
#[derive(Debug, Args)]
pub struct Schema {
    #[command(flatten)]
    directory: Directory,
    /// Only the part that every directory starts from
    #[arg(long)]
    base: bool,
}

const DIAGNOSTICS: &[Column] = &[
    column("FILE", "/file"),
    column("LINE", "/line"),
    column("CODE", "/code"),
    column("SEVERITY", "/severity"),
    column("MESSAGE", "/message"),
    wide("SUGGESTION", "/suggestion"),
];

const TESTS: &[Column] =
    &[column("TEST", "/name"), column("RESULT", "/result"), column("FILE", "/file"), column("WHY", "/why")];

const STATUS: &[Column] = &[
    column("VERSION", "/version"),
    column("LOADED", "/loaded_at"),
    column("LAST ATTEMPT FAILED", "/failed"),
    column("TEMPLATES", "/templates"),
    column("UNINDEXED", "/unindexed"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Check(args) => check(context, args).await,
        Verb::Test(args) => test(context, args).await,
        Verb::Fmt(args) => fmt(context, args),
        Verb::Reload => status(context, &context.admin()?.post("/v1/policies/reload", &Value::Null).await?),
        Verb::Status => status(context, &context.admin()?.get("/v1/policies").await?),
        Verb::Schema(args) => schema(context, args).await,
    }
}

fn status(context: &Context, status: &Value) -> Done {
    context.output.item(STATUS, status)?;
    for remark in status["remarks"].as_array().into_iter().flatten() {
        let message = remark["message"].as_str().unwrap_or_default();
        context.output.note(&format!("{}: {message}", remark["file"].as_str().unwrap_or_default()));
    }
    Ok(())
}

async fn schema(context: &Context, args: &Schema) -> Done {
    if args.base {
        return context.output.text(files::BASE_SCHEMA);
    }
    let (_, files) = args.directory.read(context)?;
    let (servers, tools) = (servers(context), tools(context).await);
    context.output.text(&files::schema(&Sources { files: &files, servers: &servers, tools: &tools, hash: sha256 }))
}

async fn check(context: &Context, args: &Directory) -> Done {
    let (_, files) = args.read(context)?;
    let (servers, tools) = (servers(context), tools(context).await);
    let found = files::check(&Sources { files: &files, servers: &servers, tools: &tools, hash: sha256 });
    show(context, &found)?;
    if files::fatal(&found) {
        return Err(refused(&found));
    }
    let (policies, warnings) = (files.policies().count(), found.len());
    context.output.note(&format!("{policies} policy files would come into force, {warnings} warnings"));
    Ok(())
}

async fn test(context: &Context, args: &Directory) -> Done {
    let (_, files) = args.read(context)?;
    let (servers, tools) = (servers(context), tools(context).await);
    let sources = Sources { files: &files, servers: &servers, tools: &tools, hash: sha256 };
    let ran = match files::test(&sources, context.clock.now()) {
        Ok(ran) => ran,
        Err(found) => {
            show(context, &found)?;
            return Err(refused(&found));
        }
    };
    let rows: Vec<Value> = ran.iter().map(told).collect();
    context.output.list(TESTS, &rows)?;
    let failed = ran.iter().filter(|one| one.failure.is_some()).count();
    match failed {
        0 => {
            context.output.note(&format!("{} tests passed", ran.len()));
            Ok(())
        }
        _ => Err(Failure::new(POLICY_TEST, format!("{failed} of {} tests failed", ran.len()))),
    }
}

fn told(one: &Ran) -> Value {
    let result = if one.failure.is_some() { "failed" } else { "passed" };
    json!({"name": one.name, "file": one.file, "result": result, "why": one.failure.as_ref().map(|d| &d.message)})
}

fn fmt(context: &Context, args: &Fmt) -> Done {
    let (directory, _) = args.directory.read(context)?;
    let done = files::fmt(&directory, !args.check).map_err(|e| Failure::file(&directory, e))?;
    let changed = match done {
        Ok(changed) => changed,
        Err(found) => {
            show(context, &found)?;
            return Err(refused(&found));
        }
    };
    for file in &changed {
        context.output.text(&format!("{file}\n"))?;
    }
    if args.check && !changed.is_empty() {
        let why = format!("{} files are not written as the formatter writes them", changed.len());
        return Err(Failure::new(POLICY_FORM, why).next("run `chancery policy fmt`"));
    }
    Ok(())
}

fn show(context: &Context, found: &[Diagnostic]) -> Done {
    if context.global().output.is_some() {
        let rows: Result<Vec<Value>, _> = found.iter().map(serde_json::to_value).collect();
        return context.output.list(DIAGNOSTICS, &rows?);
    }
    found.iter().try_for_each(|one| context.output.text(&format!("{one}\n")))
}

fn refused(found: &[Diagnostic]) -> Failure {
    let fatal = || found.iter().filter(|one| one.severity == chancery_authorize::Severity::Error);
    let known = fatal().next().and_then(|one| row(one.code)).copied().unwrap_or(POLICY_SYNTAX);
    Failure::new(known, format!("{} errors: nothing would come into force", fatal().count()))
}

/// Policies may speak of the servers of the configuration; without one of none.
fn servers(context: &Context) -> Vec<String> {
    context.config().map(|config| config.servers.keys().cloned().collect()).unwrap_or_default()
}

/// The tools that a running server knows; none without one, and policies about tools then wait.
async fn tools(context: &Context) -> Vec<Tool> {
    let Ok(admin) = context.admin() else { return Vec::new() };
    let found = admin.get("/v1/tools").await.unwrap_or_default();
    items(&found).iter().filter_map(known).collect()
}

fn known(row: &Value) -> Option<Tool> {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    Some(Tool {
        server: text("server")?,
        name: text("name")?,
        state: serde_json::from_value(row["state"].clone()).ok()?,
        // Nothing was approved of a tool that has none.
        digest: text("digest").and_then(|digest| unhex(&digest)).unwrap_or_default(),
        definition: text("definition").unwrap_or_default(),
        seen: None,
        since: text("since_at").and_then(|at| Timestamp::parse(&at))?,
    })
}

fn unhex(text: &str) -> Option<Hash> {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

fn sha256(bytes: &[u8]) -> Hash {
    chancery_authenticate::jose::sha256(bytes)
}

impl Directory {
    fn read(&self, context: &Context) -> Done<(PathBuf, Files)> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => context.config()?.policies,
        };
        let files = Files::read(&directory).map_err(|e| Failure::file(&directory, e))?;
        Ok((directory, files))
    }
}
