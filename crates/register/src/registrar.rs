//! The room's one object, and how it writes.

use std::sync::Arc;

use chancery_model::{
    Agent, AgentId, Blueprint, Change, Clock, Draft, Kind, Random, Span, Timestamp, Who, Why, canonical,
};
use chancery_store::{
    BoxFuture, Store, StoreError, Tx, agents, blueprints, client_certificates, client_secrets, clients, trust_sources,
};
use serde::Serialize;

use crate::RegisterError;

/// How often a change is tried when others change the same thing.
pub(crate) const TRIES: usize = 8;

/// Settings of this room, with safe defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a registration lasts if nothing is said.
    pub expiry: Span,
    /// The longest a registration or an extension may last.
    pub longest: Span,
    /// How long an enrolment code is good.
    pub code_lifetime: Span,
    /// How long before its end an agent is a finding.
    pub expiring: Span,
    /// How long after its registration an agent without a key is a finding.
    pub never_enrolled: Span,
    /// Our issuer: the audience of platforms' tokens if nothing is said.
    pub issuer: String,
    /// The issuers of the identity providers whose word is taken for who people are.
    pub providers: Vec<String>,
    /// Whether clients may register themselves with a code.
    pub registration: bool,
    /// Our own SPIFFE trust domain, `spiffe://acme.example`, if there is one.
    pub trust_domain: Option<String>,
    /// Which addresses the server may fetch from.
    pub fetch: chancery_fetch::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            expiry: Span::days(90),
            longest: Span::days(365),
            code_lifetime: Span::minutes(15),
            expiring: Span::days(14),
            never_enrolled: Span::days(7),
            issuer: "http://127.0.0.1:8420".into(),
            providers: Vec::new(),
            registration: false,
            trust_domain: None,
            fetch: chancery_fetch::Config::default(),
        }
    }
}

/// Registers and changes identities and their rights. Cheap to clone.
#[derive(Clone)]
pub struct Registrar {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// What happens to a noun, beside the row itself, in the same commit.
pub(crate) type Beside<T> =
    Arc<dyn for<'t> Fn(&'t mut Tx, Arc<T>) -> BoxFuture<'t, Result<(), StoreError>> + Send + Sync>;

/// A noun that is changed as a whole: what is stored is compared with what was read before it is replaced.
pub(crate) trait Kept: Clone + PartialEq + Serialize + Send + Sync + Sized + 'static {
    /// What it is called in entries.
    const NOUN: &'static str;
    fn name(&self) -> &str;
    fn find<'r>(registrar: &'r Registrar, name: &'r str) -> BoxFuture<'r, Result<Self, RegisterError>>;
    /// As it is stored now.
    fn stored<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Option<Self>, StoreError>>;
    fn update<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>>;
}

impl Kept for Agent {
    const NOUN: &'static str = "agent";

    fn name(&self) -> &str {
        &self.name
    }

    fn find<'r>(registrar: &'r Registrar, name: &'r str) -> BoxFuture<'r, Result<Self, RegisterError>> {
        Box::pin(registrar.agent(name))
    }

    fn stored<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Option<Self>, StoreError>> {
        Box::pin(agents::get(tx, &self.id))
    }

    fn update<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> {
        Box::pin(agents::update(tx, self))
    }
}

impl Kept for Blueprint {
    const NOUN: &'static str = "blueprint";

    fn name(&self) -> &str {
        &self.name
    }

    fn find<'r>(registrar: &'r Registrar, name: &'r str) -> BoxFuture<'r, Result<Self, RegisterError>> {
        Box::pin(registrar.blueprint(name))
    }

    fn stored<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Option<Self>, StoreError>> {
        Box::pin(blueprints::by_name(tx, &self.name))
    }

    fn update<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> {
        Box::pin(blueprints::update(tx, self))
    }
}

impl Registrar {
    /// A registrar over this store.
    pub fn new(config: Config, store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { config, store, clock, random }
    }

    /// One agent, by name or id.
    pub async fn agent(&self, name_or_id: &str) -> Result<Agent, RegisterError> {
        let found = match name_or_id.parse() {
            Ok(id) => agents::get(&self.store, &id).await?,
            Err(_) => agents::by_name(&self.store, name_or_id).await?,
        };
        found.ok_or_else(|| RegisterError::NoAgent(name_or_id.chars().take(80).collect()))
    }

    /// All agents, by name.
    pub async fn agents(&self) -> Result<Vec<Agent>, RegisterError> {
        Ok(agents::all(&self.store).await?)
    }

    /// Changes a noun: `step` says what becomes of it as it is stored. The entry states exactly what is committed:
    /// if somebody else changed it in between, the step is taken again from what it is then.
    pub(crate) async fn change<T: Kept>(
        &self,
        name: &str,
        by: &By<'_>,
        step: impl Fn(T, Timestamp) -> Result<T, RegisterError>,
        beside: Beside<T>,
    ) -> Result<T, RegisterError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let before = T::find(self, name).await?;
            let after = Arc::new(step(before.clone(), now)?);
            let draft = by.draft(now, T::NOUN, after.name(), &*after);
            let (written, beside) = (after.clone(), beside.clone());
            let write = self.store.write(draft, move |tx| {
                Box::pin(async move {
                    if before.stored(tx).await?.as_ref() != Some(&before) {
                        return Err(StoreError::refuse(RegisterError::Busy(before.name().to_owned())));
                    }
                    written.update(tx).await?;
                    beside(tx, written).await
                })
            });
            match write.await.map_err(RegisterError::from) {
                Ok(_) => return Ok(Arc::unwrap_or_clone(after)),
                Err(RegisterError::Busy(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(RegisterError::Busy(name.to_owned()))
    }
}

/// Nothing happens beside the change.
pub(crate) fn nothing<T: Kept>() -> Beside<T> {
    Arc::new(|_, _| Box::pin(std::future::ready(Ok(()))))
}

/// One of its ways to authenticate is gone: its sessions end, and without another way it cannot authenticate.
pub(crate) async fn disarm(tx: &mut Tx, id: &AgentId, now: Timestamp) -> Result<(), StoreError> {
    let trusted = !trust_sources::of_agent(&mut *tx, id).await?.is_empty();
    let named = !clients::of_agent(&mut *tx, id).await?.is_empty();
    let shares = client_secrets::of_agent(&mut *tx, id).await?.iter().any(|secret| secret.is_live(now));
    let shows = client_certificates::of_agent(&mut *tx, id).await?.is_some();
    match agents::get(&mut *tx, id).await? {
        Some(agent) => agents::update(tx, &agent.disarm(trusted || named || shares || shows)).await,
        None => Ok(()),
    }
}

/// Who changes something, how it is called, and why.
pub(crate) struct By<'a> {
    pub(crate) actor: &'a str,
    pub(crate) verb: &'static str,
    pub(crate) reason: Option<&'a str>,
}

impl By<'_> {
    /// The entry of a change. `after` must hold no secret.
    pub(crate) fn draft(&self, now: Timestamp, noun: &str, id: &str, after: &impl Serialize) -> Draft {
        let after = serde_json::to_value(after).ok().and_then(|value| canonical(&value).ok());
        Draft {
            kind: Kind::Change,
            at: now,
            who: Who { human: Some(self.actor.to_owned()), ..Who::default() },
            why: Why { reason: self.reason.map(str::to_owned), trace: None },
            change: Some(Change {
                noun: noun.into(),
                id: id.into(),
                verb: self.verb.into(),
                after: after.map(|json| String::from_utf8_lossy(&json).into_owned()),
            }),
            ..Draft::default()
        }
    }
}
