//! What goes wrong, as four lines for people or one JSON object for programs, and the exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use chancery_model::Problem;
use chancery_model::problem::{
    BAD_CONFIG, BAD_USAGE, INTERNAL, INTERRUPTED, LOCAL_FILE, Row, UNREACHABLE, VERIFY_FAILED,
};
use serde_json::json;

/// The exit codes, as the reference lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something failed.
    Failed = 1,
    /// The command was not understood.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Authentication is needed or over.
    Login = 4,
    /// Denied by policy.
    Denied = 5,
    /// A proof, a checkpoint or a receipt does not verify.
    Verification = 7,
    /// It changed meanwhile, or its state does not allow it.
    Conflict = 8,
    /// The server does not answer.
    Unreachable = 9,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    problem: Problem,
    exit: Exit,
}

impl Failure {
    /// A row of the table with the deciding fact.
    pub fn new(row: Row, detail: impl Display) -> Self {
        Self::from(Problem::new(row, detail.to_string()))
    }

    /// The same with advice that fits better.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { problem: self.problem.next(next), ..self }
    }

    /// A file that cannot be read or written.
    pub fn file(path: &Path, error: impl Display) -> Self {
        Self::new(LOCAL_FILE, format!("{}: {error}", path.display()))
    }

    /// Standard output is gone: no reason to say more, but a reason to end.
    pub fn output(error: io::Error) -> Self {
        Self::new(LOCAL_FILE, format!("standard output: {error}"))
    }

    /// Ctrl-C.
    pub fn interrupted() -> Self {
        Self { problem: Problem::new(INTERRUPTED, "Ctrl-C"), exit: Exit::Interrupted }
    }

    /// A command line whose words are right but do not go together.
    pub fn usage(detail: impl Display) -> Self {
        Self::new(BAD_USAGE, detail)
    }

    /// The problem itself.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Prints it and gives the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        let text = if json { self.as_json() } else { self.as_lines() };
        // Nobody left to read it is no reason to fail differently.
        let _ = writeln!(io::stderr().lock(), "{text}");
        ExitCode::from(self.exit as u8)
    }

    fn as_lines(&self) -> String {
        let p = &self.problem;
        let mut text = format!("error: {}\n  why: {}   [{}]\n  do:  {}", p.title, p.detail, p.code, p.next);
        if let Some(id) = &p.decision_id {
            text.push_str(&format!("\n  id:  {id}  ·  chancery why {id}"));
        }
        text
    }

    fn as_json(&self) -> String {
        let p = &self.problem;
        json!({
            "code": p.code, "message": p.title, "why": p.detail, "next": p.next,
            "decision_id": p.decision_id, "exit": self.exit as u8,
        })
        .to_string()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match (problem.code.as_str(), problem.status) {
            (code, _) if code == UNREACHABLE.code => Exit::Unreachable,
            (code, _) if code == VERIFY_FAILED.code => Exit::Verification,
            (code, _) if code == BAD_USAGE.code || code == BAD_CONFIG.code => Exit::Usage,
            (_, 404) => Exit::NotFound,
            (_, 409) => Exit::Conflict,
            (_, 422) => Exit::Failed,
            (code, _) if code.starts_with("C2") => Exit::Denied,
            (_, 401) => Exit::Login,
            _ => Exit::Failed,
        };
        Self { problem, exit }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(INTERNAL, error)
    }
}

/// What a command comes to.
pub type Done<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use chancery_model::problem::{AGENT_EXISTS, DENIED, NO_AGENT};

    use super::*;

    #[test]
    fn people_get_four_lines() {
        let failure = Failure::from(Problem::new(DENIED, "nothing permits refund").decision("d-000001"));
        let text = failure.as_lines();
        let starts: Vec<&str> = text.lines().filter_map(|l| l.trim().split(':').next()).collect();
        assert_eq!(starts, ["error", "why", "do", "id"]);
    }

    #[test]
    fn programs_get_one_object() {
        let text = Failure::new(NO_AGENT, "ghost").as_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["code"], "C6001");
        assert_eq!(value["exit"], 3);
    }

    #[test]
    fn exit_codes_follow_the_problem() {
        for (row, exit) in [
            (DENIED, Exit::Denied),
            (NO_AGENT, Exit::NotFound),
            (AGENT_EXISTS, Exit::Conflict),
            (UNREACHABLE, Exit::Unreachable),
        ] {
            assert_eq!(Failure::new(row, "").exit, exit);
        }
    }
}
