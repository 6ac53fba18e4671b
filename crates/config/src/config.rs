//! `chancery.toml`: one table per room, unknown keys refused with a suggestion, relative paths taken from the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chancery_gateway::OAuth;
use chancery_model::{Secret, Span};
use chancery_oversee::notify::Channel;
use chancery_oversee::trigger::Trigger;
use serde::Deserialize;

mod file;
mod people;
mod signals;
mod spiffe;
mod suggest;
mod tls;

use file::File;
pub use people::People;
pub use signals::{Delivered, SignalReceiver, SignalTransmitter, Signals};
pub use spiffe::{SocketMode, Spiffe, Workload};
pub use tls::Tls;

/// Where things are when the file does not say: the binary reads them from the environment.
#[derive(Clone, Debug)]
pub struct Places {
    /// Holds the database and the admin socket.
    pub data: PathBuf,
    /// Holds the key-encryption key. Must be outside `data`.
    pub kek: PathBuf,
    /// The search path for the programs of child processes.
    pub path: Option<String>,
}

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory: database, admin socket. Mode 0700.
    pub data: PathBuf,
    /// A PostgreSQL database instead of the one in the data directory.
    pub database: Option<Secret>,
    /// What this process is among those that share the database.
    pub node: Node,
    /// Where the TCP door listens. Loopback only; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What clients call this server: scheme, host and port, no path. The address it got, if not given.
    pub public_url: Option<String>,
    /// Further host names (with port, if not the scheme's own) requests may come under.
    pub hosts: Vec<String>,
    /// The directory of policies, templates, schema and entities.
    pub policies: PathBuf,
    /// The file of the key-encryption key. Outside the data directory.
    pub kek: PathBuf,
    /// Tokens and sessions.
    pub tokens: Tokens,
    /// Chains of delegation, and whom others take our word for.
    pub delegation: Delegation,
    /// The log.
    pub log: Log,
    /// Documents that are fetched from addresses others named.
    pub fetch: Fetch,
    /// What people are asked, and how.
    pub oauth: Oauth,
    /// Calls that wait for people.
    pub approvals: Approvals,
    /// People with browsers.
    pub people: People,
    /// Security events to others and from others.
    pub signals: Signals,
    /// The upstream servers by name.
    pub servers: BTreeMap<String, Upstream>,
    /// Whom to tell what.
    pub channels: Vec<Channel>,
    /// What is not to be waited with until a person looks.
    pub triggers: Vec<Trigger>,
    /// How many containments triggers may make in an hour.
    pub automatic_containments: u32,
    /// The TLS door, if there is to be one.
    pub tls: Option<Tls>,
    /// Our own trust domain, if there is to be one.
    pub spiffe: Option<Spiffe>,
    /// What becomes of tools that are seen for the first time.
    pub pin: Pin,
    /// Names of arguments that stand in entries in clear, for every server.
    pub record_fields: Vec<String>,
    /// The search path for the programs of child processes.
    pub path: Option<String>,
}

/// One of several processes on one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Its name, once and for ever; `node-` and its number where there is none.
    pub name: String,
    /// Where people reach it, for `chancery node list`.
    pub address: String,
    /// What it does.
    pub role: Role,
    /// A file with the token with which it joins; needed once.
    pub join_file: Option<PathBuf>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    #[default]
    All,
    /// Calls and decisions: no tokens, no pages, none of the jobs of which there is one.
    Gateway,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Gateway => "gateway",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::All, Self::Gateway].into_iter().find(|role| role.name() == name)
    }
}

/// Chains of delegation, and who takes our word for our people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delegation {
    /// How many agents may stand in a chain: 1 to 16.
    pub depth: usize,
    /// Authorization servers that take identity assertions of ours.
    pub partners: Vec<Partner>,
    /// Identity providers whose word is taken for who people are.
    pub providers: Vec<Provider>,
    /// The audience of transaction tokens; the address of this server where there is none.
    pub transactions: Option<String>,
    /// The scopes that a transaction token may carry.
    pub transaction_scopes: Vec<String>,
}

/// An authorization server that takes our word for who our people are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partner {
    /// Its issuer identifier.
    pub issuer: String,
    /// What it calls our agents; each agent's own id where there is nothing.
    #[serde(default)]
    pub client_id: Option<String>,
    /// What agents may ask of it in our people's names; nothing where the list is empty.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// An identity provider whose word is taken for who people are, where a person has an account at it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its issuer identifier.
    pub issuer: String,
    /// Where its keys are, if not where its metadata says.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// Which of its tenants is meant, where it has several.
    #[serde(default)]
    pub tenant: Option<String>,
}

impl Default for Delegation {
    fn default() -> Self {
        Self {
            depth: 4,
            partners: Vec::new(),
            providers: Vec::new(),
            transactions: None,
            transaction_scopes: Vec::new(),
        }
    }
}

/// Lifetimes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// How long an access token lives, in seconds: 30 to 900.
    pub seconds: u32,
    /// How long a session may last, in minutes: 1 to 1440.
    pub session_minutes: u32,
    /// How long a session may be left unused, in minutes: at most `session_minutes`.
    pub idle_minutes: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { seconds: 300, session_minutes: 480, idle_minutes: 15 }
    }
}

impl Tokens {
    /// The lifetime of an access token.
    pub fn lifetime(&self) -> Span {
        Span::seconds(self.seconds.into())
    }

    /// The maximum of a session.
    pub fn session(&self) -> Span {
        Span::minutes(self.session_minutes.into())
    }

    /// The idle time of a session.
    pub fn idle(&self) -> Span {
        Span::minutes(self.idle_minutes.into())
    }
}

/// The log's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The name of the log in its checkpoints (C2SP tlog-checkpoint): a schema-less URL, for ever the same.
    pub origin: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { origin: "chancery.local/log".into() }
    }
}

/// Limits of asking people to approve calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approvals {
    /// Requests of one agent that may wait at a time.
    pub waiting: u64,
    /// Requests that one agent may make in an hour.
    pub hourly: u64,
    /// Seconds that a call waits for people once its client went to let them decide: at most 120.
    pub hold: u64,
    /// After how many requests a decoy is placed among them, which nobody may say yes to; 0 for never.
    pub decoys: u64,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { waiting: 10, hourly: 60, hold: 25, decoys: 0 }
    }
}

/// What may be fetched besides public `https` addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// `host:port` as it stands in URLs: plain `http` is allowed there, and addresses that are not public.
    pub allow: Vec<String>,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub authorities: Option<PathBuf>,
}

/// The authorization endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oauth {
    /// Whether only requests that were pushed are taken (RFC 9126).
    pub require_pushed_authorization_requests: bool,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: Registration,
}

/// Whether clients may register themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// No.
    #[default]
    Off,
    /// With a one-time code that an administrator made for one agent: the initial access token.
    InitialAccessToken,
}

/// What becomes of tools of a server that has none pinned yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Those of the first listing are pinned, later ones wait for approval.
    #[default]
    FirstUse,
    /// Every tool waits for approval.
    Manual,
}

/// One upstream server: reached by URL, or started as a child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// How it is reached.
    pub transport: Transport,
    /// The credential that is added to each request to it.
    pub inject: Option<Inject>,
    /// The same, obtained and renewed by OAuth.
    pub oauth: Option<OAuth>,
    /// Names of its arguments that stand in entries in clear.
    pub record_fields: Vec<String>,
    /// How it is asked what a call of a tool would do, by the tool's name.
    pub dry_run: BTreeMap<String, chancery_gateway::Rehearsal>,
}

/// How an upstream server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP at this URL.
    Http(String),
    /// A child process that speaks MCP on standard input and output.
    Stdio(Command),
}

/// A child process. It can be stated in this file only, never through an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program: a path, or a name looked up in PATH.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// Its environment besides PATH.
    pub env: BTreeMap<String, String>,
}

/// A credential that is added on the way to an upstream server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// The header it is put in; for a child process the environment variable.
    pub header: String,
    /// The header's value, `{secret}` stands for the secret.
    pub value: String,
    /// The name of the stored secret.
    pub secret: String,
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}{}", suggestion.as_ref().map(|s| format!(": {s}")).unwrap_or_default())]
pub struct ConfigError {
    /// File, line and column, or the key.
    pub place: String,
    /// What is wrong, with the value that was seen.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl ConfigError {
    /// Something is wrong with the value of a key.
    pub fn key(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: key.into(), message: message.into(), suggestion: None }
    }

    /// The same, with what to write instead.
    #[must_use]
    pub fn hint(self, suggestion: impl Into<String>) -> Self {
        Self { suggestion: Some(suggestion.into()), ..self }
    }
}

impl Config {
    /// What holds without a file: no servers, and policies in `policies` of the data directory.
    pub fn without_file(places: &Places) -> Result<Self, ConfigError> {
        Self::parse("", &places.data.join("chancery.toml"), places)
    }

    /// Reads the text of a configuration file; `path` is where it came from.
    pub fn parse(text: &str, path: &Path, places: &Places) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|e| suggest::explain(&e, text, path))?;
        let base = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let config = file.resolve(&base, places)?;
        config.check()?;
        Ok(config)
    }

    /// Reads a configuration file.
    pub fn read(path: &Path, places: &Places) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::key(path.display().to_string(), format!("cannot be read: {e}")))?;
        Self::parse(&text, path, places)
    }

    /// The checks that concern values; `App::start` repeats them for configurations made by hand.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_listen(self.listen)?;
        check_public_url(self.public_url.as_deref())?;
        check_kek(&self.kek, &self.data)?;
        check_tokens(&self.tokens)?;
        check_approvals(&self.approvals)?;
        check_delegation(&self.delegation)?;
        check_providers(self)?;
        signals::check(self)?;
        self.fetching().check().map_err(|e| ConfigError::key("fetch", e.to_string()))?;
        check_channels(self)?;
        check_triggers(&self.triggers)?;
        self.spiffe.as_ref().map_or(Ok(()), Spiffe::check)?;
        self.tls.as_ref().map_or(Ok(()), Tls::check)?;
        self.people.check()?;
        self.servers.iter().try_for_each(|(name, server)| check_server(name, server))
    }

    /// What browsers of people call this server. A loopback address is `localhost` to them: WebAuthn takes no addresses, and
    /// a passkey is for one host name.
    pub fn people_url(&self, port: u16) -> String {
        let loopback = |url: &str| ["://127.", "://[::1]"].iter().any(|part| url.contains(part));
        let tls = self.tls.as_ref().and_then(|tls| tls.public_url.as_ref());
        let public = self.public_url.as_ref().filter(|url| !loopback(url)).or(tls);
        self.people.url.as_ref().or(public).cloned().unwrap_or_else(|| format!("http://localhost:{port}"))
    }

    /// How documents are fetched from addresses that others named.
    pub fn fetching(&self) -> chancery_fetch::Config {
        chancery_fetch::Config {
            allow: self.fetch.allow.clone(),
            authorities: self.fetch.authorities.clone(),
            ..chancery_fetch::Config::default()
        }
    }
}

fn check_approvals(approvals: &Approvals) -> Result<(), ConfigError> {
    if approvals.hold <= 120 {
        return Ok(());
    }
    Err(ConfigError::key(
        "approvals.hold",
        format!("{} s are too long for a call to wait: at most 120", approvals.hold),
    ))
}

fn check_listen(listen: SocketAddr) -> Result<(), ConfigError> {
    if listen.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("{listen} is not a loopback address, and this door has no TLS");
    Err(ConfigError::key("listen", message).hint("let the TLS door listen there: `listen` of the table `tls`"))
}

fn check_public_url(url: Option<&str>) -> Result<(), ConfigError> {
    url.map_or(Ok(()), |url| check_url("public_url", url))
}

fn check_url(key: &str, url: &str) -> Result<(), ConfigError> {
    let bad = |why: &str| Err(ConfigError::key(key, format!("`{url}` {why}")));
    let parsed: http::Uri = match url.parse() {
        Ok(parsed) => parsed,
        Err(_) => return bad("is not a URL"),
    };
    let Some(authority) = parsed.authority() else { return bad("has no host") };
    if parsed.path_and_query().is_some_and(|p| p.as_str() != "/") || url.ends_with('/') {
        return bad("must have no path, not even a trailing slash");
    }
    let local = matches!(authority.host(), "127.0.0.1" | "localhost" | "[::1]");
    match parsed.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if local => Ok(()),
        _ => bad("must be https, or http on a loopback name"),
    }
}

fn check_kek(kek: &Path, data: &Path) -> Result<(), ConfigError> {
    if kek.starts_with(data) {
        let message = format!("{} lies in the data directory {}", kek.display(), data.display());
        return Err(ConfigError::key("kek", message).hint("a copy of the data must not bring its key along"));
    }
    Ok(())
}

fn check_delegation(delegation: &Delegation) -> Result<(), ConfigError> {
    if !(1..=16).contains(&delegation.depth) {
        let message = format!("{} is not within 1 and 16", delegation.depth);
        return Err(ConfigError::key("delegation.depth", message));
    }
    Ok(())
}

/// Their keys have to be reachable by the one fetcher, and each is there once.
fn check_providers(config: &Config) -> Result<(), ConfigError> {
    let fetch = config.fetching();
    let providers = &config.delegation.providers;
    for (at, provider) in providers.iter().enumerate() {
        let bad = |field: &str, why: String| ConfigError::key(format!("delegation.providers.{field}"), why);
        let permitted = |field: &str, url: &str| fetch.permits(url).map_err(|e| bad(field, e.to_string()));
        match &provider.jwks_uri {
            Some(url) => permitted("jwks_uri", url)?,
            None => permitted("issuer", &provider.issuer)?,
        };
        if providers[..at].iter().any(|other| other.issuer == provider.issuer) {
            return Err(bad("issuer", format!("`{}` is there twice", provider.issuer)));
        }
        if config.public_url.as_ref() == Some(&provider.issuer) {
            return Err(bad("issuer", "it is this server itself, whose word is no evidence for it".to_owned()));
        }
    }
    Ok(())
}

fn check_channels(config: &Config) -> Result<(), ConfigError> {
    let fetch = config.fetching();
    for (at, channel) in config.channels.iter().enumerate() {
        let bad = |key: &str, why: String| ConfigError::key(format!("channel.{key}"), why);
        channel.check(&fetch).map_err(|(key, why)| bad(key, why))?;
        if config.channels[..at].iter().any(|other| other.name == channel.name) {
            return Err(bad("name", format!("`{}` is there twice", channel.name)));
        }
    }
    Ok(())
}

fn check_triggers(triggers: &[Trigger]) -> Result<(), ConfigError> {
    for (at, trigger) in triggers.iter().enumerate() {
        let bad = |key: &str, why: String| ConfigError::key(format!("trigger.{key}"), why);
        trigger.check().map_err(|(key, why)| bad(key, why))?;
        if triggers[..at].iter().any(|other| other.name == trigger.name) {
            return Err(bad("name", format!("`{}` is there twice", trigger.name)));
        }
    }
    Ok(())
}

fn check_tokens(tokens: &Tokens) -> Result<(), ConfigError> {
    if !(30..=900).contains(&tokens.seconds) {
        return Err(ConfigError::key("tokens.seconds", format!("{} is not within 30 and 900", tokens.seconds)));
    }
    if !(1..=1440).contains(&tokens.session_minutes) {
        let message = format!("{} is not within 1 and 1440", tokens.session_minutes);
        return Err(ConfigError::key("tokens.session_minutes", message));
    }
    if !(1..=tokens.session_minutes).contains(&tokens.idle_minutes) {
        let message =
            format!("{} is not within 1 and session_minutes ({})", tokens.idle_minutes, tokens.session_minutes);
        return Err(ConfigError::key("tokens.idle_minutes", message));
    }
    Ok(())
}

fn check_server(name: &str, server: &Upstream) -> Result<(), ConfigError> {
    let key = format!("servers.{name}");
    let well_formed = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !well_formed {
        return Err(ConfigError::key(key, "the name may have lower-case letters, digits and `-`, 63 at the most"));
    }
    if let Transport::Http(url) = &server.transport {
        let uri: Option<http::Uri> = url.parse().ok();
        if !uri.is_some_and(|u| u.scheme_str() == Some("http") && u.authority().is_some()) {
            return Err(ConfigError::key(format!("{key}.url"), format!("`{url}` is not an http:// URL")));
        }
    }
    if let Some(oauth) = &server.oauth {
        check_oauth(&key, server, oauth)?;
    }
    if let Some(inject) = &server.inject
        && !inject.value.contains("{secret}")
    {
        return Err(ConfigError::key(format!("{key}.inject.value"), "does not say where `{secret}` goes"));
    }
    Ok(())
}

fn check_oauth(key: &str, server: &Upstream, oauth: &OAuth) -> Result<(), ConfigError> {
    let bad = |why: String| Err(ConfigError::key(format!("{key}.oauth"), why));
    match (&server.inject, &server.transport) {
        (Some(_), _) => bad("excludes `inject`: a server has one credential".to_owned()),
        (None, Transport::Stdio(_)) => bad("is for servers with a `url`".to_owned()),
        (None, Transport::Http(_)) => oauth.check().or_else(bad),
    }
}

#[cfg(test)]
mod tests;
