//! `chancery log`: the record.

use std::io::Write;
use std::path::{Path, PathBuf};

use chancery_model::problem::{BAD_ANSWER, VERIFY_FAILED};
use chancery_tlog::VerifierKey;
use chancery_verify::{Options, Report};
use clap::{Args, Subcommand};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::agent::items;
use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::http::{encoded, query};
use crate::output::{Column, Output, column, wide};
use crate::progress;

/// What can be done with the log.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the newest entries, and with -f those that come
    #[command(after_help = TAIL)]
    Tail(Box<Tail>),
    /// Verify the whole log: every hash, chain, body and signature
    #[command(
        after_help = "Examples:\n  chancery log verify\n  chancery log verify --checkpoint yesterday.note     it must have grown from that one"
    )]
    Verify(Verify),
    /// Prove that an entry is in the signed tree
    #[command(after_help = "Examples:\n  chancery log prove d-00001k > d-00001k.proof")]
    Prove(Id),
    /// Write everything into one file that verifies offline
    #[command(after_help = "Examples:\n  chancery log export -o acme.bundle && chancery-verify acme.bundle")]
    Export(Export),
    /// Print the newest signed checkpoint; keep it somewhere else
    #[command(after_help = "Examples:\n  chancery log checkpoint > $(date +%F).note")]
    Checkpoint,
    /// Erase a body of an entry; every proof still holds
    #[command(
        after_help = "Examples:\n  chancery log erase d-00001k --body arguments --reason 'request of the person, ticket 7'"
    )]
    Erase(Erase),
}

const TAIL: &str = "\
Examples:
  chancery log tail -f
  chancery log tail --agent crm-assistant --decision deny --since 2026-11-01
  chancery log tail -n 1000 -o jsonl";

/// Which entries.
#[derive(Debug, Args)]
pub struct Tail {
    /// Go on with those that come
    #[arg(short, long)]
    follow: bool,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    lines: usize,
    /// Only this agent's
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only what was done in this person's name
    #[arg(long, value_name = "NAME")]
    human: Option<String>,
    /// Only what was done under this break-glass: bgl_…
    #[arg(long, value_name = "ID")]
    break_glass: Option<String>,
    /// Only what somebody of this name stands in the delegation chain of
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
    /// Only this server's
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only this tool's
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only this session's
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only this running copy's, as the agent named it
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only these decisions
    #[arg(long, value_parser = ["allow", "deny", "require_approval", "step_up"])]
    decision: Option<String>,
    /// Only entries of this kind
    #[arg(long, value_parser = ["decision", "intent", "outcome", "change"])]
    kind: Option<String>,
    /// Not older than this
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Older than this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Against what.
#[derive(Debug, Args)]
pub struct Verify {
    /// An older checkpoint that the log must have grown from
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// One entry.
#[derive(Debug, Args)]
pub struct Id {
    /// Its id: d-…
    id: String,
}

/// Where to.
#[derive(Debug, Args)]
pub struct Export {
    /// The file to be written
    #[arg(id = "output", short = 'o', long = "output", value_name = "BUNDLE")]
    to: String,
}

/// What is erased.
#[derive(Debug, Args)]
pub struct Erase {
    /// The entry: d-…
    id: String,
    /// Which body: arguments, result, context, question, input, dry_run
    #[arg(long, value_name = "NAME")]
    body: String,
    /// Why; stands in the log
    #[arg(long)]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("ID", "/id"),
    column("TIME", "/at"),
    column("KIND", "/kind"),
    column("WHAT", "/sentence"),
    column("CODE", "/reasons"),
    wide("SESSION", "/session"),
    wide("POLICIES", "/policies"),
    wide("GRANTS", "/grants"),
    wide("REASON", "/reason"),
    wide("DETAIL", "/detail"),
];

const PROOF: &[Column] = &[column("ID", "/id"), column("LEAF", "/index"), column("OF", "/size"), column("KEY", "/key")];

const ERASED: &[Column] = &[column("ID", "/id"), column("BODY", "/body"), column("RECORDED", "/recorded")];

const VERIFIED: &[Column] = &[
    column("VERIFIED", "/ok"),
    column("ORIGIN", "/origin"),
    column("ENTRIES", "/entries"),
    column("BODIES", "/bodies"),
    column("ERASED", "/erased"),
];

/// Does it.
pub async fn run(context: &Context, verb: &Verb) -> Done {
    match verb {
        Verb::Tail(args) => tail(context, args).await,
        Verb::Verify(args) => verify(context, args).await,
        Verb::Prove(args) => prove(context, args).await,
        Verb::Export(args) => export(context, args).await,
        Verb::Checkpoint => checkpoint(context).await,
        Verb::Erase(args) => {
            let body = json!({"body": args.body, "reason": args.reason});
            let path = format!("/v1/log/{}/erase", encoded(&args.id));
            context.output.item(ERASED, &context.admin()?.post(&path, &body).await?)
        }
    }
}

async fn tail(context: &Context, args: &Tail) -> Done {
    let admin = context.admin()?;
    let filter = |limit: Option<&str>| {
        query(&[
            ("agent", args.agent.as_deref()),
            ("human", args.human.as_deref()),
            ("break_glass", args.break_glass.as_deref()),
            ("chain", args.chain.as_deref()),
            ("server", args.server.as_deref()),
            ("tool", args.tool.as_deref()),
            ("session", args.session.as_deref()),
            ("instance", args.instance.as_deref()),
            ("decision", args.decision.as_deref()),
            ("kind", args.kind.as_deref()),
            ("since", args.since.as_deref()),
            ("until", args.until.as_deref()),
            ("limit", limit),
        ])
    };
    // Following begins before looking back, so that nothing falls between the two.
    let coming = if args.follow { Some(admin.stream(&format!("/v1/log/follow{}", filter(None))).await?) } else { None };
    let found = admin.get(&format!("/v1/log{}", filter(Some(&args.lines.to_string())))).await?;
    let Some(coming) = coming else { return context.output.list(COLUMNS, items(&found)) };
    let newest = items(&found).last().map(|row| row["id"].clone());
    items(&found).iter().try_for_each(|row| context.output.event(COLUMNS, row))?;
    follow(&context.output, coming, newest).await
}

async fn follow(output: &Output, mut coming: Incoming, mut skip_to: Option<Value>) -> Done {
    let mut buffer = Vec::new();
    while let Some(frame) = coming.frame().await {
        let frame = frame.map_err(|e| Failure::new(BAD_ANSWER, e))?;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let row: Value = serde_json::from_slice(&line)?;
            if skip_to.as_ref() == Some(&row["id"]) {
                skip_to = None;
                continue;
            }
            output.event(COLUMNS, &row)?;
        }
    }
    Ok(())
}

async fn prove(context: &Context, args: &Id) -> Done {
    let proof = context.admin()?.get(&format!("/v1/log/proof/{}", encoded(&args.id))).await?;
    if context.global().output.is_some() {
        return context.output.item(PROOF, &proof);
    }
    context.output.note(&format!("leaf {} of {}; key {}", proof["index"], proof["size"], proof["key"]));
    context.output.text(proof["proof"].as_str().unwrap_or_default())
}

async fn checkpoint(context: &Context) -> Done {
    let signed = context.admin()?.get("/v1/log/checkpoint").await?;
    if context.output.is_json() {
        return context.output.item(&[column("NOTE", "/note")], &signed);
    }
    context.output.text(signed["note"].as_str().unwrap_or_default())
}

async fn export(context: &Context, args: &Export) -> Done {
    let bytes = write_bundle(context, Path::new(&args.to)).await?;
    context.output.note(&format!("{}: {bytes} bytes; verify it with `chancery-verify {0}`", args.to));
    Ok(())
}

/// Writes the bundle beside its place and moves it there when it is whole.
async fn write_bundle(context: &Context, to: &Path) -> Done<u64> {
    let beside = to.with_extension("part");
    let failed = |e: std::io::Error| Failure::file(&beside, e);
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    let mut body = context.admin()?.stream("/v1/log/export").await?;
    let bar = progress::bytes("exporting");
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::new(BAD_ANSWER, format!("the export broke off: {e}")))?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        file.write_all(data).map_err(failed)?;
        progress::advance(&bar, data.len());
    }
    file.sync_all().map_err(failed)?;
    std::fs::rename(&beside, to).map_err(failed)?;
    bar.finish_and_clear();
    Ok(bar.position())
}

/// Verifies what the server exports with the same code as `chancery-verify`, which shares nothing with the server.
async fn verify(context: &Context, args: &Verify) -> Done {
    let old = args.checkpoint.as_deref().map(|path| std::fs::read_to_string(path).map_err(|e| Failure::file(path, e)));
    let signed = context.admin()?.get("/v1/log/checkpoint").await?;
    let key =
        VerifierKey::parse(signed["key"].as_str().unwrap_or_default()).map_err(|e| Failure::new(BAD_ANSWER, e))?;
    let place = bundle_place(context);
    let written = write_bundle(context, &place).await;
    let options = Options { checkpoint: old.transpose()?, key: Some(key), without: None };
    let checked = written.and_then(|_| check(&place, &options));
    // What is left of it is of no use to anybody.
    let _ = std::fs::remove_file(&place);
    let report = checked?;
    if context.global().output.is_some() {
        let row: Value = serde_json::from_str(&report.json())?;
        return context.output.item(VERIFIED, &row);
    }
    context.output.text(&report.to_string())
}

fn check(place: &Path, options: &Options) -> Done<Report> {
    let file = std::fs::File::open(place).map_err(|e| Failure::file(place, e))?;
    let verified = chancery_verify::verify(std::io::BufReader::with_capacity(1 << 20, file), options);
    verified.map_err(|e| match e {
        chancery_verify::Failure::Io(e) => Failure::file(place, e),
        other => Failure::new(VERIFY_FAILED, other),
    })
}

fn bundle_place(context: &Context) -> PathBuf {
    let name: [u8; 8] = context.random.bytes();
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("chancery-{name}.bundle"))
}
