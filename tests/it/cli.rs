//! The command line against a live server: every verb at least once, its shapes of output, its exit codes.

mod bridge;
mod verbs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use chancery_authenticate::SystemRandom;
use chancery_testkit::{Builder, HttpUpstream, TestApp};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// No command of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The built program, beside this test binary.
pub(crate) fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this test's path");
    let target = here.ancestors().nth(2).expect("the target directory");
    let path = target.join(name);
    assert!(path.is_file(), "{} is not built: run the tests of the whole workspace", path.display());
    path
}

/// A server with an upstream, and a place for the command line's own files.
pub(crate) struct Desk {
    pub(crate) app: TestApp,
    pub(crate) upstream: HttpUpstream,
}

/// What a command left behind.
pub(crate) struct Done {
    pub(crate) exit: i32,
    out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let upstream = HttpUpstream::start().await;
        let app = on_real_time(TestApp::builder()).http("crm", &upstream).start().await;
        Self { app, upstream }
    }

    fn keys(&self) -> PathBuf {
        self.app.directory().join("keys")
    }

    fn command(&self, words: &[&str]) -> Command {
        let variables: BTreeMap<&str, PathBuf> = BTreeMap::from([
            ("HOME", self.app.directory().join("home")),
            ("CHANCERY_DATA", self.app.data()),
            ("CHANCERY_KEY_DIR", self.keys()),
            ("CHANCERY_URL", PathBuf::from(self.app.url())),
        ]);
        #[expect(clippy::disallowed_methods, reason = "the command line is a process")]
        let mut command = Command::new(program("chancery"));
        command.args(words).env_clear().envs(variables).current_dir(self.app.directory());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs `chancery` with these words, and with this text on its standard input.
    async fn run_with(&self, words: &[&str], input: &str) -> Done {
        self.run_at(self.app.url(), words, input).await
    }

    /// The same against another address of the server.
    async fn run_at(&self, url: &str, words: &[&str], input: &str) -> Done {
        let mut child = self.command(words).env("CHANCERY_URL", url).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("its standard input");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        Done::of(ended.expect("it ends in time").expect("it ends"))
    }

    pub(crate) async fn run(&self, words: &str) -> Done {
        self.run_with(&words.split_whitespace().collect::<Vec<_>>(), "").await
    }

    /// Runs a command that must succeed; gives back what it printed.
    pub(crate) async fn ok(&self, words: &str) -> String {
        let done = self.run(words).await;
        assert_eq!(done.exit, 0, "chancery {words}\n{}{}", done.out, done.err);
        done.out
    }

    pub(crate) async fn json(&self, words: &str) -> Value {
        let text = self.ok(&format!("{words} -o json")).await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words}: {e}: {text}"))
    }

    /// Registers an agent and enrols its key on this machine.
    pub(crate) async fn enrolled(&self, name: &str) {
        self.ok(&format!("agent register {name} --sponsor m@example.com --owner l@example.com --purpose x --enrol"))
            .await;
    }
}

/// Child processes have no mock clock.
fn on_real_time(builder: Builder) -> Builder {
    builder.clock(std::sync::Arc::new(RealClock)).random(std::sync::Arc::new(SystemRandom))
}

struct RealClock;

impl chancery_model::Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the command line under test reads the real clock, too")]
    fn now(&self) -> chancery_model::Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        chancery_model::Timestamp(i64::try_from(since.as_micros()).expect("before 294247"))
    }

    fn monotonic(&self) -> chancery_model::Timestamp {
        self.now()
    }
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { exit: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
