//! A row of steps, each counted, none hidden by an earlier failure.

use std::time::Duration;

use crate::shell::Fallible;

/// How many passed, failed, and could not be run here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Did what they should.
    pub passed: usize,
    /// Did not.
    pub failed: usize,
    /// Could not be run, each with its reason.
    pub skipped: Vec<String>,
}

impl Count {
    /// One check that held.
    pub fn one() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

/// The steps so far.
#[derive(Default)]
pub struct Steps {
    total: Count,
    told: Vec<String>,
}

impl Steps {
    /// Runs a step that counts its own checks; one that cannot be finished counts as one failure.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Fallible<Count>) {
        println!("\n== {name}");
        let since = now();
        let count = work().unwrap_or_else(|why| {
            println!("{why}");
            Count { failed: 1, ..Count::default() }
        });
        let seconds = (now() - since).as_secs();
        self.told.push(format!("{name}: {} passed, {} failed ({seconds} s)", count.passed, count.failed));
        self.total.add(count);
    }

    /// Runs a step that either holds or does not.
    pub fn check(&mut self, name: &str, work: impl FnOnce() -> Fallible) {
        self.step(name, || work().map(|()| Count::one()));
    }

    /// Tells everything again, the skipped with their reasons, and the counts on a last line of their own.
    pub fn close(self) -> Fallible {
        println!("\n== in short");
        self.told.iter().for_each(|line| println!("{line}"));
        self.total.skipped.iter().for_each(|why| println!("skipped: {why}"));
        let Count { passed, failed, skipped } = self.total;
        println!("{passed} passed, {failed} failed, {} skipped", skipped.len());
        if failed == 0 { Ok(()) } else { Err(format!("{failed} failed")) }
    }
}

#[expect(clippy::disallowed_methods, reason = "tells how long a step took; nothing depends on it")]
fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
