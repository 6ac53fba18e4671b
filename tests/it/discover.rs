//! Discovery, through the command line.

mod corpora;
mod inventory;
mod scan;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A home of its own, so that the key under which secrets are fingerprinted is made there.
pub(crate) struct Scanner {
    home: TempDir,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// `chancery discover …`.
    #[expect(clippy::disallowed_methods, reason = "tests start our own program here")]
    pub(crate) fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(crate::cli::program("chancery"));
        command.arg("discover").args(arguments).stdin(Stdio::null()).env("HOME", self.home.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME").output().unwrap()
    }

    /// What a scan of this place says.
    pub(crate) fn scan(&self, place: &Path) -> Value {
        serde_json::from_slice(&self.text(place)).unwrap()
    }

    /// The same as it is printed.
    pub(crate) fn text(&self, place: &Path) -> Vec<u8> {
        let output = self.run(&["scan", place.to_str().unwrap(), "-o", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}
