//! `chancery approval`: calls that wait for people.

use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::items;
use crate::context::Context;
use crate::failure::Done;
use crate::http::{encoded, query};
use crate::output::{Column, column, wide};

/// What can be done with requests for approval. Saying yes is for people, on the page of the request.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List what waits for people
    #[command(
        after_help = "Examples:\n  chancery approval list\n  chancery approval list --all --since 2026-11-01 -o wide"
    )]
    List(List),
    /// Show one request: what would run, who has to approve it, who said what
    #[command(after_help = "Examples:\n  chancery approval get apr_01kaq2v5m6e9v8t3r7h1c4d2ef -o json")]
    Get(Named),
    /// Take a request back: nobody is asked any more, and a yes that was said does not count
    Cancel(Cancel),
    /// Show how people decide: how fast, and how often others decided otherwise
    #[command(after_help = "Examples:\n  chancery approval metrics\n  chancery approval metrics --since 2026-11-01")]
    Metrics(Metrics),
    /// Say who decides in somebody's place for a while
    #[command(subcommand)]
    StandIn(StandIn),
}

/// Since when.
#[derive(Debug, Args)]
pub struct Metrics {
    /// What was asked for since this day or time [default: thirty days ago]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Who decides in whose place.
#[derive(Debug, Subcommand)]
pub enum StandIn {
    /// Name one: from when until when
    #[command(after_help = "Examples:\n  chancery approval stand-in name mara@example.com fin@example.com \\\n    \
                            --until 2026-12-01 --reason 'on holiday'")]
    Name(Name),
    /// List those that are in force or will be
    List(Listed),
    /// End one before its time
    End(End),
}

/// Who, for whom, and when.
#[derive(Debug, Args)]
pub struct Name {
    /// In whose place
    person: String,
    /// Who decides for them
    deputy: String,
    /// From this day or time on [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this day or time
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: String,
}

/// Which ones.
#[derive(Debug, Args)]
pub struct Listed {
    /// Those that are over too, newest first
    #[arg(long)]
    all: bool,
}

/// Which one, and why.
#[derive(Debug, Args)]
pub struct End {
    /// Its id: sti_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

/// Which requests.
#[derive(Debug, Args)]
pub struct List {
    /// Decided ones too, newest first
    #[arg(long)]
    all: bool,
    /// Those made since this day or time [default: a week ago]
    #[arg(long, requires = "all", value_name = "TIME")]
    since: Option<String>,
}

/// One request.
#[derive(Debug, Args)]
pub struct Named {
    /// Its id: apr_…
    id: String,
}

/// One request, and why.
#[derive(Debug, Args)]
pub struct Cancel {
    /// Its id: apr_…
    id: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("STATE", "/state"),
    column("AGENT", "/agent"),
    column("HUMAN", "/human"),
    column("SERVER", "/server"),
    column("TOOL", "/target"),
    column("ARGUMENTS", "/arguments"),
    column("EXPIRES", "/expires_at"),
    wide("REASON", "/reason"),
    wide("DRY RUN", "/dry_run/foretold"),
    wide("CREATED", "/created_at"),
    wide("DECIDED", "/decided_at"),
    wide("USED", "/used_at"),
    wide("DIGEST", "/digest"),
    wide("URL", "/url"),
];

const METRICS: &[Column] = &[
    column("PERSON", "/person"),
    column("DECISIONS", "/decisions"),
    column("APPROVED", "/approved"),
    column("MEDIAN S", "/median_seconds"),
    column("UNDER 3 S", "/under_3_s"),
    column("OVERRIDDEN", "/overridden"),
    wide("TIMED", "/timed"),
];

const STAND_INS: &[Column] = &[
    column("ID", "/id"),
    column("PERSON", "/person"),
    column("DEPUTY", "/deputy"),
    column("IN FORCE", "/in_force"),
    column("FROM", "/from"),
    column("UNTIL", "/until"),
    column("REASON", "/reason"),
    wide("BY", "/by"),
    wide("NAMED", "/at"),
    wide("ENDED", "/ended_at"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::List(args) => {
            let all = args.all.then_some("true");
            let path = format!("/v1/approvals{}", query(&[("all", all), ("since", args.since.as_deref())]));
            context.output.list(COLUMNS, items(&context.admin()?.get(&path).await?))
        }
        Verb::Get(args) => {
            let path = format!("/v1/approvals/{}", encoded(&args.id));
            context.output.item(COLUMNS, &context.admin()?.get(&path).await?)
        }
        Verb::Cancel(args) => {
            let path = format!("/v1/approvals/{}/cancel", encoded(&args.id));
            context.output.item(COLUMNS, &context.admin()?.post(&path, &json!({"reason": args.reason})).await?)
        }
        Verb::Metrics(args) => {
            let path = format!("/v1/approvals/metrics{}", query(&[("since", args.since.as_deref())]));
            context.output.list(METRICS, items(&context.admin()?.get(&path).await?))
        }
        Verb::StandIn(verb) => stand_in(context, verb).await,
    }
}

async fn stand_in(context: &Context, verb: &StandIn) -> Done {
    let admin = context.admin()?;
    match verb {
        StandIn::Name(args) => {
            let body = json!({
                "person": args.person, "deputy": args.deputy, "from": args.from, "until": args.until, "reason": args.reason,
            });
            context.output.item(STAND_INS, &admin.post("/v1/stand-ins", &body).await?)
        }
        StandIn::List(args) => {
            let all = args.all.then_some("true");
            let path = format!("/v1/stand-ins{}", query(&[("all", all)]));
            context.output.list(STAND_INS, items(&admin.get(&path).await?))
        }
        StandIn::End(args) => {
            let path = format!("/v1/stand-ins/{}/end", encoded(&args.id));
            context.output.item(STAND_INS, &admin.post(&path, &json!({"reason": args.reason})).await?)
        }
    }
}
