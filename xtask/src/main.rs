//! The chores of the house: `cargo xtask test`, `check`, `run`, `bench`, `promises`, `gen`.
//! The Makefile has a line for each that a newcomer needs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to the terminal")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod check;
mod generate;
mod junit;
mod promises;
mod setup;
mod shell;
mod steps;
mod test;

#[derive(Parser)]
#[command(about = "The chores of the house")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build, start the server and tell the sample company's story.
    Run {
        /// Tell the story once and stop.
        #[arg(long)]
        once: bool,
    },
    /// Run everything that can fail; sets itself up.
    Test,
    /// Formatting, lints, dependencies, generated files.
    Check,
    /// Measure the bars of performance against floors and peers (a release build).
    Bench {
        /// Passed to the harness: `--json`, `--peers`, `--quick`, `--only NAME`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the tests of the promises and write docs/promises.md.
    Promises {
        /// The full sizes, which take hours, instead of the small ones of `test`.
        #[arg(long)]
        full: bool,
    },
    /// Write the generated parts of docs/ again.
    Gen {
        /// Write nothing; fail if a file is not fresh.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Run { once } => test::story(once),
        Chore::Test => test::all(),
        Chore::Check => check::all(),
        Chore::Bench { arguments } => bench::run(&arguments),
        Chore::Promises { full } => promises::run(full),
        Chore::Gen { check } => generate::all(check),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
