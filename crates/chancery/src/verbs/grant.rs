//! `chancery grant`: given rights.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::agent::{Until, items};
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with grants.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Give a right: link a policy template to a principal and a resource
    #[command(after_help = CREATE)]
    Create(Create),
    /// List grants
    List(List),
    /// Take a right back; the next call feels it
    Revoke(Revoke),
}

const CREATE: &str = "\
Examples:
  chancery grant create --template tools-call --agent crm-assistant --server crm --why 'ticket 118'
  chancery grant create --template tools-call --agent crm-assistant --server billing --tool get_invoice --why '…' --days 30
  chancery grant create --template tools-call --principal 'Group::\"support\"' --resource 'Server::\"crm\"' --why '…'";

/// The fields of a new grant.
#[derive(Debug, Args)]
pub struct Create {
    /// The @id of the policy template
    #[arg(long)]
    template: String,
    /// The agent that receives it
    #[arg(long, value_name = "NAME", required_unless_present = "principal", conflicts_with = "principal")]
    agent: Option<String>,
    /// Any other principal, written as in policies
    #[arg(long, value_name = "ENTITY")]
    principal: Option<String>,
    /// The server it is about
    #[arg(long, value_name = "NAME", required_unless_present = "resource", conflicts_with = "resource")]
    server: Option<String>,
    /// Only this tool of the server
    #[arg(long, value_name = "NAME", requires = "server")]
    tool: Option<String>,
    /// Any other resource, written as in policies
    #[arg(long, value_name = "ENTITY")]
    resource: Option<String>,
    /// Whether the agent acts for a human or by itself
    #[arg(long, value_enum, default_value_t = Mode::Autonomous)]
    mode: Mode,
    /// Why it is given; stands in the log
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    until: Until,
}

/// For whom an agent acts.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Mode {
    /// Only on behalf of a human
    OnBehalfOf,
    /// By itself
    Autonomous,
}

/// Which grants.
#[derive(Debug, Args)]
pub struct List {
    /// Only those of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Those that give nothing any more, too
    #[arg(long)]
    all: bool,
}

/// One grant.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Its id: grt_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("TEMPLATE", "/template"),
    column("PRINCIPAL", "/principal"),
    column("RESOURCE", "/resource"),
    column("MODE", "/mode"),
    column("EXPIRES", "/expires_at"),
    wide("WHY", "/justification"),
    wide("GRANTED BY", "/granted_by"),
    wide("CREATED", "/created_at"),
    wide("REVOKED", "/revoked_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Create(args) => create(context, args).await,
        Verb::List(args) => list(context, args).await,
        Verb::Revoke(args) => {
            let path = format!("/v1/grants/{}{}", encoded(&args.id), query(&[("reason", args.reason.as_deref())]));
            context.output.item(COLUMNS, &context.admin()?.delete(&path).await?)
        }
    }
}

async fn create(context: &Context, args: &Create) -> Done {
    let body = json!({
        "template": args.template,
        "principal": args.principal()?,
        "resource": args.resource()?,
        "mode": args.mode.to_possible_value().map(|v| v.get_name().to_owned()),
        "justification": args.why,
        "expires_at": args.until.time(context)?,
    });
    context.output.item(COLUMNS, &context.admin()?.post("/v1/grants", &body).await?)
}

async fn list(context: &Context, args: &List) -> Done {
    let all = args.all.then_some("true");
    let path = format!("/v1/grants{}", query(&[("agent", args.agent.as_deref()), ("all", all)]));
    context.output.list(COLUMNS, items(&context.admin()?.get(&path).await?))
}

impl Create {
    fn principal(&self) -> Done<String> {
        match (&self.principal, &self.agent) {
            (Some(entity), _) => Ok(entity.clone()),
            (None, Some(name)) => Ok(entity("Agent", name)),
            (None, None) => Err(Failure::usage("neither --agent nor --principal is given")),
        }
    }

    fn resource(&self) -> Done<String> {
        match (&self.resource, &self.server, &self.tool) {
            (Some(entity), ..) => Ok(entity.clone()),
            (None, Some(server), Some(tool)) => Ok(entity("Tool", &format!("{server}/{tool}"))),
            (None, Some(server), None) => Ok(entity("Server", server)),
            (None, None, _) => Err(Failure::usage("neither --server nor --resource is given")),
        }
    }
}

/// An entity as policies write it.
fn entity(kind: &str, id: &str) -> String {
    format!("{kind}::\"{}\"", id.replace('\\', "\\\\").replace('"', "\\\""))
}
