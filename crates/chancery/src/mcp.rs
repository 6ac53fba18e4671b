//! `chancery mcp`: connecting MCP clients.

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Done;

mod bridge;
mod clients;
mod config;

/// What can be done for MCP clients.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print, or write, what a client needs to reach a server through the gateway
    Config(config::Args),
    /// A stdio MCP server that any client can start: it holds the agent's key and adds the proofs
    Bridge(bridge::Args),
}

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Config(args) => config::run(context, args),
        Verb::Bridge(args) => bridge::run(context, args).await,
    }
}
