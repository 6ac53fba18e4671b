//! `cargo xtask check`: what can be said without running the product.

use crate::generate;
use crate::shell::{self, Fallible};
use crate::steps::Steps;

/// Formatting, lints, dependencies, generated files.
pub fn all() -> Fallible {
    let mut steps = Steps::default();
    steps.check("formatting", formatting);
    steps.check("lints", lints);
    steps.check("dependencies", dependencies);
    steps.check("generated files are fresh", || {
        shell::run(&["cargo", "build", "--locked", "--package", "chancery"])?;
        generate::all(true)
    });
    steps.close()
}

/// Everything is as rustfmt writes it.
pub fn formatting() -> Fallible {
    shell::run(&["cargo", "fmt", "--all", "--check"])
}

/// No warning anywhere, tests included.
pub fn lints() -> Fallible {
    shell::run(&["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])
}

/// Bans, licences and sources by cargo-deny; advisories need a database from elsewhere and are left to those who have it.
fn dependencies() -> Fallible {
    if !shell::has(&["cargo", "deny", "--version"]) {
        println!("cargo-deny is missing: installing it (some minutes)");
        shell::run(&["cargo", "install", "cargo-deny", "--locked"])?;
    }
    shell::run(&["cargo", "deny", "--offline", "--log-level", "error", "check", "bans", "licenses", "sources"])
}
