//! Other programs, run from the top of the repository.
#![expect(clippy::disallowed_methods, reason = "running other programs is what this tool is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, as a sentence.
pub type Fallible<T = ()> = Result<T, String>;

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap_or_else(|_| PathBuf::from("."))
}

/// Where cargo builds: its own setting, or `target`.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from)
}

/// A program with its arguments, run from the top without standard input.
pub fn command(line: &[&str]) -> Command {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(top()).stdin(Stdio::null());
    command
}

/// Runs it with its output shown; an error if it fails.
pub fn run(line: &[&str]) -> Fallible {
    println!("$ {}", line.join(" "));
    finish(line, command(line))
}

/// Runs a prepared command with its output shown; an error if it fails.
pub fn finish(line: &[&str], mut command: Command) -> Fallible {
    let status = command.status().map_err(|why| format!("cannot run `{}`: {why}", line[0]))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", line.join(" "))) }
}

/// Runs it silently and returns what it printed.
pub fn output(line: &[&str]) -> Fallible<String> {
    let done = command(line).output().map_err(|why| format!("cannot run `{}`: {why}", line[0]))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(said);
    }
    Err(format!("`{}` failed ({}): {}", line.join(" "), done.status, String::from_utf8_lossy(&done.stderr)))
}

/// Can this be run at all?
pub fn has(line: &[&str]) -> bool {
    command(line).output().is_ok_and(|done| done.status.success())
}
