//! `chancery key`: the keys that sign our tokens.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::context::Context;
use crate::failure::Done;
use crate::output::{Column, column};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a new key that signs tokens; it happens by itself every 30 days
    #[command(
        after_help = "Examples:\n  chancery key rotate               tokens that are out stay good\n  chancery key rotate --at-once     the key may be in other hands: every token that is out is refused"
    )]
    Rotate(Rotate),
}

/// What becomes of the key before.
#[derive(Debug, Args)]
pub struct Rotate {
    /// Refuse every token that the key before signed, instead of letting it verify for another hour
    #[arg(long)]
    at_once: bool,
}

const COLUMNS: &[Column] = &[column("KEY", "/kid"), column("ALGORITHM", "/alg")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let Verb::Rotate(args) = verb;
    let made = context.admin()?.post("/v1/keys/rotate", &json!({"at_once": args.at_once})).await?;
    context.output.list(COLUMNS, made["keys"].as_array().map_or(&[], Vec::as_slice))
}
