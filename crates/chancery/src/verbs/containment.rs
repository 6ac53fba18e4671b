//! `chancery kill`, `chancery unkill` and `chancery containment`: the kill switch.

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// One agent, by name or id
    Agent,
    /// One instance of a blueprint, or one running copy of an agent: AGENT/COPY
    Instance,
    /// Every agent whose owner or sponsor this is
    Owner,
    /// Every instance of a blueprint
    Blueprint,
    /// One session and every session below it
    Session,
    /// One tool for everybody: SERVER/TOOL
    Tool,
    /// One upstream server for everybody
    Server,
    /// Every agent
    Everything,
}

/// What is to stop, and why.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Kill {
    /// What kind of thing
    #[arg(value_enum)]
    scope: Scope,
    /// Which one; left out for everything
    #[arg(required_if_eq_any = NAMED.map(|scope| ("scope", scope)))]
    name: Option<String>,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
    /// Only say what it would stop
    #[arg(long)]
    dry_run: bool,
    /// Do not ask first
    #[arg(long, short)]
    yes: bool,
}

/// Everything but everything has a name.
const NAMED: [&str; 7] = ["agent", "instance", "owner", "blueprint", "session", "tool", "server"];

const EXAMPLES: &str = "\
Examples:
  chancery kill agent crm-assistant --reason 'odd calls since noon'
  chancery kill blueprint crm --reason 'a bad prompt went out' --yes
  chancery kill tool billing/refund --dry-run
  chancery kill everything --reason 'the signing key is out' --yes

It returns when nothing of it can do anything any more. What an upstream was sent before may have happened.";

/// What goes on, and why.
#[derive(Debug, Args)]
pub struct Unkill {
    /// Its id: ctm_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: String,
}

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List what is contained
    List(List),
    /// Show one containment
    Get(Id),
}

/// Which containments.
#[derive(Debug, Args)]
pub struct List {
    /// Those that were lifted too
    #[arg(long)]
    all: bool,
}

/// One containment.
#[derive(Debug, Args)]
pub struct Id {
    /// Its id: ctm_…
    id: String,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("SCOPE", "/scope"),
    column("SUBJECT", "/subject"),
    column("IN FORCE", "/in_force"),
    column("SINCE", "/at"),
    column("BY", "/by"),
    column("REASON", "/reason"),
    wide("LIFTED", "/lifted_at"),
    wide("LIFTED BY", "/lifted_by"),
    wide("LIFT REASON", "/lift_reason"),
];

const PREVIEW: &[Column] = &[
    column("SCOPE", "/scope"),
    column("SUBJECT", "/subject"),
    column("ALREADY", "/already"),
    column("AGENTS", "/agents"),
    column("SESSIONS", "/sessions"),
    column("CALLS", "/calls"),
    column("CONNECTIONS", "/connections"),
    column("PROCESSES", "/processes"),
];

/// Throws the switch.
pub async fn kill(context: &Context, args: &Kill) -> Done {
    let body =
        json!({"scope": args.scope.name(), "subject": args.name.as_deref().unwrap_or(""), "reason": args.reason});
    if args.dry_run || !args.yes {
        let preview = context.admin()?.post("/v1/containments/preview", &body).await?;
        if args.dry_run {
            return context.output.item(PREVIEW, &preview);
        }
        confirm(context, &preview)?;
    }
    let thrown = context.admin()?.post("/v1/containments", &body).await?;
    context.output.item(COLUMNS, &thrown)?;
    tell(context, &thrown);
    Ok(())
}

/// Lets something go again.
pub async fn unkill(context: &Context, args: &Unkill) -> Done {
    let path = format!("/v1/containments/{}/lift", encoded(&args.id));
    let lifted = context.admin()?.post(&path, &json!({"reason": args.reason})).await?;
    context.output.item(COLUMNS, &lifted)?;
    context.output.note(match lifted["already"] == true {
        true => "it was lifted before",
        false => "it goes on; sessions from before stay ended",
    });
    Ok(())
}

/// Looks at it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List(args) => {
            let path = format!("/v1/containments{}", query(&[("all", args.all.then_some("true"))]));
            context.output.list(COLUMNS, items(&context.admin()?.get(&path).await?))
        }
        Verb::Get(args) => {
            let path = format!("/v1/containments/{}", encoded(&args.id));
            context.output.item(COLUMNS, &context.admin()?.get(&path).await?)
        }
    }
}

/// Asks whoever is there. Nobody is there in a script, which says so.
fn confirm(context: &Context, preview: &Value) -> Done {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::usage("nobody is there to be asked: say --yes, or look first with --dry-run"));
    }
    context.output.note(&format!("this stops {}: {}. Go on? [y/N]", named(preview), counted(preview)));
    let mut answer = String::new();
    input.lock().read_line(&mut answer).map_err(|e| Failure::usage(format!("standard input: {e}")))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::usage("not confirmed")) }
}

fn named(preview: &Value) -> String {
    match (preview["scope"].as_str(), preview["subject"].as_str()) {
        (Some("everything"), _) => "everything".to_owned(),
        (Some(scope), Some(subject)) => format!("{scope} {subject}"),
        _ => "it".to_owned(),
    }
}

fn counted(preview: &Value) -> String {
    let parts = ["agents", "sessions", "calls", "connections", "processes", "approvals"];
    let parts = parts.map(|what| format!("{} {what}", preview[what].as_u64().unwrap_or(0)));
    parts.join(", ")
}

/// Who has confirmed, and when.
fn tell(context: &Context, thrown: &Value) {
    let note = |text: String| context.output.note(&text);
    if thrown["already"] == true {
        note("it was contained before".to_owned());
    }
    tell_points(context, thrown);
    note(format!("acknowledged after {}", millis(&thrown["took_us"])));
}

/// Each place that confirmed.
pub(super) fn tell_points(context: &Context, thrown: &Value) {
    for point in thrown["confirmations"].as_array().into_iter().flatten() {
        let (name, stopped) = (point["point"].as_str().unwrap_or_default(), point["stopped"].as_u64().unwrap_or(0));
        let what = if name == "record" { "durable, and in force".to_owned() } else { format!("{stopped} stopped") };
        context.output.note(&format!("{name:<12} {:>9}  {what}", millis(&point["after_us"])));
    }
}

pub(super) fn millis(micros: &Value) -> String {
    let micros = micros.as_i64().unwrap_or(0);
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

impl Scope {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
