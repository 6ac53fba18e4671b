//! `chancery drill`: the kill switch, exercised on an agent that is stopped for it and let go at once.

use clap::Args;
use serde_json::json;

use super::containment::{millis, tell_points};
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::output::{Column, column, wide};

/// Which agent is stopped for it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Drill {
    /// The agent's name or id: one whose sessions may end
    agent: String,
    /// Do not stop: its sessions end
    #[arg(long, short)]
    yes: bool,
}

const EXAMPLES: &str = "\
Examples:
  chancery agent register canary --sponsor mara@example.com --owner lee@example.com --purpose 'is stopped in drills'
  chancery drill canary --yes

The switch is thrown as in an emergency, waited for, and lifted. People are told over the channels that want it.
`chancery oversight` shows how long it took.";

const COLUMNS: &[Column] = &[
    column("AGENT", "/agent"),
    column("ACKNOWLEDGED", "/acknowledged"),
    column("TOOK US", "/took_us"),
    column("ENTRY", "/entry"),
    wide("CONTAINMENT", "/containment"),
];

/// Runs it.
pub async fn run(context: &Context, args: &Drill) -> Done {
    if !args.yes {
        return Err(Failure::usage(format!("this ends the sessions of `{}`: say --yes", args.agent)));
    }
    let drilled = context.admin()?.post("/v1/drills", &json!({"agent": args.agent})).await?;
    context.output.item(COLUMNS, &drilled)?;
    tell_points(context, &drilled);
    context.output.note(&match drilled["acknowledged"] == true {
        true => format!("acknowledged after {}, and lifted", millis(&drilled["took_us"])),
        false => "not everything confirmed that it stopped: look at it before you need it".to_owned(),
    });
    Ok(())
}
