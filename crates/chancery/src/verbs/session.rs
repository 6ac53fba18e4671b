//! `chancery session`: bounded runs of agents.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with sessions.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List open sessions
    List(List),
    /// End a session: its next call is refused
    #[command(
        after_help = "Examples:\n  chancery session list --agent crm-assistant -o name | xargs -n1 chancery session end"
    )]
    End(End),
}

/// Which sessions.
#[derive(Debug, Args)]
pub struct List {
    /// Only those of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only those in this person's name
    #[arg(long, value_name = "NAME")]
    human: Option<String>,
    /// Ended ones of the agent too
    #[arg(long, requires = "agent")]
    all: bool,
}

/// One session.
#[derive(Debug, Args)]
pub struct End {
    /// Its id: ses_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("AGENT", "/agent_name"),
    column("HUMAN", "/human"),
    column("STATE", "/state"),
    column("IN FORCE", "/in_force"),
    column("OPENED", "/opened_at"),
    column("USED", "/used_at"),
    column("ENDS", "/ends_at"),
    column("PURPOSE", "/purpose"),
    column("INSTANCE", "/instance"),
    wide("HANGS ON", "/parent"),
    wide("MANIFEST", "/manifest"),
    wide("EPOCH", "/epoch"),
    wide("AGENT ID", "/agent"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List(args) => {
            let all = args.all.then_some("true");
            let path = format!(
                "/v1/sessions{}",
                query(&[("agent", args.agent.as_deref()), ("human", args.human.as_deref()), ("all", all)])
            );
            context.output.list(COLUMNS, items(&context.admin()?.get(&path).await?))
        }
        Verb::End(args) => {
            let path = format!("/v1/sessions/{}/end", encoded(&args.id));
            context.output.item(COLUMNS, &context.admin()?.post(&path, &json!({"reason": args.reason})).await?)
        }
    }
}
