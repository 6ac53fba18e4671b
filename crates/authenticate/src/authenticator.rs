//! The room's one object: what is known of agents, sessions, tokens and proofs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chancery_fetch::Fetcher;
use chancery_model::{Agent, BreakGlassId, Clock, Group, Person, PersonId, Random, Span, Timestamp};
use chancery_store::{Store, StoreError};

use crate::access::Access;
use crate::clients::Clients;
use crate::config::Config;
use crate::consent::{Guesses, Polls};
use crate::delegation::{Delegations, Rules, nobody};
use crate::directory::Directory;
use crate::dpop::Dpop;
use crate::fault::Faults;
use crate::federation::Federation;
use crate::jose::PublicKey;
use crate::keys::{KeysError, Retiring, TokenKeys};
use crate::recent::Recent;
use crate::replay::Replay;
use crate::steady::Steady;
use crate::vault::Vault;

/// How many client assertions that are still alive are remembered.
const ASSERTIONS: usize = 1_000_000;
/// How many enrolled keys are kept parsed.
const ENROLLED: usize = 16_384;
/// How often what is dead is forgotten and what was used is made durable.
const SWEEP: Duration = Duration::from_secs(5);
/// How often keys are read again that another node may have replaced.
const KEYS: Duration = Duration::from_secs(1);

/// For how long one node has the job of making a new token key.
const KEY_TERM: Span = Span::minutes(1);

/// Knows who is calling. Shared by every door.
pub struct Authenticator {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) keys: ArcSwap<TokenKeys>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) delegations: Rules,
    pub(crate) faults: Faults,
    pub(crate) clients: Arc<Clients>,
    pub(crate) federation: Arc<Federation>,
    pub(crate) dpop: Dpop,
    /// Verified tokens.
    pub(crate) verified: Recent<Access>,
    /// Enrolled keys by the SHA-256 of their JWK.
    pub(crate) enrolled: Recent<PublicKey>,
    /// The key of security event tokens.
    pub(crate) sets: crate::sets::Sets,
    /// Held while the token-signing key is replaced or read again.
    rotating: tokio::sync::Mutex<()>,
    /// How often devices ask.
    pub(crate) polls: Polls,
    /// Which logins tried wrong codes.
    pub(crate) guesses: Guesses,
    pub(crate) assertions: Replay,
    /// Since when it runs. What was used before is not remembered; nothing where there was nobody to use anything.
    running_since: Option<Timestamp>,
}

/// The room cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Our keys cannot be had.
    #[error("{0}")]
    Keys(#[from] KeysError),
}

impl Authenticator {
    /// Loads agents, open sessions and keys, and follows the store from then on.
    pub async fn open(
        config: Config,
        store: Store,
        vault: Vault,
        fetcher: Arc<Fetcher>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Arc<Self>, OpenError> {
        let clock: Arc<dyn Clock> = Arc::new(Steady::new(clock));
        let directory = Arc::new(Directory::default());
        let observed = directory.clone();
        store.observe(Box::new(move |changed| observed.observe(changed)));
        // Before anybody who might be contained is known.
        let contained = chancery_store::containments::all(&store).await?;
        contained.into_iter().for_each(|containment| directory.containments().load(containment));
        let glasses = chancery_store::break_glass::all(&store).await?;
        glasses.into_iter().for_each(|glass| directory.put_glass(Arc::new(glass)));
        let blueprints = chancery_store::blueprints::all(&store).await?;
        blueprints.into_iter().for_each(|blueprint| directory.load_blueprint(blueprint));
        chancery_store::agents::each(&store, |agent| directory.load_agent(agent)).await?;
        chancery_store::persons::all(&store).await?.into_iter().for_each(|person| directory.load_person(person));
        chancery_store::accounts::all(&store).await?.into_iter().for_each(|account| directory.load_account(account));
        chancery_store::groups::all(&store).await?.into_iter().for_each(|group| directory.load_group(group));
        let secrets = chancery_store::client_secrets::live(&store, clock.now()).await?;
        secrets.into_iter().for_each(|secret| directory.load_secret(secret));
        let federation = Arc::new(Federation::new(fetcher.clone(), clock.clone()));
        let observed = federation.clone();
        store.observe(Box::new(move |changed| observed.observe(changed)));
        let trusted = chancery_store::trust_sources::all(&store).await?;
        trusted.into_iter().for_each(|source| federation.sources.put(Arc::new(source)));
        let clients = Arc::new(Clients::new(fetcher, clock.clone()));
        let observed = clients.clone();
        store.observe(Box::new(move |changed| observed.observe(changed)));
        chancery_store::clients::all(&store).await?.into_iter().for_each(|client| clients.put(Arc::new(client)));
        let certificates = chancery_store::client_certificates::all(&store).await?;
        certificates.into_iter().for_each(|certificate| directory.load_certificate(certificate));
        let sessions = chancery_store::sessions::open(&store, clock.now()).await?;
        directory.load_sessions(sessions);
        let keys = TokenKeys::load(&store, &vault, &*clock).await?;
        Ok(Arc::new(Self {
            dpop: Dpop::new(config.dpop.clone(), clock.clone(), &*random),
            verified: Recent::new(config.cached_tokens),
            polls: Polls::default(),
            guesses: Guesses::default(),
            assertions: Replay::new(Span::seconds(30), ASSERTIONS),
            running_since: (!directory.agents().is_empty()).then(|| clock.now()),
            enrolled: Recent::new(ENROLLED),
            keys: ArcSwap::from_pointee(keys),
            sets: crate::sets::Sets::default(),
            rotating: tokio::sync::Mutex::default(),
            config,
            clock,
            random,
            store,
            vault,
            directory,
            clients,
            federation,
            delegations: nobody(),
            faults: Faults::default(),
        }))
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// May what was made at this time have been used before the start? `skew` is how far its maker's clock may be off.
    /// Most uses leave nothing durable: introspection, an exchange, a pushed request.
    pub(crate) fn is_from_before(&self, made: Timestamp, skew: Span) -> bool {
        self.running_since.is_some_and(|start| made <= start + skew)
    }

    /// Puts the rules about delegation into force. Before it nobody may act for anybody.
    pub fn set_delegations(&self, rules: Box<dyn Delegations>) {
        self.delegations.store(Arc::new(rules));
    }

    /// One agent as it is now, by id or name.
    pub fn agent(&self, id_or_name: &str) -> Option<Arc<Agent>> {
        self.directory.agent(id_or_name).map(|slot| slot.agent())
    }

    /// Every agent as it is now, in no order.
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.directory.agents()
    }

    /// Every person as they are now, in no order.
    pub fn persons(&self) -> Vec<Arc<Person>> {
        self.directory.persons()
    }

    /// The person with this id, as they are now.
    pub fn person(&self, id: &PersonId) -> Option<Arc<Person>> {
        self.directory.person(id).map(|slot| slot.person())
    }

    /// The person of this name, as they are now.
    pub fn person_named(&self, name: &str) -> Option<Arc<Person>> {
        self.directory.persons().into_iter().find(|person| person.name == name)
    }

    /// The names of the groups that this person is in at this moment, in no order.
    pub fn groups_of(&self, person: &PersonId) -> Vec<String> {
        self.directory.groups_of(person)
    }

    /// The group of this name as it is now.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.directory.group(name)
    }

    /// Does this person keep the agent at this moment: as its sponsor or owner, or as one of the group that is?
    pub fn keeps(&self, person: &Person, agent: &Agent) -> bool {
        self.sponsors(person, agent) || self.owns(person, agent)
    }

    /// Do they answer for it in the business: as its sponsor, or as one of the group that is?
    pub fn sponsors(&self, person: &Person, agent: &Agent) -> bool {
        self.goes_by(person, &agent.sponsor)
    }

    /// Do they keep it running: as its owner, or as one of the group that is?
    pub fn owns(&self, person: &Person, agent: &Agent) -> bool {
        self.goes_by(person, &agent.owner)
    }

    /// Is this the person's name, or that of a group they are in?
    fn goes_by(&self, person: &Person, name: &str) -> bool {
        person.is_active() && (name == person.name || self.directory.is_member(&person.id, name))
    }

    /// The break-glass that makes the person of this name an administrator at this moment, if one does.
    pub fn broken_glass(&self, person: &str) -> Option<BreakGlassId> {
        let glass = self.directory.glass(person).filter(|glass| glass.is_open(self.clock.now()))?;
        Some(glass.id.clone())
    }

    /// The nonce for the next proof, for `DPoP-Nonce` headers; none where nonces are off.
    pub fn dpop_nonce(&self) -> Option<Arc<str>> {
        self.dpop.nonce()
    }

    /// Makes a new token-signing key, which happens by itself every 30 days. `actor` is who wants it.
    pub async fn rotate_token_key(&self, retiring: Retiring, actor: &str) -> Result<(), KeysError> {
        let _one_at_a_time = self.rotating.lock().await;
        self.replace_key(retiring, actor).await
    }

    async fn replace_key(&self, retiring: Retiring, actor: &str) -> Result<(), KeysError> {
        let keys = TokenKeys::rotate(&self.store, &self.vault, &*self.clock, retiring, actor).await?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Rotates the token-signing key when it is due, and lets go of those whose overlap is over. Where several nodes
    /// share the keys one of them does it, and the others read them again all the time.
    async fn tend_keys(&self) -> Result<(), KeysError> {
        let _one_at_a_time = self.rotating.lock().await;
        let (keys, now) = (self.keys.load_full(), self.clock.now());
        if keys.is_due(now) && self.store.lead("token key", KEY_TERM).await? {
            return self.replace_key(Retiring::WithOverlap, "system").await;
        }
        if keys.is_stale(now) || self.store.is_shared() {
            self.keys.store(Arc::new(TokenKeys::load(&self.store, &self.vault, &*self.clock).await?));
        }
        Ok(())
    }

    /// Forgets what is dead and makes session use durable, every five seconds, until `stop` is ready.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let (mut tidied, shared) = (tokio::time::interval(SWEEP), self.store.is_shared());
        let mut read = tokio::time::interval(KEYS);
        tidied.tick().await;
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = tidied.tick() => self.tidy().await,
                _ = read.tick(), if shared => self.read_keys().await,
            }
        }
    }

    async fn read_keys(&self) {
        if let Err(e) = self.tend_keys().await {
            tracing::warn!(error = %e, "the token-signing keys could not be read again");
        }
    }

    /// One round of [`Authenticator::run`].
    pub async fn tidy(&self) {
        let now = self.clock.now();
        if let Err(e) = self.tend_keys().await {
            tracing::warn!(error = %e, "the token-signing key could not be rotated");
        }
        if let Err(e) = self.touch_due().await {
            tracing::warn!(error = %e, "the use of sessions could not be made durable");
        }
        self.directory.sweep(now);
        self.verified.retain(|access| now < access.expires);
        self.assertions.sweep(now);
        self.dpop.sweep();
        self.polls.sweep(now);
        self.guesses.sweep(now);
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}
