//! `chancery signal`: security events to others and from others.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::encoded;
use crate::output::{Column, column, wide};

/// What can be done with signals.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the streams over which others are told what happens here
    Streams,
    /// Pause, disable or enable a stream; its receiver is told
    #[command(after_help = "Examples:\n  chancery signal set str_… paused --reason \"maintenance until ten\"")]
    Set(Set),
    /// List events of others that wait for a human, because their transmitter sent too many at once
    Held,
    /// Do what a held event asks for
    #[command(after_help = "Examples:\n  chancery signal apply hld_… --reason \"the breach is real\"")]
    Apply(Decide),
    /// Let a held event be
    Dismiss(Decide),
    /// Make a new key that signs events; it happens by itself every 90 days
    Rotate(Rotate),
}

/// What a stream is to be.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Status {
    /// Events go over it
    Enabled,
    /// They wait
    Paused,
    /// They do not, and none is kept
    Disabled,
}

/// One stream.
#[derive(Debug, Args)]
pub struct Set {
    /// Its id: str_…
    id: String,
    /// What it is to be
    status: Status,
    /// Why; its receiver is told, and it stands in the log
    #[arg(long)]
    reason: String,
}

/// One held event.
#[derive(Debug, Args)]
pub struct Decide {
    /// Its id: hld_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

/// What becomes of the key before.
#[derive(Debug, Args)]
pub struct Rotate {
    /// Publish the key before no more, instead of for another week
    #[arg(long)]
    at_once: bool,
}

const STREAMS: &[Column] = &[
    column("ID", "/id"),
    column("RECEIVER", "/receiver_name"),
    column("STATUS", "/status"),
    column("WAITING", "/waiting"),
    column("DELIVERY", "/delivery/method"),
    wide("ENDPOINT", "/delivery/endpoint"),
    wide("AUDIENCE", "/audience"),
    wide("REASON", "/reason"),
    wide("VERIFIED", "/verified_at"),
];

const STATUS: &[Column] = &[column("ID", "/stream_id"), column("STATUS", "/status"), column("REASON", "/reason")];

const HELD: &[Column] = &[
    column("ID", "/id"),
    column("TRANSMITTER", "/transmitter"),
    column("EVENT", "/event"),
    column("PERSON", "/person"),
    column("ACTION", "/action"),
    column("CAME", "/received_at"),
    wide("REASON", "/reason"),
    wide("APPLIED", "/applied"),
];

const KEYS: &[Column] = &[column("KEY", "/kid"), column("ALGORITHM", "/alg")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let admin = context.admin()?;
    let decide = async |args: &Decide, what: &str| {
        let path = format!("/v1/signals/held/{}/{what}", encoded(&args.id));
        admin.post(&path, &json!({"reason": args.reason})).await
    };
    match verb {
        Verb::Streams => context.output.list(STREAMS, items(&admin.get("/v1/signals/streams").await?)),
        Verb::Set(args) => {
            let status = args.status.to_possible_value().map(|value| value.get_name().to_owned());
            let path = format!("/v1/signals/streams/{}/status", encoded(&args.id));
            context.output.item(STATUS, &admin.post(&path, &json!({"status": status, "reason": args.reason})).await?)
        }
        Verb::Held => context.output.list(HELD, items(&admin.get("/v1/signals/held").await?)),
        Verb::Apply(args) => context.output.item(HELD, &decide(args, "apply").await?),
        Verb::Dismiss(args) => context.output.item(HELD, &decide(args, "dismiss").await?),
        Verb::Rotate(args) => {
            let made = admin.post("/v1/signals/keys/rotate", &json!({"at_once": args.at_once})).await?;
            context.output.list(KEYS, made["keys"].as_array().map_or(&[], Vec::as_slice))
        }
    }
}
