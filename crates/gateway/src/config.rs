//! What the gateway is told at start: the upstream servers and the limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::connection::OAuth;

/// Everything the gateway is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// `scheme://host[:port]` under which agents reach this server, without a trailing slash.
    pub public_url: String,
    /// The upstream servers by the name they have in paths and policies.
    pub servers: BTreeMap<String, ServerConfig>,
    /// Sizes and counts.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
}

/// One upstream server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How it is reached.
    pub transport: Transport,
    /// The credential that is put into what is sent to it.
    pub inject: Option<Inject>,
    /// The same, obtained and renewed by OAuth. Not together with `inject`.
    pub oauth: Option<OAuth>,
    /// Names of arguments that stand in entries in clear.
    pub record_fields: Vec<String>,
    /// What becomes of its tools at first contact.
    pub pin: PinMode,
    /// How it is asked what a call of a tool would do, by the tool's name.
    pub dry_run: BTreeMap<String, Rehearsal>,
}

/// How a server is asked what a call would do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rehearsal {
    /// By another tool of it, which takes the same arguments.
    Tool(String),
    /// By the same tool, with this argument set to `true`.
    Argument(String),
}

/// How an upstream server is reached.
#[derive(Clone, Debug)]
pub enum Transport {
    /// MCP Streamable HTTP at this `http://` URL.
    Http(String),
    /// A child process that speaks MCP on its standard input and output.
    Stdio(Command),
}

/// A child process. It comes from the configuration file only; nothing in an API leads here.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program: a path, or a name looked up in the child's `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// Its whole environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
}

/// A credential that the agent never sees.
#[derive(Clone, Debug)]
pub struct Inject {
    /// The header it is sent in; for a child process the environment variable.
    pub name: String,
    /// The value, in which `{secret}` stands for the secret.
    pub value: String,
    /// The name of the sealed secret.
    pub secret: String,
}

/// What becomes of the tools of a server at first contact. Later ones wait for approval in both modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinMode {
    /// What it lists first is pinned.
    #[default]
    FirstUse,
    /// Every tool waits for approval.
    Manual,
}

/// Sizes in bytes, and counts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request body.
    pub body: usize,
    /// An upstream's answer, or one event of its stream.
    pub answer: usize,
    /// How much of a result is kept as a body of the outcome; the rest is cut off.
    pub kept_result: usize,
    /// Requests in progress, streams included.
    pub concurrent: usize,
    /// Requests in progress of one agent, streams included.
    pub concurrent_per_agent: usize,
    /// Open MCP sessions.
    pub sessions: usize,
    /// Open MCP sessions of one agent.
    pub sessions_per_agent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            answer: 8 << 20,
            kept_result: 64 << 10,
            concurrent: 1_024,
            concurrent_per_agent: 128,
            sessions: 1_024,
            sessions_per_agent: 64,
        }
    }
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to an upstream.
    pub connect: Duration,
    /// For the whole of a request body.
    pub body: Duration,
    /// For the next byte of an upstream's answer.
    pub idle: Duration,
    /// For a call under way that another one depends on.
    pub running: Duration,
    /// For a call that another one depends on and that may have been sent before it.
    pub coming: Duration,
    /// For people to approve a call whose client went to let them.
    pub approval: Duration,
    /// For an upstream to say what a call would do, before people are asked about it.
    pub rehearsal: Duration,
    /// Before an unused MCP session, or child process, is closed.
    pub session: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            running: Duration::from_secs(30),
            coming: Duration::from_secs(1),
            approval: Duration::from_secs(25),
            rehearsal: Duration::from_secs(5),
            session: Duration::from_secs(30 * 60),
        }
    }
}
