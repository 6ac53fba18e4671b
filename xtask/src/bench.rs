//! `cargo xtask bench`: builds everything once with `--release` and runs the harness of `bench/`.

use crate::shell::{self, Fallible};

/// Passes the arguments on to the harness.
pub fn run(arguments: &[String]) -> Fallible {
    shell::run(&["cargo", "build", "--release", "--locked", "--workspace", "--bins"])?;
    let harness = shell::target().join("release/chancery-bench").to_string_lossy().into_owned();
    let mut line = vec![harness.as_str()];
    line.extend(arguments.iter().map(String::as_str));
    shell::finish(&line, shell::command(&line))
}
