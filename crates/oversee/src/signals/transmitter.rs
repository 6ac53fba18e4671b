//! The transmitter: who may receive, and what all its parts share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_fetch::Fetcher;
use chancery_model::{Agent, Clock, Random, SignalStream, Span, StreamId, problem};
use chancery_store::streams::StoredStream;
use chancery_store::{Reader, Store, streams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::push::Trouble;
use super::{Seals, SignalError, Signs, kinds};

/// The least time between two verifications of a stream.
pub(super) const MIN_VERIFICATION: Span = Span::seconds(10);
/// Between two looks for what others put into streams, and for pushes that are due again.
const TICK: Duration = Duration::from_secs(1);

/// Settings of the transmitter.
#[derive(Clone, Debug)]
pub struct TransmitConfig {
    /// Our issuer identifier.
    pub issuer: String,
    /// The names of the service accounts that may receive, and the audience of each where it is not its id.
    pub receivers: HashMap<String, Option<String>>,
    /// What receivers may name as their address for pushes.
    pub fetch: chancery_fetch::Config,
}

/// Sends events to those who asked for them.
pub struct Transmitter {
    pub(super) config: TransmitConfig,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) signs: Arc<dyn Signs>,
    pub(super) seals: Arc<dyn Seals>,
    pub(super) fetcher: Arc<Fetcher>,
    /// Counts what was put into streams.
    pub(super) changed: watch::Sender<u64>,
    /// Streams whose pushes fail.
    pub(super) troubles: Mutex<HashMap<StreamId, Trouble>>,
}

/// A receiver that the configuration names.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Its service account.
    pub agent: Arc<Agent>,
    /// The `aud` of its events.
    pub audience: String,
}

impl Transmitter {
    /// A transmitter over this store.
    pub fn new(
        config: TransmitConfig,
        (store, fetcher): (Store, Arc<Fetcher>),
        (signs, seals): (Arc<dyn Signs>, Arc<dyn Seals>),
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Arc<Self> {
        let (changed, troubles) = (watch::Sender::new(0), Mutex::default());
        Arc::new(Self { config, store, clock, random, signs, seals, fetcher, changed, troubles })
    }

    /// May this agent receive?
    ///
    /// # Errors
    /// `NO_RECEIVER`: the configuration does not name it.
    pub fn admit(&self, agent: Arc<Agent>) -> Result<Admitted, SignalError> {
        let stranger = || {
            let why = format!("`{}` is none of the receivers that the configuration names", agent.name);
            SignalError::new(problem::NO_RECEIVER, why)
        };
        let audience = self.config.receivers.get(&agent.name).ok_or_else(stranger)?;
        let audience = audience.clone().unwrap_or_else(|| agent.id.to_string());
        Ok(Admitted { agent, audience })
    }

    /// The metadata (Shared Signals Framework 1.0, section 7.1).
    pub fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}/ssf/{path}", self.config.issuer);
        json!({
            "spec_version": "1_0",
            "issuer": self.config.issuer,
            "jwks_uri": at("jwks"),
            "delivery_methods_supported": [super::streams::PUSH, super::streams::POLL],
            "configuration_endpoint": at("streams"),
            "status_endpoint": at("status"),
            "add_subject_endpoint": at("subjects/add"),
            "remove_subject_endpoint": at("subjects/remove"),
            "verification_endpoint": at("verify"),
            "critical_subject_members": ["session"],
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
            "default_subjects": "ALL",
        })
    }

    /// Pushes what is to be pushed, until `stop` is ready.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            tokio::select! {
                () = &mut stop => return,
                () = self.push_all() => {}
            }
            tokio::select! {
                () = &mut stop => return,
                // The sender lives in `self`: there is no error.
                _ = changed.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// The receiver's stream of this id: nobody else's is found.
    pub(super) async fn stream(
        &self,
        receiver: &Admitted,
        id: &str,
        from: impl Into<Reader<'_>>,
    ) -> Result<StoredStream, SignalError> {
        own(receiver, id, streams::of_receiver(from, &receiver.agent.id).await?)
    }

    /// Something was put into a stream.
    pub(super) fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl std::fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmitter").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

/// The stream that was found, if it has this id.
pub(super) fn own(receiver: &Admitted, id: &str, found: Option<StoredStream>) -> Result<StoredStream, SignalError> {
    let missing = || {
        let id: String = id.chars().take(60).collect();
        SignalError::new(problem::NO_STREAM, format!("`{}` has no stream `{id}`", receiver.agent.name))
    };
    found.filter(|stored| stored.stream.id.as_str() == id).ok_or_else(missing)
}

/// The events that a stream carries: those of its receiver that there are.
pub(super) fn delivered(stream: &SignalStream) -> Vec<&'static str> {
    let wanted = |kind: &&str| stream.events.iter().any(|asked| asked == kind);
    kinds::SUPPORTED.into_iter().filter(wanted).collect()
}
