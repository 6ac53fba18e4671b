//! What people are told, and where: channels of the configuration file, each with the events it wants.
//!
//! Events are made of entries by a follower of the log and put down as deliveries, one for each channel, before the
//! follower moves on; so a crash loses none, and an entry that comes twice is the same delivery. Each channel has a
//! task of its own that sends what is due: a channel that fails is tried again, later and later, and holds up nobody.
//! The id of a message is that of its entry, on every attempt: whoever gets it twice can know.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chancery_fetch::Fetcher;
use chancery_model::{Clock, DecisionId, Random, Secret, Span};
use chancery_store::deliveries::{self, Delivery, DeliveryState, Gone, Standing};
use chancery_store::{BoxFuture, Store, StoreError, findings};
use tokio::sync::Notify;
use tokio::task::JoinSet;

mod config;
mod event;
mod mail;
mod message;
mod outcome;
mod sender;
mod slack;
mod teams;
mod text;
mod webhook;

pub use config::{Channel, ChannelKind, MailTls, SecretPlace};

use crate::follow::{Followed, Follower, Job, JobFailed, Start};
use event::Event;
use mail::Mailer;

/// The follower's name.
const FOLLOWER: &str = "notify";
/// What is older when it is read is not told any more: nobody was told anything for as long.
const OLDEST: Span = Span::days(3);
/// How long the delivery log is kept, and how often it is looked at for that.
const KEPT: Span = Span::days(30);
const SWEEP: Duration = Duration::from_secs(3600);

/// Opens stored secrets.
pub trait Secrets: Send + Sync {
    /// The secret of this name, if there is one.
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, String>>;
}

/// What the room needs of others.
pub struct Parts {
    /// The record, and where deliveries are kept.
    pub store: Store,
    /// How addresses are reached.
    pub fetcher: Arc<Fetcher>,
    /// A PEM file of certificate authorities that mail servers may have besides the system's.
    pub authorities: Option<PathBuf>,
    /// The secrets of channels.
    pub secrets: Arc<dyn Secrets>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What we are called, without a trailing slash: the source of events, and the start of links.
    pub url: String,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// There is no channel of this name.
    #[error("channel `{0}` is not in the configuration")]
    NoChannel(String),
    /// There is no message of this id that could be sent again.
    #[error("channel `{channel}` has no undelivered message `{id}`")]
    NoDelivery {
        /// The channel.
        channel: String,
        /// The message's id.
        id: String,
    },
    /// A channel cannot be used as it is configured.
    #[error("channel `{channel}`: {why}")]
    Config {
        /// The channel.
        channel: String,
        /// What is wrong.
        why: String,
    },
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a channel stands.
#[derive(Clone, Debug)]
pub struct ChannelView {
    /// As it is configured.
    pub channel: Channel,
    /// Its messages.
    pub standing: Standing,
    /// Since when nothing is sent there, if it said that it is gone.
    pub gone: Option<Gone>,
    /// Were there many attempts in vain?
    pub failing: bool,
}

/// Tells people. Cloning it is cheap; all clones are one.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    lines: Vec<Line>,
    parts: Parts,
    /// Channels with the finding that they fail.
    failing: Mutex<BTreeSet<String>>,
    gone: Mutex<BTreeSet<String>>,
    /// Until it is run.
    follower: Mutex<Option<Follower>>,
}

/// A channel and what sends to it.
struct Line {
    channel: Channel,
    mailer: Option<Mailer>,
    wake: Notify,
}

impl Notifier {
    /// Takes up the channels. What happens from now on is told, also if it happens before [`Notifier::run`]. Without
    /// channels nothing is followed.
    ///
    /// # Errors
    /// [`NotifyError::Config`], or what the store says.
    pub async fn open(channels: Vec<Channel>, parts: Parts) -> Result<Self, NotifyError> {
        let open = findings::open_ones(&parts.store).await?.into_iter().filter(|f| f.rule == outcome::FAILING);
        let failing = open.filter_map(|f| f.subject.strip_prefix(outcome::SUBJECT).map(str::to_owned)).collect();
        let gone = deliveries::gone(&parts.store).await?.into_iter().map(|gone| gone.channel).collect();
        let follower = match channels.is_empty() {
            true => None,
            false => Some(Follower::open(&parts.store, FOLLOWER, Start::Now).await?),
        };
        let lines = channels.into_iter().map(|channel| Line::new(channel, &parts)).collect::<Result<_, _>>()?;
        let (failing, gone, follower) = (Mutex::new(failing), Mutex::new(gone), Mutex::new(follower));
        Ok(Self { inner: Arc::new(Inner { lines, parts, failing, gone, follower }) })
    }

    /// Tells what happens until `stop`. To be called once.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Some(follower) = locked(&self.inner.follower).take() else { return };
        let mut tasks = JoinSet::new();
        for at in 0..self.inner.lines.len() {
            tasks.spawn(sender::serve(Arc::clone(&self.inner), at));
        }
        tasks.spawn(sweep(Arc::clone(&self.inner)));
        follower.run(TakeIn(Arc::clone(&self.inner)), stop).await;
        tasks.shutdown().await;
    }

    /// The channels, in the order of the file.
    pub async fn channels(&self) -> Result<Vec<ChannelView>, NotifyError> {
        let gone = deliveries::gone(&self.inner.parts.store).await?;
        let mut views = Vec::new();
        for Line { channel, .. } in &self.inner.lines {
            views.push(ChannelView {
                standing: deliveries::standing(&self.inner.parts.store, &channel.name).await?,
                gone: gone.iter().find(|gone| gone.channel == channel.name).cloned(),
                failing: locked(&self.inner.failing).contains(&channel.name),
                channel: channel.clone(),
            });
        }
        Ok(views)
    }

    /// The delivery log, newest first.
    pub async fn deliveries(
        &self,
        channel: Option<&str>,
        state: Option<DeliveryState>,
        limit: u32,
    ) -> Result<Vec<Delivery>, NotifyError> {
        Ok(deliveries::list(&self.inner.parts.store, channel, state, limit).await?)
    }

    /// Sends a message to one channel, whatever it wants to be told; returns its id.
    pub async fn test(&self, channel: &str, by: &str) -> Result<DecisionId, NotifyError> {
        self.inner.line(channel)?;
        let draft = self.inner.draft(by, "channel", channel, "test", None);
        let durable = self.inner.parts.store.append(draft).await?;
        Ok(DecisionId(durable.position()))
    }

    /// Tries again at once what waits or was given up: one message, or all of the channel, which is taken not to be
    /// gone any more. Says how many.
    pub async fn retry(&self, channel: &str, id: Option<&str>, by: &str) -> Result<u64, NotifyError> {
        let line = self.inner.line(channel)?;
        let tried = self.inner.again(channel, id, by).await?;
        line.wake.notify_one();
        match (tried, id) {
            (0, Some(id)) => Err(NotifyError::NoDelivery { channel: channel.to_owned(), id: id.to_owned() }),
            _ => Ok(tried),
        }
    }
}

impl Line {
    fn new(channel: Channel, parts: &Parts) -> Result<Self, NotifyError> {
        let mailer = match channel.kind {
            ChannelKind::Smtp => Some(Mailer::new(&channel, parts.authorities.as_deref())),
            _ => None,
        };
        let mailer = mailer.transpose().map_err(|why| NotifyError::Config { channel: channel.name.clone(), why })?;
        Ok(Self { channel, mailer, wake: Notify::new() })
    }
}

impl Inner {
    fn line(&self, name: &str) -> Result<&Line, NotifyError> {
        let found = self.lines.iter().find(|line| line.channel.name == name);
        found.ok_or_else(|| NotifyError::NoChannel(name.to_owned()))
    }

    /// The deliveries that follow from an entry.
    fn due(&self, followed: &Followed, event: &Event) -> Vec<Delivery> {
        let wanted = |line: &&Line| match &event.only {
            Some(name) => line.channel.name == *name,
            None => line.channel.wants(event.name),
        };
        let mut payload = None;
        let deliveries = self.lines.iter().filter(wanted).map(|line| Delivery {
            channel: line.channel.name.clone(),
            id: followed.id().to_string(),
            event: event.name.to_owned(),
            thread: event.thread.clone(),
            payload: payload.get_or_insert_with(|| event.payload(followed, &self.parts.url).to_string()).clone(),
            committed_at: followed.committed_at,
            position: followed.position,
            state: DeliveryState::Waiting,
            attempts: 0,
            answer: String::new(),
            posted: None,
            next_at: followed.committed_at,
            ended_at: None,
        });
        deliveries.collect()
    }
}

/// The follower's job: entries become deliveries.
struct TakeIn(Arc<Inner>);

impl Job for TakeIn {
    fn take<'a>(&'a mut self, entries: &'a [Followed]) -> BoxFuture<'a, Result<(), JobFailed>> {
        Box::pin(async move {
            let oldest = self.0.parts.clock.now() - OLDEST;
            let told = entries.iter().filter(|followed| followed.committed_at >= oldest);
            let events = told.filter_map(|followed| Some((followed, event::of(&followed.entry)?)));
            let new: Vec<Delivery> = events.flat_map(|(followed, event)| self.0.due(followed, &event)).collect();
            if new.is_empty() {
                return Ok(());
            }
            let to: BTreeSet<String> = new.iter().map(|one| one.channel.clone()).collect();
            deliveries::insert(&self.0.parts.store, new).await?;
            self.0.lines.iter().filter(|line| to.contains(&line.channel.name)).for_each(|line| line.wake.notify_one());
            Ok(())
        })
    }
}

async fn sweep(inner: Arc<Inner>) {
    loop {
        let before = inner.parts.clock.now() - KEPT;
        if let Err(error) = deliveries::prune(&inner.parts.store, before).await {
            tracing::warn!(%error, "old deliveries are still there");
        }
        tokio::time::sleep(SWEEP).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
