//! What tests and the sample company need beside Rust, by package name.
//! What cannot be had is said; the tests that need it say that they were skipped.

use crate::shell::{self, Fallible};

/// Node and Python packages of the sample company, and the official clients among them.
const SAMPLE_COMPANY: &str = "examples/acme/setup.sh";

/// Official MCP clients and servers, and the conformance suite, for the tests.
const PEERS: &str = "tests/fixtures/setup.sh";

/// Gets everything that tests need. Never an error: what cannot be had is told.
pub fn all() {
    sample_company();
    let peers = shell::target().join("peers").to_string_lossy().into_owned();
    told("official MCP software for the tests", shell::output(&["sh", PEERS, &peers]));
}

/// Gets what the sample company's story needs, and no more: somebody is waiting for it.
pub fn sample_company() {
    told("Node", shell::output(&["node", "--version"]));
    told("Python", shell::output(&["python3", "--version"]));
    if shell::top().join(SAMPLE_COMPANY).exists() {
        // Half a minute the first time, so it speaks for itself.
        if let Err(why) = shell::run(&["sh", SAMPLE_COMPANY]) {
            println!("the sample company's packages: not to be had: {why}");
        }
    }
}

fn told(what: &str, outcome: Fallible<String>) {
    match outcome {
        Ok(said) => println!("{what}: {}", said.trim().lines().last().unwrap_or_default()),
        Err(why) => println!("{what}: not to be had: {why}"),
    }
}
