//! `chancery proposal`: changes that wait for a second person.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::encoded;
use crate::output::{Column, column, wide};

/// What can be done with proposals.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List those that wait
    List,
    /// Confirm one: it is run, in the name of whoever proposed it
    #[command(after_help = EXAMPLES)]
    Confirm(Id),
    /// Take one back: it is not run any more
    Withdraw(Id),
}

const EXAMPLES: &str = "\
Examples:
  chancery proposal list -o wide          look at the body: that is what would be run
  chancery proposal confirm prp_01k…
Whoever may open the admin socket could do it without anybody. The record says that the host confirmed it.";

/// One proposal.
#[derive(Debug, Args)]
pub struct Id {
    /// Its id: prp_…
    id: String,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("VERB", "/verb"),
    column("PROPOSED BY", "/proposed_by"),
    column("EXPIRES", "/expires_at"),
    column("REQUEST", "/uri"),
    wide("METHOD", "/method"),
    wide("BODY", "/body"),
    wide("DIGEST", "/digest"),
    wide("CREATED", "/created_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let admin = context.admin()?;
    let path = |id: &str, what: &str| format!("/v1/proposals/{}/{what}", encoded(id));
    match verb {
        Verb::List => context.output.list(COLUMNS, items(&admin.get("/v1/proposals").await?)),
        Verb::Confirm(args) => {
            let answer = admin.post(&path(&args.id, "confirm"), &json!({})).await?;
            context.output.text(&format!("{answer}\n"))?;
            context.output.note("confirmed, and run");
            Ok(())
        }
        Verb::Withdraw(args) => {
            context.output.item(COLUMNS, &admin.post(&path(&args.id, "withdraw"), &json!({})).await?)?;
            context.output.note("it will not be run");
            Ok(())
        }
    }
}
