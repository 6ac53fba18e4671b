//! `chancery inventory`: what other systems have, as sweeps saw it.

use clap::{Args, Subcommand, ValueEnum};

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List objects, in the order in which they became known
    #[command(
        after_help = "Examples:\n  chancery inventory list --kind ai_agent\n  chancery inventory list --state missing -o wide\n  chancery inventory list --text billing"
    )]
    List(List),
    /// Show one object with everything that is known of it
    Show(Named),
    /// What was known of an object when, oldest first
    History(Named),
}

/// Whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// The last sweep that could have seen it saw it
    Present,
    /// A complete sweep did not see it
    Missing,
    /// Two complete sweeps in a row did not see it
    Gone,
}

/// Which objects.
#[derive(Debug, Args)]
pub struct List {
    /// Of this kind, for instance `ai_agent`, `credential`, `mcp_server`, `service_account`
    #[arg(long)]
    kind: Option<String>,
    /// Of this source, for instance `files`
    #[arg(long)]
    source: Option<String>,
    /// In this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// With this in their name
    #[arg(long)]
    text: Option<String>,
    /// After the object with this number
    #[arg(long)]
    after: Option<u64>,
    /// At most so many, up to 1000 [default: 1000]
    #[arg(long)]
    limit: Option<u32>,
}

/// One object.
#[derive(Debug, Args)]
pub struct Named {
    /// Its URN: source:scope:kind:id
    urn: String,
}

const COLUMNS: &[Column] = &[
    column("KIND", "/kind"),
    column("NAME", "/name"),
    column("SOURCE", "/source"),
    column("STATE", "/state"),
    column("ADOPTED BY", "/adopted_by"),
    column("LAST SEEN", "/last_seen"),
    wide("FIRST SEEN", "/first_seen"),
    wide("CHANGED", "/changed_at"),
    wide("SCOPE", "/scope"),
    wide("WITHIN", "/within"),
    wide("URN", "/urn"),
    wide("NUMBER", "/number"),
];

const HISTORY: &[Column] = &[
    column("OBSERVED", "/observed_at"),
    column("RECORDED", "/recorded_at"),
    column("STATE", "/state"),
    column("NAME", "/is/name"),
    column("SWEEP", "/sweep"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let admin = context.admin()?;
    match verb {
        Verb::List(args) => {
            let state = args.state.and_then(|state| state.to_possible_value().map(|value| value.get_name().to_owned()));
            let (after, limit) = (args.after.map(|n| n.to_string()), args.limit.map(|n| n.to_string()));
            let path = query(&[
                ("kind", args.kind.as_deref()),
                ("source", args.source.as_deref()),
                ("state", state.as_deref()),
                ("text", args.text.as_deref()),
                ("after", after.as_deref()),
                ("limit", limit.as_deref()),
            ]);
            context.output.list(COLUMNS, items(&admin.get(&format!("/v1/objects{path}")).await?))
        }
        Verb::Show(args) => {
            context.output.item(COLUMNS, &admin.get(&format!("/v1/objects/{}", encoded(&args.urn))).await?)
        }
        Verb::History(args) => {
            let path = format!("/v1/objects/{}/history", encoded(&args.urn));
            context.output.list(HISTORY, items(&admin.get(&path).await?))
        }
    }
}
