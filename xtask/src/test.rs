//! `cargo xtask test`: everything that can fail, and the story of the sample company.

use std::path::Path;

use crate::shell::{self, Fallible};
use crate::steps::{Count, Steps};
use crate::{check, generate, junit, setup};

/// One build for everything: the whole workspace with one set of features.
const BUILD: &[&str] = &["cargo", "build", "--workspace", "--all-targets", "--locked"];
const NEXTEST: &[&str] = &["cargo", "nextest", "run", "--workspace", "--all-targets", "--locked"];

/// Sets up, builds once, runs everything, and tells the counts on the last line.
pub fn all() -> Fallible {
    let mut steps = Steps::default();
    println!("== what is needed beside Rust");
    setup::all();
    nextest_is_there()?;
    steps.check("formatting", check::formatting);
    steps.check("lints", check::lints);
    steps.check("build", || shell::run(BUILD));
    steps.check("generated files are fresh", || generate::all(true));
    steps.step("tests", tests);
    if any_doc_test() {
        steps.check("examples in the documentation", doc_tests);
    }
    if shell::top().join("examples/acme/package.json").exists() {
        steps.check("tests of the sample company", sample_company);
        steps.check("the sample company's story", || tell(true));
    }
    steps.close()
}

/// Builds the server and tells the story.
pub fn story(once: bool) -> Fallible {
    // One waits for the network, the other for the processor.
    std::thread::scope(|scope| {
        scope.spawn(setup::sample_company);
        shell::run(&["cargo", "build", "--locked", "--package", "chancery", "--package", "chancery-verify"])
    })?;
    tell(once)
}

fn tell(once: bool) -> Fallible {
    let program = shell::target().join("debug/chancery").to_string_lossy().into_owned();
    let line = [program.as_str(), "demo", "--once"];
    let line = if once { &line[..] } else { &line[..2] };
    println!("$ {}", line.join(" "));
    shell::finish(line, shell::command(line))
}

fn nextest_is_there() -> Fallible {
    if shell::has(&["cargo", "nextest", "--version"]) {
        return Ok(());
    }
    println!("cargo-nextest is missing: installing it (some minutes)");
    shell::run(&["cargo", "install", "cargo-nextest", "--locked"])
}

fn tests() -> Fallible<Count> {
    let report = junit::path();
    forget(&report)?;
    let outcome = shell::run(NEXTEST);
    let count = junit::report().and_then(|report| junit::count(&report));
    match (outcome, count) {
        (Err(why), Ok(count)) if count.failed == 0 => Err(why),
        (Err(why), Err(_)) => Err(why),
        (_, count) => count,
    }
}

fn forget(report: &Path) -> Fallible {
    match std::fs::remove_file(report) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {why}", report.display())),
        _ => Ok(()),
    }
}

/// nextest does not run the examples of the documentation.
fn any_doc_test() -> bool {
    shell::has(&["git", "grep", "--quiet", "-E", "^ *//[/!] ```(rust|no_run|compile_fail)?$", "--", "crates/*.rs"])
}

fn doc_tests() -> Fallible {
    shell::run(&["cargo", "test", "--workspace", "--doc", "--locked", "--quiet"])
}

fn sample_company() -> Fallible {
    let line = ["npm", "--prefix", "examples/acme", "test"];
    shell::run(&line)
}
