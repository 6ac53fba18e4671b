//! `chancery group`: people under one name.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a group with nobody in it
    #[command(after_help = EXAMPLES)]
    Create(Name),
    /// Put a person into a group
    Add(Member),
    /// Take a person out of a group
    Remove(Without),
    /// List groups and who is in them
    List,
}

const EXAMPLES: &str = "\
Examples:
  chancery group create ap-finance
  chancery group add ap-finance mara@example.com
A group can be the owner or sponsor of agents, and approvals can be asked of it.";

/// One group.
#[derive(Debug, Args)]
pub struct Name {
    /// The group's name; never reused
    name: String,
}

/// A person of a group.
#[derive(Debug, Args)]
pub struct Member {
    /// The group's name
    group: String,
    /// The person's name
    person: String,
}

/// A person who is to leave a group, and why.
#[derive(Debug, Args)]
pub struct Without {
    #[command(flatten)]
    which: Member,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] =
    &[column("NAME", "/name"), column("MEMBERS", "/members"), column("MADE", "/created_at"), wide("ID", "/id")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let admin = context.admin()?;
    let path = |of: &Member| format!("/v1/groups/{}/members/{}", encoded(&of.group), encoded(&of.person));
    match verb {
        Verb::Create(args) => {
            context.output.item(COLUMNS, &admin.post("/v1/groups", &json!({"name": args.name})).await?)
        }
        Verb::Add(of) => context.output.item(COLUMNS, &admin.put(&path(of), &json!({})).await?),
        Verb::Remove(Without { which, reason }) => {
            let path = format!("{}{}", path(which), query(&[("reason", reason.as_deref())]));
            context.output.item(COLUMNS, &admin.delete(&path).await?)
        }
        Verb::List => context.output.list(COLUMNS, items(&admin.get("/v1/groups").await?)),
    }
}
