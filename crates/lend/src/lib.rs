//! Lends a throw-away PostgreSQL to tests: in a directory of its own, on a free port of the loopback, and gone with the
//! process that asked for it. Where PostgreSQL is not installed there is none, and the test says that it was skipped.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "for tests only: what fails here is a failed test"
)]

use std::cell::RefCell;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

/// PostgreSQL refuses to run as root: then it runs as this user (Debian's `nobody`).
const NOBODY: u32 = 65_534;
/// How long it may take to start.
const LOOKS: u32 = 600;
const BETWEEN: Duration = Duration::from_millis(50);

/// Tests that run beside each other on one server.
const ABREAST: usize = 4;

/// A running server. It is stopped, and everything in it removed, when this is dropped.
pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    as_root: bool,
    running: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts one; nothing if PostgreSQL is not installed here.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("skipped: PostgreSQL is not installed (/usr/lib/postgresql/*/bin)");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("chancery-pg-").tempdir().expect("a directory");
        let as_root = directory.path().metadata().expect("a directory").uid() == 0;
        if as_root {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("a directory of nobody's");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let (running, databases) = (Mutex::default(), AtomicU32::new(0));
        let lent = Self { programs, directory, port, as_root, running, databases };
        lent.run(
            "initdb",
            &["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"],
            true,
        );
        lent.start_again();
        Some(lent)
    }

    /// A new empty database; its address.
    pub fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        self.run("createdb", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-T", "template0", &name], false);
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs statements behind everybody's back, in the database at this address; what they print, without ornaments.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.run("psql", &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statements], false)
    }

    /// Stops it at once, as a power cut would.
    pub fn cut(&self) {
        if let Some(mut child) = self.child().take() {
            let data = self.data();
            self.run("pg_ctl", &["stop", "-m", "immediate", "-s", "-D", data.to_str().expect("a path")], false);
            child.wait().expect("it was started here");
        }
    }

    /// Starts it again after [`Postgres::cut`].
    pub fn start_again(&self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.directory.path());
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "shared_buffers=64MB"]);
        command.args(["-c", "log_min_messages=fatal", "-p", &self.port.to_string()]);
        *self.child() = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres starts"));
        for _ in 0..LOOKS {
            let port = self.port.to_string();
            let ready = self.command("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(BETWEEN);
        }
        panic!("PostgreSQL did not start within {LOOKS} looks");
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, program: &str, arguments: &[&str], in_data: bool) -> String {
        let mut command = self.command(program);
        command.args(arguments).args(in_data.then(|| self.data()));
        let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "starts the database that tests run on")]
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.as_root {
            true => Command::new("setpriv"),
            false => Command::new(&program),
        };
        if self.as_root {
            let nobody = NOBODY.to_string();
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]).arg(program);
        }
        // Neither its settings nor its files come from the surroundings.
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").env("HOME", self.directory.path());
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The programs of the newest PostgreSQL of Debian.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let found = versions.map(|version| version.path().join("bin")).filter(|bin| is_program(&bin.join("postgres")));
    found.max()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

thread_local! {
    static ENGINE: RefCell<Option<Arc<Postgres>>> = const { RefCell::new(None) };
}

/// Where the test of this thread is to put its data: in this server, or in its directory.
pub fn engine() -> Option<Arc<Postgres>> {
    ENGINE.with_borrow(Clone::clone)
}

/// A test: its name, and what `#[test]` or `#[tokio::test]` runs.
pub type Case = (&'static str, fn());

/// The tests of a module that run on both engines, by their names.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), $name as fn())),*]
    };
}

/// Runs tests that know nothing of it on one PostgreSQL, each with databases of its own.
///
/// # Panics
/// If one of them fails, after all have run.
pub fn on_postgres(cases: &[&[Case]]) {
    let Some(server) = Postgres::start().map(Arc::new) else { return };
    let todo = Mutex::new(cases.iter().copied().flatten().copied().collect::<Vec<Case>>());
    let failed = Mutex::new(Vec::new());
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
    std::thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                ENGINE.set(Some(Arc::clone(&server)));
                while let Some((name, case)) = next() {
                    if std::panic::catch_unwind(case).is_err() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                    }
                }
                ENGINE.set(None);
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "on PostgreSQL these fail: {failed:?}");
}

/// The tests in this text that no list of [`cases!`] in it names, other than those that are known to be of one engine.
pub fn left_out(text: &str, known: &[&str]) -> Vec<String> {
    let (tests, listed) = text.split_once("cases![").unwrap_or((text, ""));
    let marked = tests.split("#[tokio::test").skip(1);
    let names = marked.filter_map(|rest| rest.split_once("fn ")?.1.split_once('(').map(|(name, _)| name.to_owned()));
    let list: Vec<&str> = listed.split([',', ']', '\n', ' ']).map(str::trim).collect();
    names.filter(|name| !list.contains(&name.as_str()) && !known.contains(&name.as_str())).collect()
}
