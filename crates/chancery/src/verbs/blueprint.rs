//! `chancery blueprint`: what many instances have in common.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::{Because, Name, Until, items};
use super::manifest::{self, Review};
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::encoded;
use crate::output::{Column, column, wide};

/// What can be done with blueprints.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a blueprint, with the people who answer for its instances
    #[command(
        after_help = "Examples:\n  chancery blueprint create crm --sponsor mara@example.com --owner lee@example.com --purpose 'answers customers'"
    )]
    Create(Create),
    /// List blueprints
    List,
    /// Show one blueprint
    Show(Name),
    /// Stop all instances at once: their next calls are refused, whatever they hold
    #[command(after_help = "Examples:\n  chancery blueprint suspend crm --reason 'a bad prompt went out'")]
    Suspend(Because),
    /// Let all instances go on; their sessions from before stay ended
    Resume(Because),
    /// Register instances
    #[command(after_help = INSTANTIATE)]
    Instantiate(Instantiate),
    /// Show what instances are to be made of, and what was stated that is not approved; approve it
    #[command(
        after_help = "Examples:\n  chancery blueprint manifest crm\n  chancery blueprint manifest crm --file manifest.json"
    )]
    Manifest(Review),
}

const INSTANTIATE: &str = "\
Examples:
  chancery blueprint instantiate crm --count 10000            crm-00001 and on
  chancery blueprint instantiate crm --name crm-berlin --name crm-oslo --codes
  chancery blueprint instantiate crm --names-file names.txt
Up to 1,000 are registered at once, all of them or none; more take several requests.";

/// The fields of a new blueprint.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name: lower-case letters, digits and `-`; never reused
    name: String,
    /// The accountable business person of its instances
    #[arg(long)]
    sponsor: String,
    /// The technical keeper of its instances
    #[arg(long)]
    owner: String,
    /// Why its instances exist, in a sentence
    #[arg(long)]
    purpose: String,
    /// How many days an instance lives if nothing else is said [default: 90]
    #[arg(long)]
    days: Option<u32>,
}

/// New instances.
#[derive(Debug, Args)]
pub struct Instantiate {
    /// The blueprint's name
    blueprint: String,
    /// The name of one instance; may be given again
    #[arg(long = "name", value_name = "NAME", conflicts_with_all = ["count", "names_file"])]
    names: Vec<String>,
    /// A file with names, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    names_file: Option<PathBuf>,
    /// How many, numbered after the highest number there is
    #[arg(long)]
    count: Option<usize>,
    /// What stands before the numbers [default: the blueprint's name]
    #[arg(long, requires = "count")]
    prefix: Option<String>,
    /// Make a one-time enrolment code for each
    #[arg(long)]
    codes: bool,
    #[command(flatten)]
    until: Until,
}

const COLUMNS: &[Column] = &[
    column("NAME", "/name"),
    column("STATE", "/state"),
    column("SPONSOR", "/sponsor"),
    column("OWNER", "/owner"),
    column("PURPOSE", "/purpose"),
    wide("LIFETIME SECONDS", "/lifetime_seconds"),
    wide("MANIFEST", "/manifest"),
    wide("EPOCH", "/epoch"),
    wide("CREATED", "/created_at"),
    wide("ID", "/id"),
];

const INSTANCES: &[Column] = &[column("NAME", "/name"), column("ID", "/id"), column("CODE", "/code")];

/// How many instances one request registers.
const AT_ONCE: usize = 1_000;

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Create(args) => create(context, args).await,
        Verb::List => context.output.list(COLUMNS, items(&context.admin()?.get("/v1/blueprints").await?)),
        Verb::Show(args) => show(context, &context.admin()?.get(&path(&args.name, "")).await?),
        Verb::Suspend(args) => step(context, args, "/suspend").await,
        Verb::Resume(args) => step(context, args, "/resume").await,
        Verb::Instantiate(args) => instantiate(context, args).await,
        Verb::Manifest(args) => manifest::review(context, &path(&args.name, "/manifest"), args).await,
    }
}

async fn create(context: &Context, args: &Create) -> Done {
    let body = json!({
        "name": args.name, "sponsor": args.sponsor, "owner": args.owner, "purpose": args.purpose,
        "lifetime_days": args.days,
    });
    show(context, &context.admin()?.post("/v1/blueprints", &body).await?)
}

async fn step(context: &Context, args: &Because, step: &str) -> Done {
    let body = json!({"reason": args.reason});
    show(context, &context.admin()?.post(&path(&args.name, step), &body).await?)
}

async fn instantiate(context: &Context, args: &Instantiate) -> Done {
    let until = args.until.time(context)?;
    let (mut made, mut failed) = (Vec::new(), None);
    for mut body in args.requests()? {
        body["codes"] = json!(args.codes);
        body["expires_at"] = json!(until);
        match context.admin()?.post(&path(&args.blueprint, "/instances"), &body).await {
            Ok(answer) => made.extend_from_slice(items(&answer)),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    // What earlier requests registered is there, and its codes are shown this once.
    match failed {
        Some(failure) if made.is_empty() => Err(failure),
        failed => {
            context.output.list(INSTANCES, &made)?;
            failed.map_or(Ok(()), Err)
        }
    }
}

fn show(context: &Context, blueprint: &Value) -> Done {
    context.output.item(COLUMNS, blueprint)
}

fn path(name: &str, step: &str) -> String {
    format!("/v1/blueprints/{}{step}", encoded(name))
}

impl Instantiate {
    /// One body a request.
    fn requests(&self) -> Done<Vec<Value>> {
        if let Some(count) = self.count {
            let whole = std::iter::repeat_n(AT_ONCE, count / AT_ONCE);
            let rest = std::iter::once(count % AT_ONCE).filter(|rest| *rest > 0 || count == 0);
            return Ok(whole.chain(rest).map(|count| json!({"count": count, "prefix": self.prefix})).collect());
        }
        let names = match &self.names_file {
            None => self.names.clone(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
                text.split_whitespace().map(str::to_owned).collect()
            }
        };
        if names.is_empty() {
            return Err(Failure::usage("none of --name, --names-file and --count is given"));
        }
        Ok(names.chunks(AT_ONCE).map(|names| json!({"names": names})).collect())
    }
}
