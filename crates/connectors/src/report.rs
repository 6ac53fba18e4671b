//! What a scan says. Published and versioned: `chancery discover schema` prints the JSON Schema of it.

use std::cmp::Ordering;

use serde::Serialize;

use crate::fingerprint::Fingerprint;
use crate::reference::Reference;

/// The name of this shape. It changes when a field goes away or means something else; new fields do not change it.
pub const SCHEMA_ID: &str = "https://chancery.dev/schema/discover-scan/1";

/// The JSON Schema (2020-12) of a [`Report`].
pub const SCHEMA: &str = include_str!("report.schema.json");

/// Everything a scan saw, and what it did not see. Sorted, so that a scan of the same files is the same text.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_ID`].
    pub schema: &'static str,
    /// Which files were read.
    pub coverage: Coverage,
    /// Agents, workloads, service accounts.
    pub identities: Vec<Identity>,
    /// MCP servers.
    pub servers: Vec<Server>,
    /// Where a credential is stated or referred to. Never its value.
    pub credentials: Vec<Credential>,
    /// What hangs on what.
    pub edges: Vec<Edge>,
    /// What is wrong, by rule.
    pub findings: Vec<Finding>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            schema: SCHEMA_ID,
            coverage: Coverage::default(),
            identities: Vec::new(),
            servers: Vec::new(),
            credentials: Vec::new(),
            edges: Vec::new(),
            findings: Vec::new(),
        }
    }
}

impl Report {
    /// Brings everything into its one order and takes what is there twice out.
    pub(crate) fn settle(&mut self) {
        self.coverage.gaps.sort_by(|a, b| a.path.cmp(&b.path));
        self.coverage.excluded.sort_by(|a, b| a.path.cmp(&b.path));
        self.identities.sort_by(|a, b| by_source(&a.source, &b.source));
        self.servers.sort_by(|a, b| by_source(&a.source, &b.source));
        self.credentials.sort_by(|a, b| by_source(&a.source, &b.source).then_with(|| a.id.cmp(&b.id)));
        self.edges.sort();
        self.edges.dedup();
        self.findings.sort_by(|a, b| (a.rule, &a.subject, &a.evidence).cmp(&(b.rule, &b.subject, &b.evidence)));
        self.findings.dedup_by(|a, b| a.rule == b.rule && a.subject == b.subject && a.evidence == b.evidence);
    }
}

/// By path, then in the order a reader meets things: numbers within a pointer count as numbers.
fn by_source(a: &Source, b: &Source) -> Ordering {
    let steps = |pointer: &str| -> Vec<(usize, String)> {
        pointer.split('/').map(|step| (step.parse().unwrap_or(usize::MAX), step.to_owned())).collect()
    };
    a.path.cmp(&b.path).then_with(|| steps(&a.pointer).cmp(&steps(&b.pointer)))
}

/// What became of the files: `files` is `parsed` + `irrelevant` + the number of `gaps`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    /// Files met.
    pub files: u64,
    /// Bytes of those that were read.
    pub bytes: u64,
    /// Files that said something of identities, servers or credentials and were understood.
    pub parsed: u64,
    /// Files that say nothing of them.
    pub irrelevant: u64,
    /// Files that were not understood and may say something. Nothing may be called missing because of them.
    pub gaps: Vec<Gap>,
    /// Directories that were not entered.
    pub excluded: Vec<Excluded>,
}

/// A file that was not understood.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    /// Relative to what was scanned.
    pub path: String,
    /// Why, for people.
    pub reason: String,
}

/// A directory that was not entered.
#[derive(Clone, Debug, Serialize)]
pub struct Excluded {
    /// Relative to what was scanned.
    pub path: String,
    /// Why, for people.
    pub reason: &'static str,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The file, relative to what was scanned, with `/`.
    pub path: String,
    /// The place in it: a JSON pointer (RFC 6901); in a file of several documents it begins with the number of the
    /// document; in a file of lines it is the number of the line.
    pub pointer: String,
}

/// Whoever acts.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// `kind:path#pointer`.
    pub id: String,
    /// `ai_agent`, `service_account`, `workload`, `workflow`.
    pub kind: &'static str,
    /// As its source calls it; with its namespace where there is one.
    pub name: String,
    /// What runs it: `n8n`, `crewai`, `a2a`, `kubernetes`, …
    pub framework: &'static str,
    /// Where it stands.
    pub source: Source,
    /// The language model it thinks with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The names of its tools.
    pub tools: Vec<String>,
    /// The ids of the credentials it reaches.
    pub credentials: Vec<String>,
    /// Who might answer for it. A hint is never an owner.
    pub owner_hints: Vec<OwnerHint>,
}

/// Who might answer for an identity, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerHint {
    /// The name as it stands there.
    pub name: String,
    /// Where it was read: `label`, `annotation`, `provider`.
    pub from: &'static str,
}

/// How one speaks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A child process.
    Stdio,
    /// Streamable HTTP.
    StreamableHttp,
    /// HTTP with server-sent events, the older form.
    Sse,
    /// A socket.
    WebSocket,
    /// The source does not say.
    Unknown,
}

/// An MCP server.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// `server:path#pointer`.
    pub id: String,
    /// As its source calls it.
    pub name: String,
    /// How one speaks to it.
    pub transport: Transport,
    /// The command line; what is secret in it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The address; what is secret in it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// The ids of the credentials it is given.
    pub credentials: Vec<String>,
    /// Where it stands.
    pub source: Source,
}

/// A published package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// `npm`, `pypi`, `oci`, … as the source has it.
    pub registry: String,
    /// The name in it.
    pub name: String,
    /// The version or digest, where one is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A place that states a credential or refers to one.
#[derive(Clone, Debug, Serialize)]
pub struct Credential {
    /// `credential:path#pointer`.
    pub id: String,
    /// `api_key`, `password`, `token`, `client_secret`, `access_key`, `key_pair`, `oauth_grant`, `webhook_secret`,
    /// `connection_string`, `sa_token`.
    pub kind: &'static str,
    /// How it stands there.
    pub reference: Reference,
    /// The variable, header, option or stored name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its system calls this sort, for instance `openAiApi`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub native_type: Option<String>,
    /// Of a literal: the same for the same secret under the same key, and nothing can be learned from it without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Where it stands.
    pub source: Source,
}

/// `from` KIND `to`. Ends are ids of this report, or of something outside it, then `unresolved` is set, or name a thing
/// that needs no record of its own (`tool:…`, `model:…`, `task:…`, `memory:…`, `role:…`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// Whoever has it.
    pub from: String,
    /// `uses_tool`, `uses_model`, `uses_memory`, `uses_credential`, `performs`, `part_of`, `runs_as`, `has_role`,
    /// `invokes`, `can_access`, `can_assume`, `federates_to`.
    pub kind: &'static str,
    /// What is had.
    pub to: String,
    /// The other end is named, and is not in what was scanned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unresolved: bool,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule of the catalogue, for instance `SEC-1`.
    pub rule: &'static str,
    /// The id of what it is about.
    pub subject: String,
    /// The facts, in one sentence.
    pub evidence: String,
    /// The OWASP ids it maps to.
    pub owasp: &'static [&'static str],
    /// Where it stands.
    pub source: Source,
}
