//! `chancery connection`: credentials of upstream servers that are obtained by OAuth.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with connections.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the servers that are connected by OAuth, and those that wait for it
    List,
    /// Let somebody authorize a connection: prints the address to open, and waits
    #[command(
        after_help = "Examples:\n  chancery connection authorize crm\n  chancery connection authorize crm --no-wait -o json"
    )]
    Authorize(Authorize),
    /// Cut a connection: requests to the server are refused from now on
    Disconnect(Disconnect),
}

/// Which connection.
#[derive(Debug, Args)]
pub struct Authorize {
    /// The server
    server: String,
    /// Only print the address
    #[arg(long)]
    no_wait: bool,
}

/// Which connection.
#[derive(Debug, Args)]
pub struct Disconnect {
    /// The server
    server: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("SERVER", "/server"),
    column("STATE", "/state"),
    column("MODE", "/mode"),
    column("ISSUER", "/issuer"),
    column("EXPIRES", "/expires_at"),
    column("DETAIL", "/detail"),
    wide("CLIENT", "/client_id"),
    wide("CONNECTED", "/connected_at"),
];

const BEGUN: &[Column] =
    &[column("OPEN", "/url"), column("ISSUER", "/issuer"), column("CLIENT", "/client_id"), column("SCOPES", "/scopes")];

const CONNECTED: &[Column] = &[column("SERVER", "/server"), column("STATE", "/state")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List => context.output.list(COLUMNS, items(&context.admin()?.get("/v1/connections").await?)),
        Verb::Authorize(args) => authorize(context, args).await,
        Verb::Disconnect(args) => {
            let reason = query(&[("reason", args.reason.as_deref())]);
            context.admin()?.delete(&format!("/v1/connections/{}{reason}", encoded(&args.server))).await?;
            context.output.note(&format!("disconnected {}", args.server));
            Ok(())
        }
    }
}

async fn authorize(context: &Context, args: &Authorize) -> Done {
    let path = format!("/v1/connections/{}/authorize", encoded(&args.server));
    let begun = context.admin()?.post(&path, &json!({})).await?;
    if args.no_wait {
        return context.output.item(BEGUN, &begun);
    }
    let text = |name: &str| begun[name].as_str().unwrap_or_default().to_owned();
    if begun["url"].is_string() {
        let (issuer, url) = (text("issuer"), text("url"));
        context.output.note(&format!("open this address in a browser and authorize at {issuer}:\n{url}"));
    }
    let waiting = format!("{path}/{}", encoded(&text("id")));
    loop {
        let progress: Value = context.admin()?.get(&waiting).await?;
        if progress["state"] != "waiting" {
            return context.output.item(CONNECTED, &progress);
        }
    }
}
