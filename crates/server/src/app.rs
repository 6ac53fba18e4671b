//! From a configuration to a running server, and back to a flushed record.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chancery_authenticate::spiffe::Domain;
use chancery_authenticate::{Authenticator, ByCertificate, LogKey, Vault};
use chancery_authorize::{Engine, EntityRef, Files, Question, Snapshot, Sources};
use chancery_discover::Discovery;
use chancery_fetch::Fetcher;
use chancery_gateway::{Gateway, Parts};
use chancery_model::problem::{BAD_CONFIG, CONTAINED, INTERNAL, Problem, Row, STORE_FAILED, UNSAFE_CONFIG};
use chancery_model::{Changed, Clock, Random, Secret, Span};
use chancery_oversee::approvals::Approvals;
use chancery_oversee::follow::{Follower, Start};
use chancery_record::Recorder;
use chancery_register::Registrar;
use chancery_store::{Membership, Store, agents, blueprints, grants};
use chancery_tlog::Signer;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chains::Chains;
use crate::credentials::{Outward, Sealed};
use crate::door::further::{Secure, Workloads};
use crate::door::guard::Names;
use crate::door::listen::{self, Closing};
use crate::door::{admin, matrix, tcp};
use crate::policies::{Policies, sha256};
use crate::pushed::Pushed;
use crate::rooms::{Access, Rooms};
use crate::settings;
use crate::signals::{self, Signals};
use crate::spiffe;
use crate::tell;
use crate::{Config, ConfigError, Role};

/// For requests that are under way when the server is told to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at who came and is not known.
const STRANGERS: Duration = Duration::from_secs(2);

/// Between two looks for findings that only time brings.
const REVIEW: Duration = Duration::from_secs(600);

/// Longer than that: whoever looked last looks again, as long as it is there.
const FINDINGS_TERM: Span = Span::minutes(11);

/// For how long a node has a job that one node is to do, and how often it says that it still does it.
const LEADING_TERM: Span = Span::seconds(15);
const LEADING_LOOK: Duration = Duration::from_secs(3);
/// Between two looks for requests for approval whose time is over.
const OVERDUE: Duration = Duration::from_secs(5);

/// The job of one node at a time, and its place in the log.
const SIGNALS: &str = "signals";

/// For the first listing of tools at start.
const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// A running server. Dropping it without [`App::stop`] is a crash: nothing that was acknowledged is lost.
pub struct App {
    rooms: Arc<Rooms>,
    address: SocketAddr,
    socket: PathBuf,
    workload_socket: Option<PathBuf>,
    tls_url: Option<String>,
    doors: Closing,
    chores: Closing,
    /// Cancelled when something in the background failed for good.
    broken: CancellationToken,
}

impl App {
    /// Opens the data, loads the policies and opens both doors. A policy set that is not valid does not keep the
    /// server from starting: it denies everything and says why.
    pub async fn start(config: Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, Problem> {
        check(&config).map_err(|e| Problem::new(BAD_CONFIG, e.to_string()))?;
        let store = open_store(&config, &clock, &random).await?;
        let listener = bind(config.listen).await?;
        let address = listener.local_addr().map_err(|e| cannot_listen(config.listen, &e))?;
        let secure = Secure::bind(&config).await?;
        let clients = secure.as_ref().map(|secure| secure.clients.clone());
        let tls_url = clients.as_ref().map(|clients| clients.url.clone());
        let rooms = Arc::new(open_rooms(config, store, (address, clients), clock, random).await?);
        let socket = rooms.config.data.join("admin.sock");
        let admin = bind_admin(&socket)?;
        let workloads = Workloads::bind(&rooms.config).await?;
        let app = Self {
            doors: Closing { cancel: rooms.closing.clone(), tasks: TaskTracker::new() },
            chores: Closing { cancel: CancellationToken::new(), tasks: TaskTracker::new() },
            broken: CancellationToken::new(),
            rooms,
            address,
            socket,
            workload_socket: workloads.as_ref().map(|workloads| workloads.path.clone()),
            tls_url,
        };
        app.run_chores();
        app.open_doors(listener, admin, secure);
        if let Some(workloads) = workloads {
            workloads.open(&app.rooms, &app.doors);
        }
        Ok(app)
    }

    /// What clients call this server, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.rooms.url
    }

    /// What browsers of people call this server, without a trailing slash.
    pub fn people_url(&self) -> &str {
        &self.rooms.people_url
    }

    /// What clients call the TLS door, if there is one.
    pub fn tls_url(&self) -> Option<&str> {
        self.tls_url.as_deref()
    }

    /// Where the TCP door listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin door listens.
    pub fn admin_socket(&self) -> &Path {
        &self.socket
    }

    /// Whether a policy set is in force; if not, everything is denied.
    pub fn is_ready(&self) -> bool {
        self.rooms.policies.status().version.is_some()
    }

    /// Returns once the server cannot go on: a commit failed, or the log is not what was signed. It must be stopped.
    pub async fn failed(&self) -> Problem {
        tokio::select! {
            error = self.rooms.store.failed() => Problem::new(STORE_FAILED, error.to_string()),
            () = self.broken.cancelled() => Problem::new(STORE_FAILED, "the sequencer of the log ended"),
        }
    }

    /// Closes the doors, lets what is under way end, writes and signs the rest of the record, closes the data.
    pub async fn stop(self) {
        self.doors.cancel.cancel();
        self.doors.tasks.close();
        if tokio::time::timeout(PATIENCE, self.doors.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still under way after {} s", PATIENCE.as_secs());
        }
        self.chores.cancel.cancel();
        self.chores.tasks.close();
        self.chores.tasks.wait().await;
        self.rooms.store.close().await;
        // Nobody listens there any more.
        for socket in [Some(&self.socket), self.workload_socket.as_ref()].into_iter().flatten() {
            let _ = std::fs::remove_file(socket);
        }
    }

    fn open_doors(&self, listener: TcpListener, admin: UnixListener, secure: Option<Secure>) {
        let names = names(&self.rooms, self.address);
        if let Some(secure) = secure {
            secure.open(&self.rooms, &names, &self.doors, &self.chores);
        }
        let public = tcp::door(Arc::clone(&self.rooms), names);
        let private = admin::door(Arc::clone(&self.rooms));
        self.doors.tasks.spawn(listen::tcp(listener, public, self.doors.clone()));
        self.doors.tasks.spawn(listen::unix(admin, private, self.doors.clone()));
    }

    fn run_chores(&self) {
        let stop = || self.chores.cancel.clone().cancelled_owned();
        let (recorder, broken) = (self.rooms.recorder.clone(), self.broken.clone());
        let only_gateway = self.rooms.config.node.role == Role::Gateway;
        let sequenced = recorder.run(stop(), !only_gateway);
        self.chores.tasks.spawn(async move {
            if let Err(error) = sequenced.await {
                tracing::error!(%error, "the sequencer of the log ended");
                broken.cancel();
            }
        });
        self.chores.tasks.spawn(Arc::clone(&self.rooms.authenticator).run(stop()));
        let (registrar, stopped) = (self.rooms.registrar.clone(), self.chores.cancel.clone());
        let store = self.rooms.store.clone();
        self.chores.tasks.spawn(async move {
            tokio::select! {
                () = look_for_findings(&registrar, &store), if !only_gateway => {}
                () = stopped.cancelled() => {}
            }
        });
        let (notifier, triggers) = (self.rooms.notifier.clone(), self.rooms.triggers.clone());
        let (store, stopped) = (&self.rooms.store, &self.chores.cancel);
        let telling =
            where_leading("notify", store.clone(), stopped.clone(), |over| notifier.run(over.cancelled_owned()));
        self.chores.tasks.spawn(telling);
        let looking =
            where_leading("trigger", store.clone(), stopped.clone(), |over| triggers.run(over.cancelled_owned()));
        self.chores.tasks.spawn(looking);
        // Made before the first question about it.
        let (rooms, stopped) = (Arc::clone(&self.rooms), self.chores.cancel.clone());
        self.chores.tasks.spawn(async move {
            tokio::select! {
                () = keep_inventory(&rooms) => {}
                () = stopped.cancelled() => {}
            }
        });
        let (rooms, stopped) = (Arc::clone(&self.rooms), self.chores.cancel.clone());
        self.chores.tasks.spawn(async move {
            tokio::select! {
                () = close_approvals(&rooms) => {}
                () = stopped.cancelled() => {}
            }
        });
        self.chores.tasks.spawn(signal_where_leading(Arc::clone(&self.rooms), self.chores.cancel.clone()));
        let idle = Arc::clone(&self.rooms.gateway).run(self.chores.cancel.clone());
        self.chores.tasks.spawn(idle);
        let (policies, stop) = (self.rooms.policies.clone(), stop());
        self.chores.tasks.spawn(async move {
            tokio::select! {
                () = policies.keep_up() => {}
                () = stop => {}
            }
        });
    }
}

/// One node has a job; another takes over when it is gone. A node that was away for so long that another took over does
/// not do it again before its next start: what it has in memory is old.
async fn where_leading<F: Future<Output = ()>>(
    name: &'static str,
    store: Store,
    stop: CancellationToken,
    job: impl FnOnce(CancellationToken) -> F,
) {
    while !store.lead(name, LEADING_TERM).await.unwrap_or(false) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LEADING_LOOK) => {}
        }
    }
    let over = stop.child_token();
    let keeping = async {
        loop {
            tokio::time::sleep(LEADING_LOOK).await;
            if matches!(store.lead(name, LEADING_TERM).await, Ok(false)) && store.lease().is_fresh() {
                tracing::error!(job = name, "another node does it now");
                over.cancel();
            }
        }
    };
    tokio::select! {
        () = job(over.clone()) => {}
        () = keeping => {}
    }
    drop(store.lead(name, Span(0)).await);
}

/// One node sends signals and fetches those of others; another takes over when it is gone.
async fn signal_where_leading(rooms: Arc<Rooms>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if rooms.store.lead(SIGNALS, LEADING_TERM).await.unwrap_or(false) {
            signal(&rooms, stop.child_token()).await;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LEADING_LOOK) => {}
        }
    }
    drop(rooms.store.lead(SIGNALS, Span(0)).await);
}

/// What becomes durable is told from the place in the log where it was left, until this node leads no more.
async fn signal(rooms: &Rooms, over: CancellationToken) {
    let follower = match Follower::open(&rooms.store, SIGNALS, Start::Now).await {
        Ok(follower) => follower,
        Err(error) => return tracing::warn!(%error, "signals are not told"),
    };
    let signals = &rooms.signals;
    let work = async {
        tokio::join!(
            Arc::clone(&signals.transmitter).run(over.cancelled()),
            Arc::clone(&signals.receiver).run(over.cancelled()),
            follower.run(signals.feed(), over.cancelled()),
        )
    };
    let leading = async {
        while rooms.store.lead(SIGNALS, LEADING_TERM).await.unwrap_or(false) {
            tokio::time::sleep(LEADING_LOOK).await;
        }
        over.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = work => {}
        () = leading => {}
    }
}

/// What becomes wrong by the passing of time alone (an agent about to expire, one that never enrolled) is found here.
async fn look_for_findings(registrar: &Registrar, store: &Store) {
    loop {
        // One node is enough.
        if store.lead("findings", FINDINGS_TERM).await.unwrap_or(false)
            && let Err(error) = registrar.review_findings().await
        {
            tracing::warn!(%error, "findings could not be reviewed");
        }
        tokio::time::sleep(REVIEW).await;
    }
}

/// The graph is made at the start; whoever came and is not known is written down.
async fn keep_inventory(rooms: &Rooms) {
    if let Err(error) = rooms.discovery.refresh().await {
        tracing::warn!(%error, "the identity graph could not be made");
    }
    loop {
        if let Err(error) = rooms.discovery.note_strangers().await {
            tracing::warn!(%error, "unknown callers could not be written down");
        }
        tokio::time::sleep(STRANGERS).await;
    }
}

/// What people did not decide in time is a no, and so is what somebody asked for who is contained, by whatever it was: at
/// once. A drill that was interrupted is ended. The record says so.
async fn close_approvals(rooms: &Rooms) {
    let contained = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&contained);
    rooms.store.observe(Box::new(move |changed| {
        // Whoever throws the switch by hand closes them, and says how many.
        if let Changed::Containment(containment) = changed
            && containment.is_triggered()
        {
            told.notify_one();
        }
    }));
    loop {
        if let Err(error) = rooms.approvals.expire().await {
            tracing::warn!(%error, "requests for approval whose time is over could not be closed");
        }
        if let Err(error) = crate::voided::void_all(rooms).await {
            tracing::warn!(%error, "requests for approval of what is contained could not be closed");
        }
        if let Err(failure) = crate::api::drills::end_interrupted(rooms).await {
            tracing::warn!(problem = ?failure, "a drill that was interrupted could not be ended");
        }
        tokio::select! {
            () = contained.notified() => {}
            () = tokio::time::sleep(OVERDUE) => {}
        }
    }
}

async fn open_store(config: &Config, clock: &Arc<dyn Clock>, random: &Arc<dyn Random>) -> Result<Store, Problem> {
    let node = &config.node;
    // A token that is used up may be taken away.
    let token = node.join_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).map(Secret::new);
    let (name, address, role) = (node.name.clone(), node.address.clone(), node.role.name().to_owned());
    let settings = chancery_store::Config {
        path: config.data.clone(),
        database: config.database.clone(),
        node: Membership { name, address, role, token },
    };
    let opened = Store::open(&settings, Arc::clone(clock), Arc::clone(random)).await;
    opened.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|e| cannot_listen(address, &e))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Problem {
    Problem::new(BAD_CONFIG, format!("listen: {address}: {error}")).next("stop what listens there, or change `listen`")
}

/// The store's lock is ours, so a socket that is still there is a dead one's.
fn bind_admin(path: &Path) -> Result<UnixListener, Problem> {
    let cannot = |e: std::io::Error| {
        Problem::new(BAD_CONFIG, format!("{}: {e}", path.display()))
            .next("choose a data directory with a shorter path (a socket's is 100 bytes at the most)")
    };
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(cannot(e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(cannot)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    Ok(listener)
}

/// Our own trust domain, if the configuration names one.
async fn open_workloads(
    config: &Config,
    authenticator: &Arc<Authenticator>,
) -> Result<Option<spiffe::Workloads>, Problem> {
    let Some(settings) = &config.spiffe else { return Ok(None) };
    let name = settings.name().map_err(|e| Problem::new(BAD_CONFIG, e.to_string()))?;
    let domain = Domain::open(name, Arc::clone(authenticator)).await;
    let domain = domain.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?;
    authenticator.set_own_domain(&domain);
    Ok(Some(spiffe::Workloads::new(domain, &settings.workloads)))
}

/// Is this a configuration that the server starts with?
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    config.check()?;
    for verb in &config.people.two_person {
        if !matrix::changes(verb) {
            let message = format!("`{verb}` is nothing that people change here");
            return Err(ConfigError::key("people.two_person", message).hint("for example `policy.reload`"));
        }
    }
    Ok(())
}

async fn open_rooms(
    config: Config,
    store: Store,
    (address, clients): (SocketAddr, Option<ByCertificate>),
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Rooms, Problem> {
    let url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let people_url = config.people_url(address.port());
    let vault = Vault::of(&store, &config.kek, &config.data, Arc::clone(&random)).await;
    let vault = vault.map_err(|e| Problem::new(UNSAFE_CONFIG, e.to_string()))?;
    let fetcher = Fetcher::new(config.fetching()).map_err(|e| Problem::new(BAD_CONFIG, format!("fetch: {e}")))?;
    let fetcher = Arc::new(fetcher);
    let recorder = open_record(&config, &store, &vault, &clock, &random).await?;
    let engine = open_engine(&store)?;
    let servers = config.servers.keys().cloned().collect();
    let policies =
        Policies::new(config.policies.clone(), servers, Arc::clone(&engine), store.clone(), Arc::clone(&clock));
    if let Err(failure) = policies.reload("chancery").await {
        tracing::error!(code = failure.0.code, "not ready, everything is denied: {}", failure.0.detail);
    }
    // Side by side: each reads all agents.
    let filled = tokio::spawn(fill(Arc::clone(&engine), store.clone()));
    let authenticator = Authenticator::open(
        chancery_authenticate::Config { clients, ..settings::authenticate(&config, &url, &people_url) },
        store.clone(),
        vault.clone(),
        Arc::clone(&fetcher),
        Arc::clone(&clock),
        Arc::clone(&random),
    );
    let authenticator = authenticator.await.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?;
    let workloads = open_workloads(&config, &authenticator).await?;
    filled.await.map_err(|e| Problem::new(INTERNAL, e.to_string()))??;
    authenticator.set_delegations(Box::new(Chains { engine: Arc::clone(&engine), clock: Arc::clone(&clock) }));
    let looking = Arc::clone(&authenticator);
    engine.set_veto(Box::new(move |asked| contained(&looking, asked)));
    let settled = policies.clone();
    let approvals = Arc::new(Approvals::new(
        settings::approvals(&config),
        store.clone(),
        Arc::clone(&clock),
        Arc::clone(&random),
        sha256,
    ));
    let parts = Parts {
        store: store.clone(),
        authenticator: Arc::clone(&authenticator),
        engine: Arc::clone(&engine),
        recorder: recorder.clone(),
        approvals: Arc::clone(&approvals),
        secrets: Arc::new(Sealed { store: store.clone(), vault: vault.clone() }),
        vault: vault.clone(),
        exchange: Arc::new(Outward(Arc::clone(&fetcher))),
        tools_changed: Arc::new(move || {
            let policies = settled.clone();
            Box::pin(async move { policies.settle().await })
        }),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
    };
    let gateway = Gateway::open(settings::gateway(&config, &url), parts).await;
    let gateway = gateway.map_err(|e| Problem::new(BAD_CONFIG, e.to_string()))?;
    contact(&gateway).await;
    let registrar =
        Registrar::new(settings::register(&config, &url), store.clone(), Arc::clone(&clock), Arc::clone(&random));
    let discovery = Discovery::new(&store, Arc::clone(&clock), Arc::clone(&random));
    let discovery = discovery.with_endpoints(settings::endpoints(&config, &url));
    let told = tell::Rooms { store: &store, vault: &vault, fetcher: &fetcher, clock: &clock, random: &random };
    let notifier = tell::open(&config, &url, &told).await?;
    let triggers = tell::watch(&config, &gateway, &told);
    let pushed = Pushed::open(&store).await.map_err(|e| Problem::new(STORE_FAILED, e.to_string()))?;
    let signals = open_signals(&config, &url, &told, &authenticator);
    Ok(Rooms {
        config,
        random,
        access: Access::at(&url),
        url,
        people_url,
        started: clock.now(),
        clock,
        store,
        fetcher,
        signals,
        vault,
        authenticator,
        engine,
        policies,
        recorder,
        approvals,
        registrar,
        discovery,
        gateway,
        pushed,
        notifier,
        triggers,
        workloads,
        closing: CancellationToken::new(),
    })
}

fn open_signals(config: &Config, url: &str, told: &tell::Rooms<'_>, authenticator: &Arc<Authenticator>) -> Signals {
    let parts = signals::Parts {
        store: told.store.clone(),
        vault: told.vault.clone(),
        authenticator: Arc::clone(authenticator),
        fetcher: Arc::clone(told.fetcher),
        clock: Arc::clone(told.clock),
        random: Arc::clone(told.random),
    };
    Signals::open(config, url, parts)
}

/// Lists the tools of every server, so that they are pinned before anybody is given a right to one. A server that
/// does not answer does not keep us from starting: its tools are pinned at the first contact.
async fn contact(gateway: &Arc<Gateway>) {
    let asking = Arc::clone(gateway);
    let asked = tokio::spawn(async move {
        for contact in asking.contact_all().await {
            match contact.tools {
                Ok(tools) => tracing::info!(server = contact.server, tools, "listed"),
                Err(why) => tracing::warn!(server = contact.server, why, "does not answer yet"),
            }
        }
    });
    if tokio::time::timeout(FIRST_CONTACT, asked).await.is_err() {
        tracing::warn!("some servers take long to answer: their tools are pinned as they do");
    }
}

/// The record, with every intent that the last run left open closed as indeterminate.
async fn open_record(
    config: &Config,
    store: &Store,
    vault: &Vault,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Recorder, Problem> {
    let failed = |e: &dyn std::fmt::Display| Problem::new(STORE_FAILED, e.to_string());
    let key = LogKey::load(store, vault, &**clock, &**random).await.map_err(|e| failed(&e))?;
    let seed = key.seed().map_err(|e| failed(&e))?;
    let signer = Signer::from_seed(&config.log.origin, &seed).map_err(|e| Problem::new(BAD_CONFIG, e.to_string()))?;
    let recorder = Recorder::new(store.clone(), signer, Arc::clone(clock));
    let open = recorder.indeterminate().await.map_err(|e| failed(&e))?;
    if !open.is_empty() {
        tracing::warn!(
            count = open.len(),
            "acts of the last run may or may not have happened: see `chancery log tail`"
        );
    }
    Ok(recorder)
}

/// An engine that follows agents, grants and tools, and denies everything until a policy set is installed.
fn open_engine(store: &Store) -> Result<Arc<Engine>, Problem> {
    let nothing = Files::default();
    let sources = Sources { files: &nothing, servers: &[], tools: &[], hash: sha256 };
    let snapshot = Snapshot::build(&sources).map_err(|_| Problem::new(INTERNAL, "the empty policy set is refused"))?;
    let engine = Arc::new(Engine::waiting(snapshot));
    let following = Arc::clone(&engine);
    store.observe(Box::new(move |changed| follow(&following, changed)));
    Ok(engine)
}

/// Tells the engine of the agents and grants that are stored. After the policies: each policy set that comes into
/// force makes the entities of all agents anew.
async fn fill(engine: Arc<Engine>, store: Store) -> Result<(), Problem> {
    let failed = |e: chancery_store::StoreError| Problem::new(STORE_FAILED, e.to_string());
    for blueprint in blueprints::all(&store).await.map_err(failed)? {
        engine.blueprint_changed(&blueprint);
    }
    agents::each(&store, |agent| engine.agent_changed(&agent)).await.map_err(failed)?;
    grants::each(&store, |grant| follow_grant(&engine, &grant)).await.map_err(failed)
}

fn follow(engine: &Engine, changed: &Changed) {
    match changed {
        Changed::Agent(agent) => engine.agent_changed(agent),
        Changed::Blueprint(blueprint) => engine.blueprint_changed(blueprint),
        Changed::Grant(grant) => follow_grant(engine, grant),
        Changed::Tool(tool) => engine.tool_changed(tool),
        Changed::Session(_)
        | Changed::Person(_)
        | Changed::Account(_)
        | Changed::Group(_)
        | Changed::ClientSecret(_)
        | Changed::ClientCertificate(_)
        | Changed::Client(_)
        | Changed::TrustSource(_)
        | Changed::Connection(_)
        | Changed::Containment(_)
        | Changed::BreakGlass(_)
        | Changed::Inventory(_) => {}
    }
}

/// What other enforcers are told of whoever, or whatever, is contained.
fn contained(authenticator: &Authenticator, asked: &Question<'_>) -> Option<(Row, String)> {
    let agent = |entity: &EntityRef| (entity.kind == "Agent").then(|| authenticator.contained(&entity.id)).flatten();
    let place = |entity: &EntityRef| match (entity.kind.as_str(), entity.id.split_once('/')) {
        ("Server", _) => authenticator.contained_place(&entity.id, None),
        ("Tool", Some((server, tool))) => authenticator.contained_place(server, Some(tool)),
        _ => None,
    };
    let held = agent(asked.subject).or_else(|| agent(asked.resource)).or_else(|| place(asked.resource));
    held.map(|id| (CONTAINED, format!("{id} stops it")))
}

fn follow_grant(engine: &Engine, grant: &chancery_model::Grant) {
    if let Err(problem) = engine.grant_changed(grant) {
        tracing::debug!(grant = %grant.id, why = problem.detail, "a grant gives nothing under the policies in force");
    }
}

fn names(rooms: &Rooms, address: SocketAddr) -> Names {
    let authority = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
    let ours = [authority(&rooms.url), authority(&rooms.people_url)];
    let local = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{}", address.port()));
    Names::new(local.into_iter().chain(ours).chain(rooms.config.hosts.clone()), &["http", "https"])
}
