//! The command line, read by hand: this program is to stay small enough to be read in an hour.

use std::path::PathBuf;

use chancery_tlog::VerifierKey;

/// What `--help` prints.
pub const HELP: &str = "\
Verify an exported log offline.

Usage: chancery-verify BUNDLE [--checkpoint OLD] [--vkey KEY] [--json]

Arguments:
  BUNDLE             a file written by `chancery log export`

Options:
  --checkpoint OLD   file with an older signed checkpoint of the same log: the log must extend it
  --vkey KEY         the log's key (name+id+base64) as you know it from elsewhere
  --json             print one JSON object instead of text
  --help, --version

Exit status: 0 verified, 7 not what it claims to be, 2 wrong usage, 1 a file could not be read.
";

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Verify.
    Verify(Args),
}

/// What to verify, and how to report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Args {
    /// The bundle.
    pub bundle: PathBuf,
    /// The older checkpoint's file.
    pub checkpoint: Option<PathBuf>,
    /// The log's key.
    pub key: Option<VerifierKey>,
    /// Whether to print JSON.
    pub json: bool,
}

/// Reads the arguments, without the program's name. The error is a sentence for people.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut arguments = arguments.into_iter();
    let mut args = Args::default();
    let mut bundle = None;
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (argument, None),
        };
        let mut value = || inline.clone().or_else(|| arguments.next()).ok_or(format!("`{name}` needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            "--json" => args.json = true,
            "--checkpoint" => args.checkpoint = Some(value()?.into()),
            "--vkey" => args.key = Some(VerifierKey::parse(&value()?).map_err(|e| format!("`--vkey`: {e}"))?),
            option if option.starts_with('-') => return Err(format!("unknown option `{option}`; see --help")),
            path if bundle.is_none() => bundle = Some(PathBuf::from(path)),
            path => return Err(format!("one bundle at a time: `{path}` is too much")),
        }
    }
    args.bundle = bundle.ok_or("which bundle? Give the file that `chancery log export` wrote; see --help")?;
    Ok(Asked::Verify(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_any_order() {
        let expected = Args { bundle: "log.tar".into(), checkpoint: Some("old".into()), key: None, json: true };
        for line in ["log.tar --checkpoint old --json", "--json --checkpoint=old log.tar"] {
            assert_eq!(parsed(line), Ok(Asked::Verify(expected.clone())), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_a_sentence() {
        for (line, part) in [
            ("", "which bundle?"),
            ("a b", "`b` is too much"),
            ("a --frob", "unknown option `--frob`"),
            ("a --checkpoint", "`--checkpoint` needs a value"),
            ("a --vkey x+y", "not a verifier key"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "`{line}`: {error}");
        }
    }
}
