//! `chancery channel`: whom the server tells what happens, and what became of it.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with channels.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the channels of the configuration, and how they stand
    List,
    /// List what was told and what waits to be, newest first
    #[command(after_help = "Examples:\n  chancery channel deliveries --channel pager --state waiting")]
    Deliveries(Deliveries),
    /// Send a message that says that it is a test, and show what became of it
    Test(Name),
    /// Try again at once what waits or was given up; a channel that said it is gone is taken to be back
    Retry(Retry),
}

/// Which messages.
#[derive(Debug, Args)]
pub struct Deliveries {
    /// Only those to this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = ["waiting", "delivered", "failed"])]
    state: Option<String>,
    /// How many at the most
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

/// One channel.
#[derive(Debug, Args)]
pub struct Name {
    /// Its name, as the configuration says it
    name: String,
}

/// One channel's messages.
#[derive(Debug, Args)]
pub struct Retry {
    /// The channel's name
    name: String,
    /// Only this message: d-…
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

const CHANNELS: &[Column] = &[
    column("NAME", "/name"),
    column("KIND", "/kind"),
    column("STATE", "/state"),
    column("WAITING", "/waiting"),
    column("FAILED", "/failed"),
    column("DELIVERED", "/delivered_at"),
    wide("EVENTS", "/events"),
    wide("GONE", "/gone_at"),
];

const DELIVERIES: &[Column] = &[
    column("CHANNEL", "/channel"),
    column("ID", "/id"),
    column("EVENT", "/event"),
    column("STATE", "/state"),
    column("ATTEMPTS", "/attempts"),
    column("ANSWER", "/answer"),
    column("NEXT", "/next_at"),
    wide("ABOUT", "/about"),
    wide("COMMITTED", "/committed_at"),
    wide("ENDED", "/ended_at"),
];

const TRIED: &[Column] = &[column("CHANNEL", "/channel"), column("MESSAGES", "/messages")];

/// How often a test is looked for, and how many times.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 50;

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List => context.output.list(CHANNELS, items(&context.admin()?.get("/v1/channels").await?)),
        Verb::Deliveries(args) => {
            let limit = args.limit.map(|limit| limit.to_string());
            let (channel, state) = (args.channel.as_deref(), args.state.as_deref());
            let wanted = query(&[("channel", channel), ("state", state), ("limit", limit.as_deref())]);
            let found = context.admin()?.get(&format!("/v1/deliveries{wanted}")).await?;
            context.output.list(DELIVERIES, items(&found))
        }
        Verb::Test(args) => test(context, &args.name).await,
        Verb::Retry(args) => {
            let path = format!("/v1/channels/{}/retry", encoded(&args.name));
            context.output.item(TRIED, &context.admin()?.post(&path, &json!({"id": args.id})).await?)
        }
    }
}

/// Sends it, and waits a little for its first attempt.
async fn test(context: &Context, name: &str) -> Done {
    let sent = context.admin()?.post(&format!("/v1/channels/{}/test", encoded(name)), &json!({})).await?;
    let path = format!("/v1/deliveries{}", query(&[("channel", Some(name))]));
    for _ in 0..LOOKS {
        let found: Value = context.admin()?.get(&path).await?;
        let tried = items(&found).iter().find(|one| one["id"] == sent["id"] && one["attempts"] != 0);
        if let Some(tried) = tried {
            return context.output.item(DELIVERIES, tried);
        }
        tokio::time::sleep(LOOK).await;
    }
    context.output.note(&format!("{} still waits for its first attempt: chancery channel deliveries", sent["id"]));
    Ok(())
}
