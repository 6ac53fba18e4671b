//! Servers that are measured, each a process of its own, ended by its id when it goes out of scope.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Fallible, text};

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket that is asked instead, where that is what is measured.
    pub socket: Option<PathBuf>,
    /// How long it took until it was ready.
    pub ready_after: Duration,
    /// Its process and, where it works through others, theirs.
    pub pids: Vec<u32>,
}

impl Server {
    /// Starts one of our own floors; it tells its port on its first line.
    pub fn floor(name: &str) -> Fallible<Self> {
        let own = std::env::current_exe().map_err(text)?;
        let since = Instant::now();
        let mut command = Command::new(own);
        let mut child = spawn(command.args(["--floor", name]).stdout(Stdio::piped()))?;
        let mut line = String::new();
        let told = child.stdout.take().ok_or("no output")?;
        BufReader::new(told).read_line(&mut line).map_err(text)?;
        let address = line.trim().parse().map_err(|_| format!("floor {name} did not start: {line}"))?;
        let pids = vec![child.id()];
        Ok(Self { child, address, socket: None, ready_after: since.elapsed(), pids })
    }

    /// Asks it through this Unix socket from now on.
    #[must_use]
    pub fn through(mut self, socket: PathBuf) -> Self {
        self.socket = Some(socket);
        self
    }

    /// Starts our own endpoint without a record on a filled directory.
    pub fn unrecorded(folder: &Path) -> Fallible<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe().map_err(text)?);
        command.args(["--floor", "unrecorded", "--listen", &address.to_string(), "--folder"]).arg(folder);
        Self::start(command.stdout(Stdio::null()), address, Duration::from_secs(60), accepts)
    }

    /// Starts a program and waits until `ready` says so, `limit` at the most.
    pub fn start(
        command: &mut Command,
        address: SocketAddr,
        limit: Duration,
        ready: fn(SocketAddr) -> bool,
    ) -> Fallible<Self> {
        let since = Instant::now();
        let mut child = spawn(command)?;
        while !ready(address) {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("{command:?} ended ({status}) before it was ready"));
            }
            if since.elapsed() > limit {
                let _ = child.kill();
                return Err(format!("{command:?} was not ready after {limit:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let pids = vec![child.id()];
        Ok(Self { child, address, socket: None, ready_after: since.elapsed(), pids })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Fallible<Child> {
    command.stdin(Stdio::null()).spawn().map_err(|why| format!("cannot start {command:?}: {why}"))
}

/// Does it accept connections?
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// An address on loopback that was free a moment ago.
pub fn free_address() -> Fallible<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    listener.local_addr().map_err(text)
}
