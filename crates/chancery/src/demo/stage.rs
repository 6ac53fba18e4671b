//! The processes of the demo: systems, agents, and other verbs of this program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chancery_model::problem::DEMO_FAILED;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::failure::{Done, Failure};

/// How long any single step may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where things are and what the processes of the demo are told.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The directory of the sample company; its programs run there.
    pub company: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// The environment every process gets, and nothing else.
    pub variables: BTreeMap<String, String>,
}

/// What a finished process left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; -1 if a signal ended it.
    pub exit: i32,
    /// What it printed, standard error after standard output.
    pub text: String,
}

/// What an agent answers to a task.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// What it tells its people.
    pub said: String,
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// What a later step needs, by name.
    #[serde(default)]
    pub kept: BTreeMap<String, String>,
}

/// One call of an agent, as it saw it.
#[derive(Debug, Deserialize)]
pub struct Call {
    /// The system.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// `allowed`, `failed`, `hidden`, `denied` or `refused`.
    pub outcome: String,
    /// The text of the result or the error.
    #[serde(default)]
    pub text: String,
    /// The code of a denial.
    pub code: Option<String>,
    /// The decision's id.
    pub decision: Option<String>,
}

/// A running process that is ended when this is dropped.
pub struct Running {
    name: String,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Surroundings {
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo starts the sample company's programs; nothing else reaches this"
    )]
    fn command(&self, words: &[String]) -> Done<Command> {
        let (program, arguments) = words.split_first().ok_or_else(|| failed("a command without words"))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.company).env_clear().envs(&self.variables).kill_on_drop(true);
        Ok(command)
    }

    /// Runs a process to its end; `input` goes to its standard input.
    pub async fn run(&self, words: &[String], input: &str) -> Done<Finished> {
        let mut command = self.command(words)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| cannot_start(words, &e))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A process that does not read its input may already be gone.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
        let done = timeout(PATIENCE, child.wait_with_output()).await.map_err(|_| too_long(&words.join(" ")))?;
        let done = done.map_err(|e| cannot_start(words, &e))?;
        let text = [String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)].concat();
        Ok(Finished { exit: done.status.code().unwrap_or(-1), text })
    }

    /// Starts a process that stays.
    pub fn start(&self, name: &str, words: &[String]) -> Done<Running> {
        let mut command = self.command(words)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| cannot_start(words, &e))?;
        let output = child.stdout.take().ok_or_else(|| failed(format!("{name} has no output")))?;
        let input = child.stdin.take();
        Ok(Running { name: name.to_owned(), input, output: BufReader::new(output).lines(), _child: child })
    }
}

impl Running {
    /// The next line it prints.
    pub async fn line(&mut self) -> Done<String> {
        let line = timeout(PATIENCE, self.output.next_line()).await.map_err(|_| too_long(&self.name))?;
        let line = line.map_err(|e| failed(format!("{}: {e}", self.name)))?;
        line.ok_or_else(|| failed(format!("{} ended without an answer; its own words are above", self.name)))
    }

    /// Gives it a task, with a word to work on where it needs one, and waits for the answer.
    pub async fn ask(&mut self, task: &str, with: Option<&str>) -> Done<Answer> {
        if let Some(input) = &mut self.input {
            let line = with.map_or_else(|| format!("{task}\n"), |with| format!("{task} {with}\n"));
            input.write_all(line.as_bytes()).await.map_err(|e| failed(format!("{}: {e}", self.name)))?;
        }
        let line = self.line().await?;
        serde_json::from_str(&line).map_err(|e| failed(format!("{} answered `{line}`: {e}", self.name)))
    }
}

/// A step that did not do what it should.
pub fn failed(why: impl Into<String>) -> Failure {
    Failure::new(DEMO_FAILED, why.into())
}

fn too_long(what: &str) -> Failure {
    failed(format!("{what} took longer than {} seconds", PATIENCE.as_secs()))
}

fn cannot_start(words: &[String], error: &std::io::Error) -> Failure {
    failed(format!("`{}` cannot be run: {error}", words.join(" ")))
        .next("the sample company needs Node 20 and its packages: `examples/acme/setup.sh`")
}

/// Whether the packages of the sample company are there.
pub fn prepared(company: &Path) -> bool {
    company.join("node_modules").is_dir() && company.join(".venv").is_dir()
}
