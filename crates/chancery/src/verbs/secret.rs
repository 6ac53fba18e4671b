//! `chancery secret`: credentials of upstream servers. They go in and never come out.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::encoded;
use crate::output::{Column, column};

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Store a secret, read from standard input
    #[command(
        after_help = "Examples:\n  chancery secret set billing < key.txt\n  pass show acme/billing | chancery secret set billing"
    )]
    Set(Name),
    /// List the names of stored secrets
    List,
    /// Remove a secret: requests that need it fail from now on
    Delete(Name),
}

/// One secret.
#[derive(Debug, Args)]
pub struct Name {
    /// Its name, as `inject.secret` of the configuration says it
    name: String,
}

const COLUMNS: &[Column] = &[column("NAME", "/name"), column("VERSION", "/version"), column("SET", "/set_at")];

/// More is no credential.
const LONGEST: u64 = 64 * 1024;

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Set(args) => {
            let body = json!({"value": read_value(context)?});
            let path = format!("/v1/secrets/{}", encoded(&args.name));
            context.output.item(COLUMNS, &context.admin()?.put(&path, &body).await?)
        }
        Verb::List => context.output.list(COLUMNS, items(&context.admin()?.get("/v1/secrets").await?)),
        Verb::Delete(args) => {
            context.admin()?.delete(&format!("/v1/secrets/{}", encoded(&args.name))).await?;
            context.output.note(&format!("removed {}", args.name));
            Ok(())
        }
    }
}

fn read_value(context: &Context) -> Done<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        context.output.note("type or paste the secret, then Ctrl-D on a line of its own (it will be visible):");
    }
    let mut text = String::new();
    let read = input.take(LONGEST).read_to_string(&mut text);
    read.map_err(|e| Failure::usage(format!("standard input: {e}")))?;
    let value = text.trim_end_matches(['\r', '\n']).to_owned();
    if value.is_empty() { Err(Failure::usage("standard input is empty")) } else { Ok(value) }
}
