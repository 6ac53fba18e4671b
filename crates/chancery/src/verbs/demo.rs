//! `chancery demo`: a server, a sample company behind it, and its agents at work.

use std::path::PathBuf;

use crate::context::Context;
use crate::demo;
use crate::failure::Done;

/// What to show.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chancery demo                 tell the story, then stay up until Ctrl-C\n  chancery demo --once          tell it and stop; fails if any step did not do what it should\n  chancery demo --data DIR      keep everything in DIR, which must be new"
)]
pub struct Args {
    /// Stop when the story is told
    #[arg(long)]
    pub once: bool,
    /// The directory of the sample company
    #[arg(long, value_name = "DIR", default_value = "examples/acme")]
    pub company: PathBuf,
}

/// Does it.
pub async fn run(context: &Context, args: &Args) -> Done {
    demo::run(context, args).await
}
