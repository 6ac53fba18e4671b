//! The product as it is shipped: its release binary on a data directory that was filled beforehand.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chancery_authenticate::client::AgentKey;
use chancery_model::{Agent, AgentId, AgentKind, AgentState, BearerUse, Draft, Grant, GrantId, GrantMode, Kind, Span};
use chancery_store::{Store, agents, grants};

use crate::process::{self, Server};
use crate::{Fallible, load, policies, text, world};

/// Rows written in one commit while the directory is filled.
const CHUNK: usize = 1_000;
/// The agent that enforces decisions itself.
pub const ENFORCER: usize = 2;
/// How long a start may take before it counts as failed.
const START: Duration = Duration::from_secs(120);

/// What the directory is filled with.
pub struct Filling<'a> {
    /// Agents `agent-0` and on, each with one grant of `use-small` on `billing/echo`.
    pub agents: usize,
    /// The keys of the first ones, in turn; the others have none. `agent-2` is an enforcer that may do without proofs.
    pub keys: &'a [AgentKey],
    /// The upstream of the server `billing`.
    pub upstream: SocketAddr,
}

/// A key for each of the first three: ES256, Ed25519, ES256.
pub fn keys() -> Fallible<[AgentKey; 3]> {
    let ed25519 = AgentKey::generate_ed25519(&*world::random()?).map_err(text)?;
    Ok([AgentKey::generate().map_err(text)?, ed25519, AgentKey::generate().map_err(text)?])
}

/// A filled directory.
pub struct Place {
    folder: PathBuf,
    /// Where the server will listen.
    pub address: SocketAddr,
}

impl Place {
    /// Fills a directory through the store, as the product itself would have.
    pub fn fill(folder: &Path, filling: &Filling<'_>) -> Fallible<Self> {
        let place = Self { folder: folder.to_owned(), address: process::free_address()? };
        fs::create_dir_all(folder.join("policies")).map_err(text)?;
        fs::write(folder.join("policies/bench.cedar"), policies::file()).map_err(text)?;
        fs::write(folder.join("chancery.toml"), place.configuration(filling.upstream)).map_err(text)?;
        world::runtime()?.block_on(async {
            let store = world::store(&folder.join("data")).await?;
            rows(&store, filling).await?;
            store.close().await;
            Ok(place)
        })
    }

    fn configuration(&self, upstream: SocketAddr) -> String {
        format!(
            "listen = \"{}\"\ndata = \"data\"\nkek = \"kek\"\npolicies = \"policies\"\n[log]\norigin = \"bench.example/log\"\n\
             [servers.billing]\nurl = \"http://{upstream}/mcp\"\nrecord_fields = [\"amount\"]\n\
             inject = {{ header = \"Authorization\", value = \"Bearer {{secret}}\", secret = \"billing\" }}\n",
            self.address
        )
    }

    /// Gives the server its credential for the upstream, and starts it again: then it has listed the upstream's tools
    /// before it is ready.
    pub fn prepared(self) -> Fallible<Self> {
        let first = self.serve(lives)?;
        self.set_secret()?;
        drop(first);
        Ok(self)
    }

    /// Starts the release binary and waits until it is ready.
    pub fn start(&self) -> Fallible<Server> {
        self.serve(ready)
    }

    fn serve(&self, until: fn(SocketAddr) -> bool) -> Fallible<Server> {
        let mut command = self.chancery()?;
        let log = File::create(self.folder.join("serve.log")).map_err(text)?;
        command.arg("serve").stdout(Stdio::null()).stderr(log);
        let started = Server::start(&mut command, self.address, START, until);
        started
            .map_err(|why| format!("{why}: {}", fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()))
    }

    fn set_secret(&self) -> Fallible {
        let mut command = self.chancery()?;
        let mut child = command
            .args(["secret", "set", "billing"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(text)?;
        let mut input = child.stdin.take().ok_or("no input")?;
        input.write_all(b"upstream-credential-of-the-benchmark").map_err(text)?;
        drop(input);
        let status = child.wait().map_err(text)?;
        if status.success() { Ok(()) } else { Err(format!("{command:?} failed ({status})")) }
    }

    fn chancery(&self) -> Fallible<Command> {
        let own = std::env::current_exe().map_err(text)?;
        let mut command = Command::new(own.with_file_name("chancery"));
        command.arg("--config").arg(self.folder.join("chancery.toml")).current_dir(&self.folder);
        Ok(command)
    }
}

/// It answers, though it may deny everything.
fn lives(address: SocketAddr) -> bool {
    answers(address, "/healthz")
}

/// A policy set is in force.
fn ready(address: SocketAddr) -> bool {
    answers(address, "/readyz")
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    load::once(address, request.as_bytes()).is_ok_and(|answer| answer.starts_with("HTTP/1.1 2"))
}

async fn rows(store: &Store, filling: &Filling<'_>) -> Fallible {
    let numbers: Vec<usize> = (0..filling.agents).collect();
    for chunk in numbers.chunks(CHUNK) {
        let pairs: Vec<(Agent, Grant)> =
            chunk.iter().map(|number| pair(*number, filling.keys)).collect::<Fallible<_>>()?;
        let draft = Draft { kind: Kind::Change, at: world::clock().now(), ..Draft::default() };
        let change = store.write(draft, |tx| {
            Box::pin(async move {
                for (agent, grant) in &pairs {
                    agents::insert(tx, agent).await?;
                    grants::insert(tx, grant).await?;
                }
                Ok(())
            })
        });
        change.await.map_err(text)?;
    }
    Ok(())
}

/// An agent and its grant; the first ones have the keys.
pub fn pair(number: usize, keys: &[AgentKey]) -> Fallible<(Agent, Grant)> {
    let (now, random) = (world::clock().now(), world::random()?);
    let key = keys.get(number);
    let agent = Agent {
        id: AgentId::new(now, &*random),
        name: format!("agent-{number}"),
        kind: if number == ENFORCER { AgentKind::ServiceAccount } else { AgentKind::Agent },
        sponsor: "mara@example.com".to_owned(),
        owner: "lee@example.com".to_owned(),
        purpose: "to be measured".to_owned(),
        blueprint: None,
        manifest: None,
        state: AgentState::Active,
        epoch: 1,
        bearer: if number == ENFORCER { BearerUse::Allowed } else { BearerUse::Refused },
        key_thumbprint: key.map(AgentKey::thumbprint),
        public_jwk: key.map(|key| key.jwk().to_owned()),
        created_at: now,
        expires_at: now + Span::days(90),
    };
    let grant = Grant {
        id: GrantId::new(now, &*random),
        template: "use-small".to_owned(),
        principal: format!("Agent::\"agent-{number}\""),
        resource: "Tool::\"billing/echo\"".to_owned(),
        mode: GrantMode::Autonomous,
        justification: "to be measured".to_owned(),
        granted_by: "mara@example.com".to_owned(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    Ok((agent, grant))
}
