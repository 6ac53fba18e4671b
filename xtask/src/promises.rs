//! `cargo xtask promises`: runs the tests of the promises and writes what they found to `docs/promises.md`.
//! A test of a promise prints one line: `promise P4: 1,024,000 mutants, all detected`.

use crate::junit;
use crate::shell::{self, Fallible};

/// The environment variable that the tests read their size from: `small` or `full`.
const SIZE: &str = "CHANCERY_TEST_SIZE";
const PAGE: &str = "docs/promises.md";
/// The environment variable that names the server whose times are measured.
const PROGRAM: &str = "CHANCERY_TEST_PROGRAM";

/// Runs them at one size.
pub fn run(full: bool) -> Fallible {
    let size = if full { "full" } else { "small" };
    let filter = "test(/(^|::)promises::/)";
    let mut line = vec!["cargo", "nextest", "run", "--workspace", "--all-targets", "--locked", "-E", filter];
    if full {
        // Whoever calls, relays and reads shares the machine with what is measured.
        line.extend(["--cargo-profile", "release"]);
    }
    let mut command = shell::command(&line);
    command.env(SIZE, size);
    if full {
        // Times are those of the program that is shipped.
        shell::run(&["cargo", "build", "--release", "--locked", "--workspace", "--bins"])?;
        command.env(PROGRAM, shell::target().join("release/chancery"));
    }
    let outcome = shell::finish(&line, command);
    let report = junit::report()?;
    let told = junit::printed(&report, "promise ");
    let page = shell::top().join(PAGE);
    std::fs::write(&page, text(size, &told)).map_err(|why| format!("cannot write {}: {why}", page.display()))?;
    println!("{} results written to {PAGE}", told.len());
    outcome
}

fn text(size: &str, told: &[String]) -> String {
    let mut rows: Vec<String> = told.iter().filter_map(|line| row(line)).collect();
    rows.sort();
    format!(
        "# Promises, and what their tests found\n\n\
         Written by `cargo xtask promises`; the sizes of this run were `{size}`. Every test has a negative control: \
         the same test fails when the guard is taken away.\n\n| promise | found |\n|---|---|\n{}",
        rows.concat()
    )
}

fn row(line: &str) -> Option<String> {
    let (name, found) = line.split_once(": ")?;
    Some(format!("| {name} | {found} |\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_a_table() {
        let page = super::text("small", &["P4: 12 mutants, all detected".into(), "P1: 20 kills, 0 lost".into()]);
        assert!(page.ends_with("| P1 | 20 kills, 0 lost |\n| P4 | 12 mutants, all detected |\n"), "{page}");
    }
}
