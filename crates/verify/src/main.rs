//! `chancery-verify`: see [`chancery_verify`].

use std::fs::{self, File};
use std::io::{self, Write};
use std::process::ExitCode;

use chancery_verify::args::{Args, Asked, HELP, parse};
use chancery_verify::{Failure, Options, Report, verify};

const USAGE: u8 = 2;
const DETECTED: u8 = 7;
const UNREADABLE: u8 = 1;
/// Bytes read at once where less is wanted.
const BUFFER: usize = 8 << 10;

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Asked::Help) => say(io::stdout(), HELP, 0),
        Ok(Asked::Version) => say(io::stdout(), &format!("chancery-verify {}\n", env!("CARGO_PKG_VERSION")), 0),
        Ok(Asked::Verify(args)) => report(&args, run(&args)),
        Err(usage) => say(io::stderr(), &format!("error: {usage}\n"), USAGE),
    }
}

fn run(args: &Args) -> Result<Report, Failure> {
    let named = |path: &std::path::Path, e: io::Error| io::Error::new(e.kind(), format!("`{}`: {e}", path.display()));
    let checkpoint = args.checkpoint.as_deref().map(|path| fs::read_to_string(path).map_err(|e| named(path, e)));
    let checkpoint = checkpoint.transpose().map_err(Failure::Io)?;
    let bundle = File::open(&args.bundle).map_err(|e| Failure::Io(named(&args.bundle, e)))?;
    let options = Options { checkpoint, key: args.key.clone(), without: None };
    // Contents are larger than this buffer and go past it: they are copied once, into a cache that is warm.
    verify(io::BufReader::with_capacity(BUFFER, bundle), &options)
}

fn report(args: &Args, outcome: Result<Report, Failure>) -> ExitCode {
    match outcome {
        Ok(report) if args.json => say(io::stdout(), &(report.json() + "\n"), 0),
        Ok(report) => say(io::stdout(), &report.to_string(), 0),
        Err(failure) => {
            let code = if matches!(failure, Failure::Io(_)) { UNREADABLE } else { DETECTED };
            let word = if code == DETECTED { "NOT VERIFIED" } else { "error" };
            if args.json {
                return say(io::stdout(), &(failure.json() + "\n"), code);
            }
            say(io::stderr(), &format!("{word}: {failure}\n"), code)
        }
    }
}

/// Prints, and exits with `code`. A closed pipe must not turn a detection into a success.
fn say(mut to: impl Write, text: &str, code: u8) -> ExitCode {
    match to.write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(code.max(UNREADABLE)),
    }
}
