//! Upstreams that are child processes: JSON-RPC, one message a line, on standard input and output.
//!
//! On the wires with sessions every MCP session has a child of its own; on the wire of 2026-07-28 all requests of one
//! agent share one. A child sees ids and progress tokens of ours, so that requests that share it cannot meet.
//! It inherits no environment. Its standard error goes to our log, without secrets.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use chancery_model::Secret;
use chancery_store::Lease;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::line::UNLEASED;
use super::{Envelope, Failure};
use crate::config::{Command, Config};
use crate::inject::Credential;
use crate::lock;
use crate::message::{Form, Id, Message};
use crate::scrub::Scrubber;

/// How long a child may take to end after its standard input was closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// Messages of the server that wait for somebody to read them; further ones are dropped.
const WAITING: usize = 256;
/// How much of one line of standard error is logged, in characters.
const ERROR_LINE: usize = 2_000;
/// The longest line of standard error of which anything is logged, in bytes.
const LONGEST_ERROR: usize = 64 << 10;

/// A program from the configuration.
pub(crate) struct Program {
    server: Arc<str>,
    command: Command,
    limit: usize,
    idle: Duration,
    lease: Arc<Lease>,
}

/// A running child. It ends when nobody holds it any more.
pub(crate) struct Child {
    input: tokio::sync::Mutex<ChildStdin>,
    desk: Arc<Desk>,
    next: AtomicI64,
    idle: Duration,
    /// Which credential it was started with.
    pub(crate) generation: u64,
    lease: Arc<Lease>,
    /// It is to end at once, whatever it is doing.
    now: CancellationToken,
    ended: CancellationToken,
    _stop: DropGuard,
}

/// How a child is told to end, and tells that it did.
struct Ending {
    stop: CancellationToken,
    now: CancellationToken,
    _ended: DropGuard,
}

/// Where the messages of a child are handed to those who wait for them.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    gone: CancellationToken,
}

#[derive(Default)]
struct State {
    /// Requests that were sent, in that order; the last one gets what cannot be attributed.
    pending: Vec<(i64, Pending)>,
    listener: Option<mpsc::Sender<Bytes>>,
    waiting: VecDeque<Bytes>,
}

struct Pending {
    original: Id,
    progress: Option<Value>,
    answer: oneshot::Sender<Bytes>,
    notes: mpsc::Sender<Bytes>,
}

/// What a request gets from a child: notes on the way, then one answer. Dropped early, it cancels the request.
pub(crate) struct Reply {
    number: i64,
    child: Arc<Child>,
    notes: mpsc::Receiver<Bytes>,
    answer: oneshot::Receiver<Bytes>,
    done: bool,
}

/// A line that is being written.
struct Half<'c> {
    child: &'c Child,
    written: usize,
    whole: usize,
}

impl Program {
    pub(crate) fn new(server: Arc<str>, command: Command, config: &Config, lease: Arc<Lease>) -> Self {
        Self { server, command, limit: config.limits.answer, idle: config.timeouts.idle, lease }
    }

    /// Starts a child; the credential is one more variable of its environment.
    pub(crate) fn start(&self, credential: &Credential) -> Result<Arc<Child>, Failure> {
        let failed =
            |e: std::io::Error| Failure::not_sent(format!("`{}` cannot be started: {e}", self.command.program));
        let mut process = self.spawn(credential.variable.as_ref()).map_err(failed)?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(Failure::not_sent("the pipes of its process are not there"));
        };
        let desk = Arc::new(Desk::default());
        let [stop, now, ended] = std::array::from_fn(|_| CancellationToken::new());
        tokio::spawn(log_errors(self.server.clone(), errors, credential.scrubber.clone()));
        let ending = Ending { stop: stop.clone(), now: now.clone(), _ended: ended.clone().drop_guard() };
        tokio::spawn(watch(self.server.clone(), process, output, self.limit, desk.clone(), ending));
        Ok(Arc::new(Child {
            input: tokio::sync::Mutex::new(input),
            desk,
            next: AtomicI64::new(1),
            idle: self.idle,
            generation: credential.generation,
            lease: Arc::clone(&self.lease),
            now,
            ended,
            _stop: stop.drop_guard(),
        }))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where an upstream's command is started")]
    fn spawn(&self, secret: Option<&(String, Secret)>) -> std::io::Result<tokio::process::Child> {
        let mut command = tokio::process::Command::new(&self.command.program);
        command.args(&self.command.args).env_clear().envs(&self.command.env);
        if let Some((name, secret)) = secret {
            command.env(name, secret.expose());
        }
        if let Some(directory) = &self.command.cwd {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process group of its own: a signal from the terminal is for the server, which then closes the input.
        command.process_group(0).kill_on_drop(true).spawn()
    }
}

/// Reads what a child says until it ends or is to end, and sees to it that it does.
async fn watch(
    server: Arc<str>,
    mut process: tokio::process::Child,
    output: ChildStdout,
    limit: usize,
    desk: Arc<Desk>,
    ending: Ending,
) {
    let pid = process.id();
    tokio::select! {
        why = desk.read(output, limit) => tracing::info!(%server, pid, why, "upstream process stopped talking"),
        () = ending.stop.cancelled() => tracing::debug!(%server, pid, "upstream process is no longer needed"),
        () = ending.now.cancelled() => tracing::info!(%server, pid, "upstream process is ended at once"),
    }
    desk.close();
    let gone = tokio::select! {
        gone = tokio::time::timeout(FAREWELL, process.wait()) => gone.is_ok(),
        () = ending.now.cancelled() => false,
    };
    if !gone && let Err(error) = process.kill().await {
        tracing::warn!(%server, pid, %error, "upstream process cannot be ended");
    }
}

/// Logs what a child says of itself, line by line, to its end: a child whose standard error nobody reads stops.
async fn log_errors(server: Arc<str>, errors: ChildStderr, scrubber: Arc<Scrubber>) {
    let mut errors = BufReader::new(errors);
    while let Ok(Some(line)) = error_line(&mut errors).await {
        let shown = match line {
            Some(line) => scrubber.text(&String::from_utf8_lossy(&line)).chars().take(ERROR_LINE).collect(),
            // A part of it could end within a secret.
            None => format!("(a line of more than {LONGEST_ERROR} bytes is left out)"),
        };
        tracing::info!(%server, stderr = %shown, "upstream process");
    }
}

/// The next line: nothing at the end, and nothing of a line that is too long.
async fn error_line(errors: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Option<Vec<u8>>>> {
    let most = u64::try_from(LONGEST_ERROR).unwrap_or(u64::MAX);
    let (mut line, mut whole) = (Vec::new(), true);
    loop {
        line.clear();
        let length = (&mut *errors).take(most).read_until(b'\n', &mut line).await?;
        let ended = line.last() == Some(&b'\n') || length < LONGEST_ERROR;
        if length == 0 && whole {
            return Ok(None);
        }
        if ended {
            return Ok(Some(whole.then(|| line.trim_ascii_end().to_vec())));
        }
        whole = false;
    }
}

impl Child {
    /// Has it ended?
    pub(crate) fn is_gone(&self) -> bool {
        self.desk.gone.is_cancelled()
    }

    /// Is its process over?
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Ends it at once: what it was sent and has not read yet, it never reads. Says whether it was gone within this time.
    pub(crate) async fn kill(&self, patience: Duration) -> bool {
        self.now.cancel();
        tokio::time::timeout(patience, self.ended.cancelled()).await.is_ok()
    }

    /// Sends a request and gives where its answer will come.
    pub(crate) async fn request(self: &Arc<Self>, mut message: Message) -> Result<Reply, Failure> {
        let Form::Request(original) = message.form.clone() else {
            return Err(Failure::not_sent("only requests are answered"));
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let progress = message.meta("progressToken").cloned();
        message.set_id(number);
        if progress.is_some() {
            message.set_meta("progressToken", number.into());
        }
        let (answer_in, answer) = oneshot::channel();
        let (notes_in, notes) = mpsc::channel(WAITING);
        let pending = Pending { original, progress, answer: answer_in, notes: notes_in };
        lock(&self.desk.state).pending.push((number, pending));
        // From here on dropping it takes the request back.
        let reply = Reply { number, child: self.clone(), notes, answer, done: false };
        self.tell(&message).await?;
        Ok(reply)
    }

    /// Sends a message that has no answer.
    pub(crate) async fn tell(&self, message: &Message) -> Result<(), Failure> {
        let mut line = message.to_bytes().map_err(|e| Failure::not_sent(e.why))?;
        line.push(b'\n');
        self.write(&line, &|| self.lease.is_fresh()).await
    }

    /// Writes a line while it may be written. A line that was begun and is not ended leaves the child with half a message,
    /// to which the next one must not be added: it is ended.
    async fn write(&self, line: &[u8], may: &(dyn Fn() -> bool + Send + Sync)) -> Result<(), Failure> {
        if self.is_gone() {
            return Err(Failure::not_sent("its process has ended"));
        }
        let mut input = self.input.lock().await;
        let mut half = Half { child: self, written: 0, whole: line.len() };
        let written = async {
            while half.written < line.len() {
                let more = poll_fn(|cx| match may() {
                    true => Pin::new(&mut *input).poll_write(cx, &line[half.written..]),
                    false => Poll::Ready(Err(std::io::Error::other(UNLEASED))),
                });
                match more.await? {
                    0 => return Err(std::io::ErrorKind::WriteZero.into()),
                    more => half.written += more,
                }
            }
            input.flush().await
        };
        match tokio::time::timeout(self.idle, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(Failure::unknown(format!("its process does not read: {e}"))),
            Err(_) => Err(Failure::unknown(format!("its process did not read for {} s", self.idle.as_secs()))),
        }
    }

    /// The number under which the child knows the client's request.
    pub(crate) fn number_of(&self, id: &Id) -> Option<i64> {
        let state = lock(&self.desk.state);
        state.pending.iter().rev().find(|(_, pending)| pending.original == *id).map(|(number, _)| *number)
    }

    /// Opens the stream of what belongs to no request; an earlier one ends.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut state = lock(&self.desk.state);
        for line in state.waiting.drain(..) {
            // As many fit as may wait.
            let _ = sender.try_send(line);
        }
        state.listener = Some(sender);
        receiver
    }

    fn forget(self: &Arc<Self>, number: i64) {
        lock(&self.desk.state).pending.retain(|(other, _)| *other != number);
        let child = self.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": {"requestId": number, "reason": "the client went away"}});
                // The child may be gone as well; then there is nothing left to cancel.
                // To take something back no lease is needed.
                let _ = child.write(format!("{note}\n").as_bytes(), &|| true).await;
            });
        }
    }
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        if self.written > 0 && self.written < self.whole {
            self.child.now.cancel();
        }
    }
}

impl Reply {
    /// The next message: notes first, the answer last. `None` if the child ended without one.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let line = tokio::select! {
            biased;
            Some(note) = self.notes.recv() => return Some(note),
            answer = &mut self.answer => answer.ok(),
        };
        self.done = true;
        line
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.done {
            self.child.forget(self.number);
        }
    }
}

impl Desk {
    async fn read(&self, output: ChildStdout, limit: usize) -> String {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            match (&mut output).take(most).read_until(b'\n', &mut line).await {
                Ok(0) => return "it closed its output".into(),
                Ok(length) if length > limit => return format!("a line is longer than {limit} bytes"),
                Ok(_) => self.sort(line.into()),
                Err(e) => return e.to_string(),
            }
        }
    }

    /// Hands one message to whom it is for.
    fn sort(&self, line: Bytes) {
        let line = line.slice(..line.trim_ascii_end().len());
        if line.is_empty() {
            return;
        }
        let Ok(envelope) = Envelope::read(&line) else {
            tracing::warn!(bytes = line.len(), "upstream process said something that is not JSON-RPC");
            return;
        };
        let number = envelope.id.and_then(|id| id.get().parse::<i64>().ok());
        let mut state = lock(&self.state);
        if envelope.is_answer() {
            let place = state.pending.iter().position(|(other, _)| Some(*other) == number);
            if let Some(place) = place {
                let (_, pending) = state.pending.remove(place);
                let answer = with_id(&envelope, &pending.original);
                drop(pending.answer.send(answer.unwrap_or(line)));
            }
            return;
        }
        state.note(&envelope, line.clone());
    }

    fn close(&self) {
        self.gone.cancel();
        let mut state = lock(&self.state);
        state.pending.clear();
        state.listener = None;
    }
}

impl State {
    /// A note that says which request it belongs to goes there; another to the only request there is, or to the
    /// session's stream, or to the newest request, or it waits for the stream.
    fn note(&mut self, envelope: &Envelope<'_>, line: Bytes) {
        let (owner, original) = self.owner(envelope);
        let line = original.unwrap_or(line);
        let request = owner.or_else(|| (self.pending.len() == 1).then_some(0));
        let request = request.or_else(|| self.listener.is_none().then(|| self.pending.len().checked_sub(1)).flatten());
        let sent = match (request.and_then(|at| self.pending.get(at)), &self.listener) {
            (Some((_, pending)), _) => pending.notes.try_send(line),
            (None, Some(listener)) if !listener.is_closed() => listener.try_send(line),
            (None, _) => {
                self.waiting.truncate(WAITING - 1);
                self.waiting.push_back(line);
                Ok(())
            }
        };
        if sent.is_err() {
            tracing::warn!("a message of an upstream process was dropped: nobody reads fast enough");
        }
    }

    /// Which request a note names by the token or subscription we gave it, and the note with the client's own.
    fn owner(&self, envelope: &Envelope<'_>) -> (Option<usize>, Option<Bytes>) {
        let named = envelope.params.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let Some(mut params) = named else { return (None, None) };
        const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
        let token = params.get("progressToken").and_then(Value::as_i64);
        let subscription = params.get("_meta").and_then(|meta| meta.get(SUBSCRIPTION)).and_then(Value::as_i64);
        let at = |number: i64| self.pending.iter().position(|(other, _)| *other == number);
        let Some(at) = token.or(subscription).and_then(at) else { return (None, None) };
        let pending = &self.pending[at].1;
        match (token, &pending.progress) {
            (Some(_), Some(progress)) => params["progressToken"] = progress.clone(),
            (Some(_), None) => return (None, None),
            (None, _) => params["_meta"][SUBSCRIPTION] = pending.original.to_value(),
        }
        let note = json!({"jsonrpc": "2.0", "method": envelope.method, "params": params});
        (Some(at), Some(note.to_string().into()))
    }
}

/// An answer under the id its client gave the request.
fn with_id(envelope: &Envelope<'_>, id: &Id) -> Option<Bytes> {
    let id = to_raw_value(&id.to_value()).ok()?;
    let mut members: HashMap<&str, &RawValue> = HashMap::from([("id", &*id)]);
    let version = to_raw_value("2.0").ok()?;
    members.insert("jsonrpc", &version);
    match (envelope.result, envelope.error) {
        (Some(result), None) => members.insert("result", result),
        (None, Some(error)) => members.insert("error", error),
        _ => return None,
    };
    serde_json::to_vec(&members).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn standard_error_is_read_to_its_end_whatever_it_holds() {
        let long = "x".repeat(3 * LONGEST_ERROR + 7);
        let exact = "y".repeat(LONGEST_ERROR);
        let said =
            [b"first\n".as_slice(), b"\xff\xfe not text\n\n", long.as_bytes(), b"\n", exact.as_bytes(), b"\nlast"];
        let said = said.concat();
        let mut reader = BufReader::new(&said[..]);
        let mut lines = Vec::new();
        while let Some(line) = error_line(&mut reader).await.unwrap() {
            lines.push(line.map(|line| String::from_utf8_lossy(&line).into_owned()));
        }
        let whole = |text: &str| Some(text.to_owned());
        let expected = [whole("first"), whole("\u{fffd}\u{fffd} not text"), whole(""), None, None, whole("last")];
        assert_eq!(lines, expected);
    }
}
