//! The process under test: started, listened to, and made to end.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use super::Seen;

/// How to start it: the program with its arguments, behind a wrapper (`strace …`) if there is one.
pub struct Subject {
    pub wrapper: Vec<OsString>,
    pub args: Vec<OsString>,
}

/// It runs. Dropping it ends it.
pub struct Running {
    pub child: Child,
    stdin: Option<ChildStdin>,
    ready: Receiver<()>,
    listener: Option<JoinHandle<Seen>>,
    enough: Arc<AtomicBool>,
}

/// A program that is run for its effect, output and all.
#[expect(clippy::disallowed_methods, reason = "these tests start and kill real processes")]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

impl Subject {
    /// `append-loop` on a data directory. Each run has a name of its own, so that no two entries have the same.
    pub fn append_loop(dir: &Path, run: &str, mode: &[&str]) -> Self {
        let mut args = vec![env!("CARGO_BIN_EXE_append-loop").into(), dir.into(), run.into()];
        args.extend(mode.iter().map(OsString::from));
        Self { wrapper: Vec::new(), args }
    }

    pub fn start(&self) -> Running {
        let words: Vec<&OsString> = self.wrapper.iter().chain(&self.args).collect();
        let mut child = command(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (tell, ready) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let listener = spawn(move || {
            let mut seen = Seen::new();
            for line in lines.map_while(Result::ok) {
                match line.split(' ').collect::<Vec<_>>()[..] {
                    ["ready"] => drop(tell.send(())),
                    ["ack", ..] if stop.load(Ordering::SeqCst) => {}
                    ["ack", tag] => drop(seen.insert(tag.to_owned(), None)),
                    ["ack", tag, seq] => drop(seen.insert(tag.to_owned(), Some(seq.parse().unwrap()))),
                    _ => println!("the process says: {line}"),
                }
            }
            seen
        });
        Running { stdin: child.stdin.take(), child, ready, listener: Some(listener), enough }
    }
}

impl Running {
    /// Waits until it said `ready`; false if it ended before.
    pub fn wait_until_ready(&self) -> bool {
        match self.ready.recv_timeout(Duration::from_secs(30)) {
            Ok(()) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("the process is not ready after 30 seconds"),
        }
    }

    /// Lets `once` begin, or `load` end.
    pub fn send_line(&mut self) {
        // A process that is gone already does not read it; that is seen elsewhere.
        drop(self.stdin.as_mut().unwrap().write_all(b"\n"));
    }

    /// What is acknowledged from now on does not count: the power is about to go, and with it whoever could hear it.
    pub fn stop_counting(&self) {
        self.enough.store(true, Ordering::SeqCst);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end, and kills it if that does not come; what was seen of it.
    pub fn end(mut self) -> (ExitStatus, Seen) {
        self.stdin = None;
        let status = self.wait();
        (status, self.listener.take().unwrap().join().unwrap())
    }

    fn wait(&mut self) -> ExitStatus {
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            sleep(Duration::from_millis(10));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin = None;
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
