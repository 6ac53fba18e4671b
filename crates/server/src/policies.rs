//! The policy set in force: built from the files and the pinned tools, all of it or nothing.
//!
//! It is rebuilt when a tool is pinned, approved or quarantined, and on request. A set that does not build leaves the
//! one before in force and says why; at the first start there is none before, and everything is denied. Each set
//! that comes into force is kept by its version, so that a decision can be explained by the policies as they were.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use chancery_authorize::{Diagnostic, Engine, Files, Snapshot, Sources};
use chancery_model::problem::{INTERNAL, POLICY_SYNTAX, Problem, Row, row};
use chancery_model::{Change, Changed, Clock, Draft, Kind, Timestamp, Who};
use chancery_store::policies::{self as stored, PolicySet};
use chancery_store::{Store, tools};
use serde::Serialize;
use tokio::sync::{Mutex, Notify};

use crate::failure::Failure;

/// How the last attempt to build a set went.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Status {
    /// The version in force: SHA-256 in lower-case hex. None: everything is denied.
    pub(crate) version: Option<String>,
    /// When it came into force.
    pub(crate) loaded_at: Option<String>,
    /// Errors of a later attempt that failed, and warnings of the set in force.
    pub(crate) remarks: Vec<Diagnostic>,
    /// Whether the last attempt failed.
    pub(crate) failed: bool,
    /// How many policies and templates are looked at in every decision.
    pub(crate) unindexed: usize,
    /// The templates grants can link.
    pub(crate) templates: BTreeSet<String>,
}

/// The policy set in force, and how the next one is made.
#[derive(Clone)]
pub(crate) struct Policies {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    servers: Vec<String>,
    engine: Arc<Engine>,
    store: Store,
    clock: Arc<dyn Clock>,
    status: ArcSwap<Status>,
    /// Why the last attempt to build a set failed, if it did.
    trouble: ArcSwap<Option<String>>,
    /// One build at a time.
    building: Mutex<()>,
    /// Changes of tools seen, and changes of tools built in.
    seen: AtomicU64,
    built: AtomicU64,
    changed: Notify,
}

impl Policies {
    pub(crate) fn new(
        directory: PathBuf,
        servers: Vec<String>,
        engine: Arc<Engine>,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let inner = Arc::new(Inner {
            directory,
            servers,
            engine,
            store,
            clock,
            status: ArcSwap::default(),
            trouble: ArcSwap::default(),
            building: Mutex::new(()),
            seen: AtomicU64::new(0),
            built: AtomicU64::new(0),
            changed: Notify::new(),
        });
        let watching = Arc::clone(&inner);
        inner.store.observe(Box::new(move |changed| {
            if matches!(changed, Changed::Tool(_)) {
                watching.seen.fetch_add(1, Ordering::AcqRel);
                watching.changed.notify_one();
            }
        }));
        Self { inner }
    }

    /// How things stand.
    pub(crate) fn status(&self) -> Arc<Status> {
        self.inner.status.load_full()
    }

    /// Rebuilds whenever tools changed. Ends with the task that runs it.
    pub(crate) async fn keep_up(&self) {
        loop {
            self.inner.changed.notified().await;
            // What went wrong is logged and in the status.
            let _ = self.settle().await;
        }
    }

    /// Returns once every change of a tool that was committed before is built in, or cannot be: then with the reason.
    pub(crate) async fn settle(&self) -> Result<(), String> {
        let this = self.clone();
        // In a task of its own, which goes on when whoever waits has left: what is recorded must come into force.
        tokio::spawn(async move { this.settled().await }).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the policy set could not be rebuilt");
            Err(error.to_string())
        })
    }

    async fn settled(&self) -> Result<(), String> {
        let _one = self.inner.building.lock().await;
        if self.inner.built.load(Ordering::Acquire) < self.inner.seen.load(Ordering::Acquire)
            && let Err(failure) = self.build("chancery").await
        {
            tracing::error!(code = failure.0.code, why = failure.0.detail, "the policy set could not be rebuilt");
        }
        // Somebody else may have tried before, for the same change.
        (**self.inner.trouble.load()).clone().map_or(Ok(()), Err)
    }

    /// Reads the files again and puts them in force, all of them or none.
    pub(crate) async fn reload(&self, actor: &str) -> Result<Arc<Status>, Failure> {
        let _one = self.inner.building.lock().await;
        self.build(actor).await
    }

    async fn build(&self, actor: &str) -> Result<Arc<Status>, Failure> {
        let built = self.try_build(actor).await;
        let trouble = built.as_ref().err().map(|failure| failure.0.detail.clone());
        self.inner.trouble.store(Arc::new(trouble));
        built
    }

    async fn try_build(&self, actor: &str) -> Result<Arc<Status>, Failure> {
        let upto = self.inner.seen.load(Ordering::Acquire);
        let tools = tools::all(&self.inner.store).await?;
        let (directory, servers) = (self.inner.directory.clone(), self.inner.servers.clone());
        // Parsing and checking take milliseconds, which calls in progress must not wait for.
        let made = tokio::task::spawn_blocking(move || {
            let files = Files::read(&directory).map_err(|e| unreadable(&directory, &e))?;
            let sources = Sources { files: &files, servers: &servers, tools: &tools, hash: sha256 };
            let snapshot = Snapshot::build(&sources).map_err(Refused::Set)?;
            Ok((files, snapshot))
        })
        .await
        .map_err(|e| Problem::new(INTERNAL, e.to_string()))?;
        self.inner.built.fetch_max(upto, Ordering::AcqRel);
        match made {
            Ok((files, snapshot)) => self.install(files, snapshot, actor).await,
            Err(refused) => Err(self.refuse(refused)),
        }
    }

    async fn install(&self, files: Files, snapshot: Snapshot, actor: &str) -> Result<Arc<Status>, Failure> {
        let now = self.inner.clock.now();
        let version = snapshot.version().to_string();
        let status = Arc::new(Status {
            version: Some(version.clone()),
            loaded_at: Some(now.rfc3339()),
            remarks: snapshot.warnings().to_vec(),
            failed: false,
            unindexed: snapshot.unindexed(),
            templates: snapshot.templates().map(str::to_owned).collect::<BTreeSet<_>>(),
        });
        if self.status().version.as_deref() != Some(&version) {
            let set = PolicySet { version, files: files.0, loaded_at: now };
            let draft = draft(&set, actor, now);
            self.inner.store.write(draft, move |tx| Box::pin(async move { stored::put(tx, &set).await })).await?;
        }
        self.inner.engine.install(snapshot);
        self.inner.status.store(Arc::clone(&status));
        Ok(status)
    }

    fn refuse(&self, refused: Refused) -> Failure {
        let (problem, remarks) = refused.told();
        let before = self.status();
        self.inner.status.store(Arc::new(Status { remarks, failed: true, ..(*before).clone() }));
        let kept = match &before.version {
            Some(version) => format!("; version {version} stays in force"),
            None => "; no set is in force, so everything is denied".to_owned(),
        };
        Problem { detail: problem.detail + &kept, ..problem }.into()
    }
}

/// Why there is no new set.
enum Refused {
    Files(String),
    Set(Vec<Diagnostic>),
}

fn unreadable(directory: &std::path::Path, error: &std::io::Error) -> Refused {
    Refused::Files(format!("{}: {error}", directory.display()))
}

impl Refused {
    fn told(self) -> (Problem, Vec<Diagnostic>) {
        match self {
            Self::Files(why) => (Problem::new(POLICY_SYNTAX, why), Vec::new()),
            Self::Set(remarks) => {
                let first = remarks.first();
                let known: Row = first.and_then(|d| row(d.code)).copied().unwrap_or(POLICY_SYNTAX);
                let all: Vec<String> = remarks.iter().map(Diagnostic::to_string).collect();
                (Problem::new(known, all.join("\n")), remarks)
            }
        }
    }
}

fn draft(set: &PolicySet, actor: &str, now: Timestamp) -> Draft {
    let change = Change { noun: "policy".into(), id: set.version.clone(), verb: "load".into(), after: None };
    let who = Who { human: Some(actor.to_owned()), ..Who::default() };
    Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }
}

pub(crate) fn sha256(bytes: &[u8]) -> chancery_model::Hash {
    chancery_authenticate::jose::sha256(bytes)
}
