//! `chancery admin`: how the first administrator comes in.

use clap::{Args, Subcommand};
use serde_json::json;

use super::person::LINKS;
use crate::context::Context;
use crate::failure::Done;

/// What can be done for administrators. On the host only.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make somebody administrator, with a one-time link to sign in and register a passkey
    #[command(after_help = SETUP)]
    SetupLink(Who),
}

const SETUP: &str = "\
Examples:
  chancery admin setup-link mara@example.com
The link is good once and for 15 minutes. Until an administrator has a passkey it opens only in a browser on this host.
Make another one here whenever it is needed: it voids the one before.";

/// Who is to be administrator.
#[derive(Debug, Args)]
pub struct Who {
    /// Their name in the directory, or their e-mail address, in lower case; they are added if they are not there
    name: String,
    /// How they are shown to others, if they are added
    #[arg(long, value_name = "TEXT")]
    display: Option<String>,
}

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let Verb::SetupLink(who) = verb;
    let body = json!({"name": who.name, "display": who.display});
    context.output.item(LINKS, &context.admin()?.post("/v1/admin/setup-link", &body).await?)
}
