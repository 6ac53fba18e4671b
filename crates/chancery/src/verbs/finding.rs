//! `chancery finding`: what is wrong.

use clap::{Args, Subcommand};

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::query;
use crate::output::{Column, column, wide};

/// What can be done with findings.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List open findings
    #[command(after_help = "Examples:\n  chancery finding list\n  chancery finding list --all -o wide")]
    List(List),
}

/// Which findings.
#[derive(Debug, Args)]
pub struct List {
    /// Closed ones too
    #[arg(long)]
    all: bool,
}

const COLUMNS: &[Column] = &[
    column("RULE", "/rule"),
    column("SUBJECT", "/subject"),
    column("SEVERITY", "/severity"),
    column("EVIDENCE", "/evidence"),
    wide("OWASP", "/owasp"),
    wide("OPENED", "/opened_at"),
    wide("CLOSED", "/closed_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let Verb::List(args) = verb;
    let path = format!("/v1/findings{}", query(&[("all", args.all.then_some("true"))]));
    context.output.list(COLUMNS, items(&context.admin()?.get(&path).await?))
}
