//! `chancery mcp bridge`: MCP on standard input and output for a client that cannot prove possession of a key.
//!
//! It holds the agent's key, gets tokens, adds a proof to each request and passes messages on as they are, over
//! either wire. Messages go to standard output, everything else to standard error.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chancery_authenticate::wallet::Wallet;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::failure::{Done, Failure};
use crate::keys;

mod events;
mod headers;
mod link;

use headers::Wire;
use link::Link;

/// As whom, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The agent; its key must have been enrolled on this machine
    #[arg(long = "as", value_name = "AGENT")]
    agent: String,
    /// The upstream server
    #[arg(long, value_name = "NAME")]
    server: String,
    /// The name of this running copy; it stands in tokens and in the log
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// What the agent is made of: a file with its manifest as JSON
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  chancery mcp bridge --as crm-assistant --server crm
  claude mcp add crm -- chancery mcp bridge --as crm-assistant --server crm
Clients start it themselves: `chancery mcp config` prints what each wants to read.";

/// The longest message, in bytes: the gateway takes no longer one.
const LONGEST: u64 = 1 << 20;
/// Answers that wait to be written.
const QUEUE: usize = 64;
/// For requests that are under way when the client leaves.
const PATIENCE: Duration = Duration::from_secs(5);
/// JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i64 = -32_700;
const INTERNAL_ERROR: i64 = -32_603;

/// Runs until standard input ends.
pub async fn run(context: &Context, args: &Args) -> Done {
    let url = context.url()?;
    let key = context.keys().load(&args.agent)?;
    let issuer = keys::issuer(&url).await?;
    let resource = format!("{issuer}/mcp/{}", crate::http::encoded(&args.server));
    let mut wallet = Wallet::new(key, &args.agent, &issuer, &resource);
    if let Some(name) = &args.instance {
        wallet = wallet.instance(name);
    }
    if let Some(path) = &args.manifest {
        wallet = wallet.manifest(&std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?);
    }
    let link = Link::new(wallet, &url, Arc::clone(&context.clock), Arc::clone(&context.random))?;
    // A wrong name or a suspended agent is told now, not at the client's first message.
    link.renew().await?;
    let (lines, written) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write(written));
    let bridge = Bridge { link: Arc::new(link), wire: Arc::default(), lines, tasks: TaskTracker::new() };
    let read = tokio::select! {
        read = bridge.read() => read,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    };
    bridge.leave().await;
    // The writer ends when the last sender is gone.
    let _ = tokio::time::timeout(PATIENCE, writer).await;
    read
}

struct Bridge {
    link: Arc<Link>,
    wire: Arc<Wire>,
    lines: mpsc::Sender<String>,
    tasks: TaskTracker,
}

async fn write(mut lines: mpsc::Receiver<String>) {
    let mut output = tokio::io::stdout();
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        let written = async {
            output.write_all(line.as_bytes()).await?;
            output.flush().await
        };
        // The client is gone: reading will see that too.
        if written.await.is_err() {
            return;
        }
    }
}

impl Bridge {
    async fn read(&self) -> Done {
        let mut input = BufReader::new(tokio::io::stdin());
        loop {
            let mut line = Vec::new();
            let read = (&mut input).take(LONGEST + 1).read_until(b'\n', &mut line).await;
            if read.map_err(Failure::output)? == 0 {
                return Ok(());
            }
            if line.len() as u64 > LONGEST {
                return Err(Failure::usage(format!("a message is over {LONGEST} bytes")));
            }
            if !line.trim_ascii().is_empty() {
                self.message(line.trim_ascii()).await;
            }
        }
    }

    /// Requests run side by side; what must come before others (`initialize`, notifications) is waited for.
    async fn message(&self, line: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            return self.say(error(&Value::Null, PARSE_ERROR, "the message is not JSON")).await;
        };
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let one = One { link: self.link.clone(), wire: self.wire.clone(), lines: self.lines.clone(), message };
        if method == "initialize" || one.message.get("id").is_none() || method.is_empty() {
            one.pass(line.to_vec()).await;
        } else {
            let line = line.to_vec();
            self.tasks.spawn(async move { one.pass(line).await });
        }
        if method == "notifications/initialized" {
            self.listen();
        }
    }

    /// The server's own messages come over a GET stream on the wire with sessions.
    fn listen(&self) {
        let (link, wire, lines) = (self.link.clone(), self.wire.clone(), self.lines.clone());
        tokio::spawn(async move {
            if let Ok(response) = link.send("GET", wire.plain(), Vec::new()).await
                && response.status().is_success()
            {
                events::pass(response, &lines, |_| {}).await;
            }
        });
    }

    async fn say(&self, message: Value) {
        // Without a reader there is nobody to tell.
        let _ = self.lines.send(message.to_string()).await;
    }

    async fn leave(self) {
        self.tasks.close();
        let _ = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
        if self.wire.has_session() {
            let _ = tokio::time::timeout(PATIENCE, self.link.send("DELETE", self.wire.plain(), Vec::new())).await;
        }
    }
}

/// One message on its way.
struct One {
    link: Arc<Link>,
    wire: Arc<Wire>,
    lines: mpsc::Sender<String>,
    message: Value,
}

impl One {
    async fn pass(self, line: Vec<u8>) {
        let id = self.message.get("id").cloned();
        if let Err(failure) = self.exchange(line).await {
            let problem = failure.problem();
            let text = format!("{}: {} [{}]; {}", problem.title, problem.detail, problem.code, problem.next);
            match id.filter(|_| self.message.get("method").is_some()) {
                Some(id) => drop(self.lines.send(error(&id, INTERNAL_ERROR, &text).to_string()).await),
                None => tracing::warn!("{text}"),
            }
        }
    }

    async fn exchange(&self, line: Vec<u8>) -> Done {
        let headers = self.wire.headers(&self.message);
        let response = self.link.send("POST", headers, line).await?;
        self.wire.note_session(&self.message, response.headers());
        events::pass(response, &self.lines, |answer| self.wire.note_answer(&self.message, answer)).await;
        Ok(())
    }
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}
