//! `chancery approval`: calls that wait for people.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with requests for approval. Saying yes is for people, on the page of the request.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List what waits for people
    #[command(
        after_help = "Examples:\n  chancery approval list\n  chancery approval list --all --since 2026-11-01 -o wide"
    )]
    List(List),
    /// Show one request: what would run, who has to approve it, who said what
    #[command(after_help = "Examples:\n  chancery approval get apr_01kaq2v5m6e9v8t3r7h1c4d2ef -o json")]
    Get(Named),
    /// Take a request back: nobody is asked any more, and a yes that was said does not count
    Cancel(Cancel),
}

/// Which requests.
#[derive(Debug, Args)]
pub struct List {
    /// Decided ones too, newest first
    #[arg(long)]
    all: bool,
    /// Those made since this day or time [default: a week ago]
    #[arg(long, requires = "all", value_name = "TIME")]
    since: Option<String>,
}

/// One request.
#[derive(Debug, Args)]
pub struct Named {
    /// Its id: apr_…
    id: String,
}

/// One request, and why.
#[derive(Debug, Args)]
pub struct Cancel {
    /// Its id: apr_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("STATE", "/state"),
    column("AGENT", "/agent"),
    column("HUMAN", "/human"),
    column("SERVER", "/server"),
    column("TOOL", "/target"),
    column("ARGUMENTS", "/arguments"),
    column("EXPIRES", "/expires_at"),
    wide("REASON", "/reason"),
    wide("CREATED", "/created_at"),
    wide("DECIDED", "/decided_at"),
    wide("USED", "/used_at"),
    wide("DIGEST", "/digest"),
    wide("URL", "/url"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List(args) => {
            let all = args.all.then_some("true");
            let path = format!("/v1/approvals{}", query(&[("all", all), ("since", args.since.as_deref())]));
            context.output.list(COLUMNS, items(&context.admin()?.get(&path).await?))
        }
        Verb::Get(args) => {
            let path = format!("/v1/approvals/{}", encoded(&args.id));
            context.output.item(COLUMNS, &context.admin()?.get(&path).await?)
        }
        Verb::Cancel(args) => {
            let path = format!("/v1/approvals/{}/cancel", encoded(&args.id));
            context.output.item(COLUMNS, &context.admin()?.post(&path, &json!({"reason": args.reason})).await?)
        }
    }
}
