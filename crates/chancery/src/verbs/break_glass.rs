//! `chancery break-glass`: a person as administrator for a while.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::encoded;
use crate::output::{Column, column, wide};

/// What can be done about it.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a person an administrator for a while; on the record, and to be reviewed
    #[command(
        after_help = "Examples:\n  chancery break-glass open mara@example.com --reason 'nobody else is awake' --minutes 30"
    )]
    Open(Open),
    /// List all there ever were
    List,
    /// End one before its time
    End(End),
    /// Say what you found about what was done under it; its finding closes
    Review(Review),
}

/// Who, and why.
#[derive(Debug, Args)]
pub struct Open {
    /// The person's name
    person: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: String,
    /// For how long, at most 480 [default: 60]
    #[arg(long)]
    minutes: Option<u32>,
}

/// Which one, and why.
#[derive(Debug, Args)]
pub struct End {
    /// Its id: bgl_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

/// Which one, and what was found.
#[derive(Debug, Args)]
pub struct Review {
    /// Its id: bgl_…
    id: String,
    /// What you found; stands in the log
    #[arg(long)]
    note: String,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("PERSON", "/person"),
    column("OPEN", "/open"),
    column("UNTIL", "/until"),
    column("REVIEWED BY", "/reviewed_by"),
    column("REASON", "/reason"),
    wide("OPENED", "/at"),
    wide("OPENED BY", "/by"),
    wide("ENDED", "/ended_at"),
    wide("REVIEWED", "/reviewed_at"),
    wide("REVIEW", "/review"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let admin = context.admin()?;
    let path = |id: &str, step: &str| format!("/v1/break-glass/{}/{step}", encoded(id));
    match verb {
        Verb::Open(args) => {
            let body = json!({"person": args.person, "reason": args.reason, "minutes": args.minutes});
            context.output.item(COLUMNS, &admin.post("/v1/break-glass", &body).await?)
        }
        Verb::List => context.output.list(COLUMNS, items(&admin.get("/v1/break-glass").await?)),
        Verb::End(args) => {
            let body = json!({"reason": args.reason});
            context.output.item(COLUMNS, &admin.post(&path(&args.id, "end"), &body).await?)
        }
        Verb::Review(args) => {
            let body = json!({"note": args.note});
            context.output.item(COLUMNS, &admin.post(&path(&args.id, "review"), &body).await?)
        }
    }
}
