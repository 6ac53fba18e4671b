//! The file's own shape, before defaults and paths are filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chancery_model::Secret;
use chancery_oversee::notify::Channel;
use chancery_oversee::trigger::Trigger;
use serde::Deserialize;

use super::{
    Approvals, Command, Config, ConfigError, Delegation, Fetch, Inject, Log, Node, Oauth, People, Pin, Places, Signals,
    Spiffe, Tls, Tokens, Transport, Upstream,
};

const PORT: u16 = 8420;
/// Containments by triggers in an hour.
const AUTOMATIC: u32 = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    data: Option<PathBuf>,
    store: Database,
    node: Node,
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    hosts: Vec<String>,
    policies: Option<PathBuf>,
    kek: Option<PathBuf>,
    tokens: Tokens,
    delegation: Delegation,
    log: Log,
    fetch: Fetch,
    oauth: Oauth,
    approvals: Approvals,
    signals: Signals,
    people: People,
    servers: BTreeMap<String, Server>,
    pin: Pin,
    record_fields: Vec<String>,
    spiffe: Option<Spiffe>,
    tls: Option<Tls>,
    #[serde(rename = "channel")]
    channels: Vec<Channel>,
    #[serde(rename = "trigger")]
    triggers: Vec<Trigger>,
    automatic_containments: Option<u32>,
}

/// Where entries and nouns are. The address holds a password: it may stand in a file of its own.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Database {
    url: Option<String>,
    url_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Server {
    url: Option<String>,
    command: Option<String>,
    args: Vec<String>,
    cwd: Option<PathBuf>,
    env: BTreeMap<String, String>,
    inject: Option<Inject>,
    oauth: Option<chancery_gateway::OAuth>,
    record_fields: Vec<String>,
    dry_run: BTreeMap<String, chancery_gateway::Rehearsal>,
}

impl File {
    pub(super) fn resolve(self, base: &Path, places: &Places) -> Result<Config, ConfigError> {
        let at = |path: PathBuf| base.join(path);
        let servers = self.servers.into_iter().map(|(name, server)| {
            let upstream = server.resolve(&name, base)?;
            Ok((name, upstream))
        });
        Ok(Config {
            database: self.store.resolve(base)?,
            node: Node { join_file: self.node.join_file.map(at), ..self.node },
            data: self.data.map_or_else(|| places.data.clone(), at),
            listen: self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], PORT))),
            public_url: self.public_url,
            hosts: self.hosts,
            policies: at(self.policies.unwrap_or_else(|| "policies".into())),
            kek: self.kek.map_or_else(|| places.kek.clone(), at),
            tokens: self.tokens,
            delegation: self.delegation,
            log: self.log,
            oauth: self.oauth,
            approvals: self.approvals,
            signals: self.signals,
            people: self.people,
            fetch: Fetch { authorities: self.fetch.authorities.map(at), ..self.fetch },
            servers: servers.collect::<Result<_, ConfigError>>()?,
            pin: self.pin,
            record_fields: self.record_fields,
            spiffe: self.spiffe.map(|spiffe| Spiffe { workload_socket: spiffe.workload_socket.map(at), ..spiffe }),
            tls: self.tls.map(|tls| tls.at(base)),
            triggers: self.triggers,
            automatic_containments: self.automatic_containments.unwrap_or(AUTOMATIC),
            channels: self.channels.into_iter().map(|channel| at_base(channel, base)).collect(),
            path: places.path.clone(),
        })
    }
}

impl Database {
    fn resolve(self, base: &Path) -> Result<Option<Secret>, ConfigError> {
        let url = match (self.url, self.url_file) {
            (None, None) => return Ok(None),
            (Some(url), None) => url,
            (None, Some(file)) => {
                let file = base.join(file);
                let read = std::fs::read_to_string(&file);
                read.map_err(|e| ConfigError::key("store.url_file", format!("{}: {e}", file.display())))?
            }
            (Some(_), Some(_)) => return Err(ConfigError::key("store", "takes either `url` or `url_file`")),
        };
        let url = url.trim();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(ConfigError::key("store", "the address does not begin with `postgres://`"));
        }
        Ok(Some(Secret::new(url.to_owned())))
    }
}

/// Shows nothing of the address.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("url_file", &self.url_file).finish_non_exhaustive()
    }
}

fn at_base(channel: Channel, base: &Path) -> Channel {
    Channel { secret_file: channel.secret_file.map(|path| base.join(path)), ..channel }
}

impl Server {
    fn resolve(self, name: &str, base: &Path) -> Result<Upstream, ConfigError> {
        let transport = match (self.url, self.command) {
            (Some(url), None) => Transport::Http(url),
            (None, Some(program)) => Transport::Stdio(Command {
                program,
                args: self.args,
                cwd: self.cwd.map(|cwd| base.join(cwd)),
                env: self.env,
            }),
            _ => return Err(ConfigError::key(format!("servers.{name}"), "needs either `url` or `command`")),
        };
        let mut oauth = self.oauth;
        if let Some(file) = oauth.as_mut().and_then(|oauth| oauth.assertion_file.as_mut()) {
            *file = base.join(&file);
        }
        Ok(Upstream { transport, inject: self.inject, oauth, record_fields: self.record_fields, dry_run: self.dry_run })
    }
}
