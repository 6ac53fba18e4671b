//! The program but for the process around it: arguments in, text and exit status out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::args::{Args, Asked, HELP, parse};
use crate::{Failure, Options, Report, verify};

const USAGE: u8 = 2;
const DETECTED: u8 = 7;
const UNREADABLE: u8 = 1;
/// Bytes read at once where less is wanted. Contents are larger and go past this buffer: they are copied once.
const BUFFER: usize = 8 << 10;

/// Runs the program. `arguments` come without its name; the result is the exit status.
pub fn run(arguments: impl IntoIterator<Item = String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match parse(arguments) {
        Ok(Asked::Help) => say(out, HELP, 0),
        Ok(Asked::Version) => say(out, &format!("chancery-verify {}\n", env!("CARGO_PKG_VERSION")), 0),
        Ok(Asked::Verify(args)) => report(&args, check(&args), out, err),
        Err(usage) => say(err, &format!("error: {usage}\n"), USAGE),
    }
}

fn check(args: &Args) -> Result<Report, Failure> {
    let named = |path: &Path, e: io::Error| Failure::Io(io::Error::new(e.kind(), format!("`{}`: {e}", path.display())));
    let checkpoint = args.checkpoint.as_deref().map(|path| fs::read_to_string(path).map_err(|e| named(path, e)));
    let options = Options { checkpoint: checkpoint.transpose()?, key: args.key.clone(), without: None };
    let bundle = File::open(&args.bundle).map_err(|e| named(&args.bundle, e))?;
    verify(io::BufReader::with_capacity(BUFFER, bundle), &options)
}

fn report(args: &Args, outcome: Result<Report, Failure>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match outcome {
        Ok(report) if args.json => say(out, &(report.json() + "\n"), 0),
        Ok(report) => say(out, &report.to_string(), 0),
        Err(failure) => {
            let (code, word) = match failure {
                Failure::Io(_) => (UNREADABLE, "error"),
                Failure::Detected(_) => (DETECTED, "NOT VERIFIED"),
            };
            if args.json {
                return say(out, &(failure.json() + "\n"), code);
            }
            say(err, &format!("{word}: {failure}\n"), code)
        }
    }
}

/// Prints, and returns `code`. What could not be printed must not pass for a success.
fn say(to: &mut dyn Write, text: &str, code: u8) -> u8 {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => code,
        Err(_) => code.max(UNREADABLE),
    }
}

#[cfg(test)]
mod tests {
    use chancery_tlog::Signer;

    use super::*;
    use crate::sample::Sample;

    struct Ran {
        code: u8,
        out: String,
        err: String,
    }

    fn ran(arguments: &[&str]) -> Ran {
        let (mut out, mut err) = (vec![], vec![]);
        let code = run(arguments.iter().map(|a| (*a).to_owned()), &mut out, &mut err);
        Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    #[test]
    fn the_exit_status_tells_what_happened() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (good, bad, old) = (path("good"), path("bad"), path("old"));
        let signer = Signer::from_seed("log.example/cli", &[1; 32]).unwrap();
        let sample = Sample { entries: 20, writers: 1, erase_every: 0 };
        let mut bundle = vec![];
        sample.write(&signer, &mut bundle).unwrap();
        fs::write(&good, &bundle).unwrap();
        fs::write(&old, sample.checkpoint_at(10, &signer).unwrap()).unwrap();
        let place = bundle.windows(6).position(|w| w == b"refund").unwrap();
        bundle[place] = b'R';
        fs::write(&bad, &bundle).unwrap();

        let verified = ran(&[&good, "--checkpoint", &old, "--vkey", &signer.key().to_string()]);
        assert_eq!((verified.code, verified.err.as_str()), (0, ""));
        assert!(verified.out.starts_with("verified: 20 entries of the log `log.example/cli`\n"), "{}", verified.out);
        assert!(!verified.out.contains("--vkey") && verified.out.contains("not shown by this:"), "{}", verified.out);
        assert!(ran(&[&good, "--json"]).out.starts_with("{\"ok\":true,"));

        let detected = ran(&[&bad]);
        assert_eq!((detected.code, detected.out.as_str()), (7, ""));
        assert!(detected.err.starts_with("NOT VERIFIED: tile/0/000.p/20: entry 0: hash: "), "{}", detected.err);
        let json = ran(&[&bad, "--json"]);
        assert!(json.code == 7 && json.out.starts_with("{\"ok\":false,\"message\":\"tile/0/000"), "{}", json.out);

        assert_eq!(ran(&[&path("nowhere")]).code, 1);
        assert_eq!(ran(&[&good, "--checkpoint", &path("nowhere")]).code, 1);
        assert_eq!(ran(&[&good, &good]).code, 2);
        assert_eq!(ran(&["--help"]).code, 0);
    }

    #[test]
    fn a_closed_output_is_no_success() {
        let mut closed: &mut [u8] = &mut [];
        assert_eq!(run(["--help".to_owned()], &mut closed, &mut vec![]), 1);
    }
}
