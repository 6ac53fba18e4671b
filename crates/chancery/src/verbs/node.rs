//! `chancery node`: processes that share one database.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::encoded;
use crate::output::{Column, column};

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the nodes, and whether each may act at this moment
    List,
    /// Make a token with which one node can join, once, within an hour
    #[command(
        after_help = "Examples:\n  chancery node token > join    then `join_file = \"join\"` in the table `node` of the new node's file"
    )]
    Token,
    /// Make a node leave for good: it ends, and its number is nobody's
    Leave(Name),
}

/// One node.
#[derive(Debug, Args)]
pub struct Name {
    /// Its name
    name: String,
}

const COLUMNS: &[Column] = &[
    column("NUMBER", "/number"),
    column("NAME", "/name"),
    column("ADDRESS", "/address"),
    column("ROLE", "/role"),
    column("STATE", "/state"),
    column("STARTED", "/started_at"),
    column("SEEN", "/seen_at"),
];

const TOKEN: &[Column] = &[column("TOKEN", "/token")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List => context.output.list(COLUMNS, items(&context.admin()?.get("/v1/nodes").await?)),
        Verb::Token => context.output.item(TOKEN, &context.admin()?.post("/v1/nodes/tokens", &json!({})).await?),
        Verb::Leave(args) => {
            let path = format!("/v1/nodes/{}/leave", encoded(&args.name));
            context.admin()?.post(&path, &json!({})).await?;
            context.output.note(&format!("{} has left", args.name));
            Ok(())
        }
    }
}
