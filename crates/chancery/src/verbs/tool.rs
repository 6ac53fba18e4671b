//! `chancery tool`: pinned definitions.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::query;
use crate::output::{Column, column, wide};

/// What can be done with tools.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List tools
    List(List),
    /// Approve the definition that was seen last; until then the tool is neither listed nor callable
    #[command(
        after_help = "Examples:\n  chancery tool list --state quarantined -o wide\n  chancery tool approve billing refund"
    )]
    Approve(Approve),
}

/// Which tools.
#[derive(Debug, Args)]
pub struct List {
    /// Only those of this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = ["pinned", "quarantined"])]
    state: Option<String>,
}

/// One tool.
#[derive(Debug, Args)]
pub struct Approve {
    /// The server that defines it
    server: String,
    /// Its name there
    tool: String,
    /// Only if the definition seen last has this digest
    #[arg(long)]
    digest: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("TOOL", "/qualified"),
    column("STATE", "/state"),
    column("DESCRIPTION", "/description"),
    wide("DIGEST", "/digest"),
    wide("SEEN", "/seen_digest"),
    wide("SINCE", "/since_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List(args) => {
            let path =
                format!("/v1/tools{}", query(&[("server", args.server.as_deref()), ("state", args.state.as_deref())]));
            let found: Value = context.admin()?.get(&path).await?;
            context.output.list(COLUMNS, items(&found))
        }
        Verb::Approve(args) => {
            let body = json!({"server": args.server, "tool": args.tool, "digest": args.digest});
            context.output.item(COLUMNS, &context.admin()?.post("/v1/tools/approve", &body).await?)
        }
    }
}
