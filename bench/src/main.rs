//! The bars of performance, measured here and now: every figure of ours stands beside a floor or a peer that was
//! measured in the same run, interleaved with it, and is judged by the ratio where a ratio can be had.
//!
//! Processor time of the server is the first figure: unlike requests per second it survives a busy machine.
//! Started by `cargo xtask bench`, which builds everything with `--release` first.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and starts servers; that is its work")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to the terminal")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod append;
mod authzen;
mod chain;
mod client;
mod decision;
mod floors;
mod gateway;
mod graph;
mod load;
mod peers;
mod policies;
mod process;
mod product;
mod registry;
mod row;
mod scale;
mod start;
mod sweep;
mod tokens;
mod unrecorded;
mod usage;
mod verify;
mod world;

/// The allocator of the product, so that floors and the product are compared under one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What goes wrong here is told and ends the group it happened in.
type Fallible<T = ()> = Result<T, String>;

/// An error as the sentence it prints.
fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}

#[derive(Parser)]
#[command(about = "Measures the bars of performance")]
struct Arguments {
    /// Print JSON rows instead of the table.
    #[arg(long)]
    json: bool,
    /// Measure the peers too; what cannot be installed is said and left out.
    #[arg(long)]
    peers: bool,
    /// A tenth of the work: to see that everything runs, not to quote.
    #[arg(long)]
    quick: bool,
    /// Only groups whose name contains this: decision, authzen, gateway, append, verify, start, registry, tokens, graph, sweep.
    #[arg(long)]
    only: Option<String>,
    /// Serve one of the floors (used by the harness itself).
    #[arg(long, hide = true)]
    floor: Option<String>,
    /// The directory of a floor that needs one.
    #[arg(long, hide = true, requires = "listen")]
    folder: Option<PathBuf>,
    /// Where that floor listens.
    #[arg(long, hide = true, requires = "folder")]
    listen: Option<SocketAddr>,
}

/// One group of rows.
struct Group {
    name: &'static str,
    rows: fn(&scale::Scale) -> Fallible<Vec<row::Row>>,
}

const GROUPS: &[Group] = &[
    Group { name: "decision", rows: decision::rows },
    Group { name: "authzen", rows: authzen::rows },
    Group { name: "gateway", rows: gateway::rows },
    Group { name: "append", rows: append::rows },
    Group { name: "verify", rows: verify::rows },
    Group { name: "start", rows: start::rows },
    Group { name: "registry", rows: registry::rows },
    Group { name: "tokens", rows: tokens::rows },
    Group { name: "graph", rows: graph::rows },
    Group { name: "sweep", rows: sweep::rows },
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(floor) = &arguments.floor {
        let place = arguments.folder.as_deref().zip(arguments.listen);
        return ended(floors::serve(floor, place));
    }
    ended(measure(&arguments))
}

fn ended(outcome: Fallible) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Fallible {
    let scale = scale::Scale { quick: arguments.quick, peers: arguments.peers };
    let wanted = |group: &&Group| arguments.only.as_ref().is_none_or(|only| group.name.contains(only.as_str()));
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for group in GROUPS.iter().filter(wanted) {
        eprintln!("== {} (load average {})", group.name, usage::load_average());
        match (group.rows)(&scale) {
            Ok(found) => rows.extend(found),
            Err(why) => broken.push(format!("{}: {why}", group.name)),
        }
    }
    if arguments.json {
        row::json(&rows)
    } else {
        row::table(&rows)
    }
    let missed = rows.iter().filter(|row| row.holds() == Some(false)).count();
    eprintln!("{} rows, {missed} bars missed; load average {}", rows.len(), usage::load_average());
    if broken.is_empty() { Ok(()) } else { Err(broken.join("; ")) }
}
