//! `chancery reach`: questions to the identity graph.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::query;
use crate::output::{Column, column, wide};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// What something can reach, the nearest first
    #[command(after_help = EXAMPLES)]
    From(One),
    /// Who can reach something
    To(One),
    /// Who can act as somebody: who holds, or can come by, what logs in as them
    ActAs(One),
    /// A shortest way from one to the other
    Path(Two),
    /// What stops working when something is revoked, and who no longer reaches what
    Impact(One),
    /// Which people gain rights through an agent, and which rights
    Gains(One),
}

const EXAMPLES: &str = "\
A thing is named by its URN, or by its name where only one thing has it (`chancery inventory list --text NAME -o wide`).
Our own agents, people, servers and tools are in the graph too: `chancery::ai_agent:NAME`.

Examples:
  chancery reach from crm-assistant --hops 3
  chancery reach to billing --at 2026-11-01
  chancery reach path deploy.env billing
  chancery reach impact BILLING_API_KEY";

/// About one thing.
#[derive(Debug, Args)]
pub struct One {
    /// Its URN or name
    name: String,
    #[command(flatten)]
    bounds: Bounds,
}

/// About two.
#[derive(Debug, Args)]
pub struct Two {
    /// Who: URN or name
    from: String,
    /// What: URN or name
    to: String,
    #[command(flatten)]
    bounds: Bounds,
}

/// Of when, and how far.
#[derive(Debug, Args)]
pub struct Bounds {
    /// At most so many hops
    #[arg(long)]
    hops: Option<u32>,
    /// What held at this day or time
    #[arg(long)]
    at: Option<String>,
    /// As it was known at this day or time
    #[arg(long)]
    known: Option<String>,
}

const FOUND: &[Column] =
    &[column("HOPS", "/hops"), column("KIND", "/kind"), column("NAME", "/name"), wide("URN", "/urn")];
const WAY: &[Column] = &[column("HOP", "/hop"), column("KIND", "/kind"), column("NAME", "/name"), wide("URN", "/urn")];
const WITHOUT: &[Column] =
    &[column("WHO", "/who"), column("KIND", "/kind"), column("NAME", "/name"), wide("URN", "/urn")];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    let (question, of, to, bounds) = match verb {
        Verb::From(one) => ("reach", &one.name, None, &one.bounds),
        Verb::To(one) => ("who-reaches", &one.name, None, &one.bounds),
        Verb::ActAs(one) => ("acts-as", &one.name, None, &one.bounds),
        Verb::Path(two) => ("path", &two.from, Some(two.to.as_str()), &two.bounds),
        Verb::Impact(one) => ("breaks", &one.name, None, &one.bounds),
        Verb::Gains(one) => ("gains", &one.name, None, &one.bounds),
    };
    let hops = bounds.hops.map(|hops| hops.to_string());
    let parameters = query(&[
        ("of", Some(of)),
        ("to", to),
        ("hops", hops.as_deref()),
        ("at", bounds.at.as_deref()),
        ("known", bounds.known.as_deref()),
    ]);
    let answer = context.admin()?.get(&format!("/v1/graph/{question}{parameters}")).await?;
    if context.output.is_json() {
        return context.output.item(&[], &answer);
    }
    show(context, verb, &answer)
}

fn show(context: &Context, verb: &Verb, answer: &Value) -> Done {
    match verb {
        Verb::Path(_) => {
            if answer["way"].is_null() {
                context.output.note("there is no way");
            }
            context.output.list(WAY, &way(&answer["way"]))?;
        }
        Verb::Gains(_) => context.output.list(WITHOUT, &without(answer))?,
        Verb::Impact(_) => {
            context.output.list(FOUND, &named(items(answer).to_vec()))?;
            let lost = without(answer);
            if !lost.is_empty() {
                context.output.note("who no longer reaches what:");
                context.output.list(WITHOUT, &lost)?;
            }
        }
        Verb::From(_) | Verb::To(_) | Verb::ActAs(_) => context.output.list(FOUND, &named(items(answer).to_vec()))?,
    }
    if answer["complete"] == false {
        context.output.note("there is more: ask within fewer hops");
    }
    Ok(())
}

/// What nobody saw has no name but its URN.
fn named(found: Vec<Value>) -> Vec<Value> {
    let name = |mut one: Value| {
        if one["name"].is_null() {
            one["name"] = one["urn"].clone();
        }
        one
    };
    found.into_iter().map(name).collect()
}

/// `from`, then each hop as rights flow.
fn way(way: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    if way.is_object() {
        rows.extend(named(vec![way["from"].clone()]));
    }
    for hop in way["hops"].as_array().into_iter().flatten() {
        let kind = hop["kind"].as_str().unwrap_or_default();
        let mut row = named(vec![hop["to"].clone()]);
        row[0]["hop"] = json!(if hop["against"] == true { format!("<- {kind}") } else { format!("{kind} ->") });
        rows.append(&mut row);
    }
    rows
}

fn without(answer: &Value) -> Vec<Value> {
    let all = answer["without"].as_array().into_iter().flatten();
    let of = |one: &Value| {
        let who = named(vec![one["who"].clone()])[0]["name"].clone();
        let what = one["what"].as_array().cloned().unwrap_or_default();
        named(what).into_iter().map(move |mut what| {
            what["who"] = who.clone();
            what
        })
    };
    all.flat_map(of).collect()
}
