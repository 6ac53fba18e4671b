//! The gateway: everything the path needs, opened once.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use chancery_authenticate::flows::Flows;
use chancery_authenticate::meters::{Meters, Touch};
use chancery_authenticate::{Authenticator, Caller, Vault};
use chancery_authorize::{Engine, Needs};
use chancery_model::{Changed, Clock, Meter, Random, Span, Timestamp, problem};
use chancery_oversee::approvals::Approvals;
use chancery_record::{RecordError, Recorder};
use chancery_store::{Store, StoreError, log, servers, tools};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use tokio_util::sync::CancellationToken;

use crate::act::act;
use crate::body::{Body, BoxError};
use crate::config::{Config, Rehearsal, Transport};
use crate::connection::{Connections, Exchange, Keeping, Means, Prober, Target};
use crate::contact::Contacts;
use crate::cut::Cuttings;
use crate::forward::Renewal;
use crate::inject::{Credential, Credentials, Secrets, header_name};
use crate::known::Known;
use crate::lock;
use crate::memory::Memory;
use crate::pins::Pins;
use crate::refusal::{Refusal, rpc};
use crate::rehearse::Rehearsals;
use crate::sessions::{Place, Sessions};
use crate::slots::Slots;
use crate::upstream::stdio::Child;
use crate::upstream::{Reach, Upstream};

/// Between two looks at what servers list, if nobody asks.
const ROUND: Duration = Duration::from_secs(600);

/// What the gateway stands on.
pub struct Parts {
    /// Where pins and findings are written.
    pub store: Store,
    /// Who is calling.
    pub authenticator: Arc<Authenticator>,
    /// May it.
    pub engine: Arc<Engine>,
    /// The record.
    pub recorder: Recorder,
    /// Where people are asked.
    pub approvals: Arc<Approvals>,
    /// Where upstream credentials are opened.
    pub secrets: Arc<dyn Secrets>,
    /// Seals the tokens of connections.
    pub vault: Vault,
    /// How authorization servers of upstreams are reached.
    pub exchange: Arc<dyn Exchange>,
    /// Called, and waited for, after tools were pinned or quarantined: it puts a policy set that knows them in force,
    /// or says why it cannot.
    pub tools_changed: Arc<ToolsChanged>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Why a gateway cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A server's configuration cannot be used.
    #[error("servers.{server}: {why}")]
    Config {
        /// The server.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// What is pinned cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What meters and sessions stand at cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What is done when tools changed.
pub type ToolsChanged = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

type Shared = HashMap<(Arc<str>, String), (Arc<Child>, Timestamp)>;

/// The MCP data path. One for the life of the server; all methods take `&self`.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) recorder: Recorder,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) tools_changed: Arc<ToolsChanged>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) pins: Arc<Pins>,
    pub(crate) sessions: Sessions,
    pub(crate) slots: Slots,
    /// How much was cut because somebody was contained.
    pub(crate) cuts: AtomicU64,
    /// What is being cut, and what was cut last.
    pub(crate) cutting: Cuttings,
    pub(crate) credentials: Credentials,
    pub(crate) connections: Arc<Connections>,
    pub(crate) contacts: Contacts,
    /// Dry runs under way.
    pub(crate) rehearsals: Rehearsals,
    /// Where meters stand.
    pub(crate) meters: Arc<Meters>,
    /// Counters of calls that limits leave, by their place in a set.
    pub(crate) limits: Vec<Meter>,
    /// What sessions did.
    pub(crate) flows: Flows,
    pub(crate) memory: tokio::sync::Mutex<Memory>,
    /// The needs of policies for which everything was read back.
    pub(crate) remembered: ArcSwapOption<Needs>,
    upstreams: HashMap<String, Upstream>,
    /// Child processes that serve requests without a session, by server and agent.
    pub(crate) shared: Mutex<Shared>,
    pub(crate) reflected: Mutex<std::collections::HashSet<Arc<str>>>,
}

impl Gateway {
    /// Opens the gateway: reads what is pinned and asks to be told of changes. Nothing is sent to any upstream yet.
    ///
    /// # Errors
    /// [`OpenError::Config`] for a URL or header that cannot be used, [`OpenError::Store`] if pins cannot be read.
    pub async fn open(config: Config, parts: Parts) -> Result<Arc<Self>, OpenError> {
        let mut upstreams = HashMap::new();
        for (name, server) in &config.servers {
            let wrong = |why| OpenError::Config { server: name.clone(), why };
            if let Some((tool, _)) = server.dry_run.iter().find(|(tool, by)| **by == Rehearsal::Tool((*tool).clone())) {
                return Err(wrong(format!("dry_run.{tool}: a tool is no dry run of itself")));
            }
            if let (Transport::Http(_), Some(inject)) = (&server.transport, &server.inject) {
                header_name(&inject.name).map_err(wrong)?;
            }
            let upstream = Upstream::new(name, server, &config, parts.store.lease()).map_err(wrong)?;
            upstreams.insert(name.clone(), upstream);
            if let Some(oauth) = &server.oauth {
                oauth.check().map_err(wrong)?;
            }
        }
        let pins = read_pins(&parts.store).await?;
        let connections = Arc::new(connections(&config, &parts, upstreams.values()));
        let observed = Arc::clone(&connections);
        parts.store.observe(Box::new(move |changed| {
            if let Changed::Connection(row) = changed {
                observed.changed(row);
            }
        }));
        let (clock, random) = (parts.clock, parts.random);
        let entries = log::writers(&parts.store).await?.into_iter().find(|(writer, _)| *writer == parts.store.writer());
        let memory = Memory::at(entries.map_or(0, |(_, entries)| entries));
        let gateway = Arc::new(Self {
            sessions: Sessions::new(clock.clone(), random.clone(), config.limits, config.timeouts),
            slots: Slots::new(&config.limits),
            cuts: AtomicU64::new(0),
            cutting: Cuttings::default(),
            credentials: Credentials::new(parts.secrets),
            connections,
            contacts: Contacts::default(),
            rehearsals: Rehearsals::default(),
            meters: Meters::new(clock.clone()),
            flows: Flows::default(),
            limits: crate::claim::limit_meters(),
            memory: tokio::sync::Mutex::new(memory),
            remembered: ArcSwapOption::empty(),
            config,
            store: parts.store,
            authenticator: parts.authenticator,
            engine: parts.engine,
            recorder: parts.recorder,
            approvals: parts.approvals,
            tools_changed: parts.tools_changed,
            clock,
            random,
            pins,
            upstreams,
            shared: Mutex::default(),
            reflected: Mutex::default(),
        });
        let cutting = Arc::downgrade(&gateway);
        gateway.store.end_with(Box::new(move |stop| cutting.upgrade()?.ends(stop)));
        gateway.read_back(&gateway.engine.needs()).await?;
        Ok(gateway)
    }

    /// Answers one request to `/mcp/{server}`: POST, GET or DELETE. Host and Origin were checked before.
    pub async fn handle<B>(self: &Arc<Self>, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        match *request.method() {
            Method::POST | Method::GET | Method::DELETE => act(self, request).await,
            ref other => {
                let why = format!("{other} is not a method of MCP");
                let refusal = Refusal::new(problem::NO_METHOD, rpc::INVALID_REQUEST, why);
                let refusal = refusal.header(http::header::ALLOW, "POST, GET, DELETE");
                Known::new(self, "", "").refuse(refusal).await
            }
        }
    }

    /// Closes MCP sessions and child processes that were left unused, and looks what servers list; returns when
    /// `cancel` is.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(15));
        let mut rounds = tokio::time::interval(ROUND);
        // The first is at once, and they were listed at start.
        rounds.tick().await;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => self.sweep(),
                _ = rounds.tick() => drop(tokio::spawn({
                    let gateway = self.clone();
                    async move { gateway.contact_all().await }
                })),
            }
        }
    }

    /// Forgets opened credentials: to be called after a secret was set or removed.
    pub fn secrets_changed(&self) {
        self.credentials.forget();
        self.connections.secrets_changed();
    }

    /// The credential for what is sent to this upstream: a stored one, or that of its connection.
    pub(crate) async fn credential(&self, upstream: &Upstream) -> Result<Arc<Credential>, Refusal> {
        match &upstream.config.oauth {
            // One connection for all who may use the server. A person's own has the same key with that person in it.
            Some(_) => self.connections.credential(&upstream.name, None).await,
            None => self.credentials.of(upstream).await,
        }
    }

    /// How another credential is got for this upstream, if it has a connection.
    pub(crate) fn renewal<'p>(
        &'p self,
        upstream: &Upstream,
        still: &'p (dyn Fn() -> Result<(), Refusal> + Send + Sync),
    ) -> Option<Renewal<'p>> {
        upstream.config.oauth.as_ref().map(|_| Renewal { connections: &self.connections, still })
    }

    /// Where a declared meter stands for this session, agent, sponsor, blueprint or person.
    pub fn meter_stands(&self, meter: &str, subject: &str) -> Option<i64> {
        let needs = self.engine.needs();
        let meter = needs.meters.iter().find(|declared| &*declared.name == meter)?;
        self.meters.read(&[Touch { meter, subject: subject.into(), amount: 0 }]).first().copied()
    }

    fn sweep(&self) {
        self.sessions.sweep();
        let open = |session: &str| self.authenticator.knows_session(session);
        self.meters.sweep(open);
        self.flows.sweep(open);
        let idle = Span(i64::try_from(self.config.timeouts.session.as_micros()).unwrap_or(i64::MAX));
        let now = self.clock.monotonic();
        let mut old = Vec::new();
        lock(&self.shared).retain(|_, (child, used)| {
            let keep = now - *used < idle && !child.is_gone();
            if !keep {
                old.push(child.clone());
            }
            keep
        });
    }

    /// The resource that tokens for one upstream server are for.
    pub(crate) fn resource(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.config.public_url)
    }

    /// The upstream of this name.
    pub(crate) fn upstream(&self, name: &str) -> Result<&Upstream, Refusal> {
        self.upstreams
            .get(name)
            .ok_or_else(|| Refusal::new(problem::NO_SERVER, rpc::DENIED, format!("no server `{name}` is configured")))
    }

    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.upstreams.values()
    }

    /// The child process that this agent's requests without a session share.
    pub(crate) fn shared_child(
        &self,
        upstream: &Upstream,
        caller: &Caller,
        place: &Place,
        credential: &Credential,
    ) -> Result<Option<Arc<Child>>, Refusal> {
        let (Reach::Stdio(program), Place::Bare) = (&upstream.reach, place) else { return Ok(None) };
        let key = (upstream.name.clone(), caller.agent.id.to_string());
        let now = self.clock.monotonic();
        let mut shared = lock(&self.shared);
        let usable = |child: &Child| !child.is_gone() && child.generation == credential.generation;
        if let Some((child, used)) = shared.get_mut(&key).filter(|(child, _)| usable(child)) {
            *used = now;
            return Ok(Some(child.clone()));
        }
        let child = program.start(credential).map_err(|failure| failure.refusal())?;
        shared.insert(key, (child.clone(), now));
        Ok(Some(child))
    }
}

/// The connections of all servers that have one.
fn connections<'u>(config: &Config, parts: &Parts, upstreams: impl Iterator<Item = &'u Upstream>) -> Connections {
    let (clock, random) = (parts.clock.clone(), parts.random.clone());
    let means = Means { exchange: parts.exchange.clone(), clock, random };
    let (store, vault) = (parts.store.clone(), parts.vault.clone());
    let keeping = Keeping { store, vault, secrets: parts.secrets.clone() };
    let targets = upstreams.filter_map(|upstream| target(upstream, parts)).collect();
    Connections::new(means, keeping, config.public_url.clone(), targets)
}

fn target(upstream: &Upstream, parts: &Parts) -> Option<Target> {
    let (oauth, Reach::Http(http)) = (upstream.config.oauth.clone()?, &upstream.reach) else { return None };
    let Transport::Http(url) = &upstream.config.transport else { return None };
    let (recorder, clock) = (parts.recorder.clone(), parts.clock.clone());
    let prober = Prober { server: upstream.name.clone(), http: (**http).clone(), recorder, clock };
    Some(Target { name: upstream.name.clone(), url: url.clone(), oauth, prober })
}

async fn read_pins(store: &Store) -> Result<Arc<Pins>, StoreError> {
    let pins = Arc::new(Pins::default());
    let observer = pins.clone();
    store.observe(Box::new(move |changed| {
        if let Changed::Tool(tool) = changed {
            observer.put(tool);
        }
    }));
    for server in servers::all(store).await? {
        pins.contacted(&server.name);
    }
    for tool in tools::all(store).await? {
        pins.put(&Arc::new(tool));
    }
    Ok(pins)
}
