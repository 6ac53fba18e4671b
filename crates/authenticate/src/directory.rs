//! Agents, people and open sessions in memory: loaded at start, kept by the store's observer.
//!
//! A session's slot holds the slots of everything it hangs on. Whoever asks whether it is in force looks at all of
//! them as they are at that moment, so that stopping one stops whatever hangs on it, however much that is.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::{ArcSwap, ArcSwapOption};
use chancery_model::{
    Account, Agent, AgentId, Blueprint, BreakGlass, Changed, ClientCertificate, ClientSecret, Digest, Epoch, Group,
    GroupId, Hash, Person, PersonId, Session, SessionId, SessionState, Standing, Timestamp,
};
use tokio::sync::Notify;

use crate::containments::Containments;

/// One agent as it is now. Whoever holds the slot sees every change at once.
#[derive(Debug)]
pub(crate) struct AgentSlot {
    current: ArcSwap<Agent>,
    /// How many of its sessions are remembered.
    sessions: AtomicUsize,
    blueprint: Option<Arc<BlueprintSlot>>,
    stated: Stated,
    containments: Arc<Containments>,
}

/// One blueprint as it is now; nothing until it is known. All of its instances hold this slot.
#[derive(Debug, Default)]
pub(crate) struct BlueprintSlot {
    current: ArcSwapOption<Blueprint>,
    stated: Stated,
}

/// What was last written down as stated and not approved; nothing inside means that nothing was stated. Forgotten with
/// every change of its holder.
pub(crate) type Stated = ArcSwapOption<Option<Digest>>;

/// Agents by name.
pub(crate) type Names = BTreeMap<String, Arc<AgentSlot>>;

/// One person as they are now.
#[derive(Debug)]
pub(crate) struct PersonSlot {
    current: ArcSwap<Person>,
}

/// One session as it is now, with its last use and what it hangs on.
#[derive(Debug)]
pub(crate) struct SessionSlot {
    current: ArcSwap<Session>,
    used: AtomicI64,
    agent: Arc<AgentSlot>,
    person: Option<Arc<PersonSlot>>,
    parent: Option<Arc<SessionSlot>>,
}

/// Who there is.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    agents: RwLock<HashMap<AgentId, Arc<AgentSlot>>>,
    names: RwLock<Names>,
    blueprints: RwLock<HashMap<String, Arc<BlueprintSlot>>>,
    /// The instances of each blueprint.
    instances: RwLock<HashMap<String, Names>>,
    persons: RwLock<HashMap<PersonId, Arc<PersonSlot>>>,
    /// What identity providers call people: by issuer and subject.
    accounts: RwLock<HashMap<(String, String), PersonId>>,
    groups: RwLock<HashMap<GroupId, Arc<Group>>>,
    sessions: RwLock<HashMap<SessionId, Arc<SessionSlot>>>,
    secrets: RwLock<HashMap<Hash, Arc<ClientSecret>>>,
    certificates: RwLock<HashMap<AgentId, Arc<ClientCertificate>>>,
    containments: Arc<Containments>,
    /// The last break-glass of each person, by name.
    glasses: RwLock<HashMap<String, Arc<BreakGlass>>>,
    /// Told after every change that may have stopped somebody.
    stops: Notify,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl AgentSlot {
    pub(crate) fn agent(&self) -> Arc<Agent> {
        self.current.load_full()
    }

    /// What it is an instance of.
    pub(crate) fn blueprint(&self) -> Option<Arc<Blueprint>> {
        self.blueprint.as_ref().and_then(|slot| slot.current.load_full())
    }

    /// Its own state and its blueprint's taken together.
    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        let blueprint = self.blueprint.as_ref().map(|slot| slot.current.load());
        Standing::of(&self.current.load(), blueprint.as_ref().and_then(|found| found.as_deref()), now)
    }

    /// What a session of it must have been opened under. Both counters only grow and an instance never changes its
    /// blueprint, so that the sum is another one as soon as either is.
    pub(crate) fn epoch(&self) -> Epoch {
        let blueprint = self.blueprint.as_ref().and_then(|slot| slot.current.load().as_ref().map(|found| found.epoch));
        self.current.load().epoch + blueprint.unwrap_or(0)
    }

    /// Who holds the manifest that it is judged by: itself if one was approved for it, else its blueprint if it has one.
    pub(crate) fn stated(&self) -> &Stated {
        match &self.blueprint {
            Some(blueprint) if self.current.load().manifest.is_none() => &blueprint.stated,
            _ => &self.stated,
        }
    }

    /// What is contained, whoever it is.
    pub(crate) fn containments(&self) -> &Containments {
        &self.containments
    }

    /// How many of its sessions are remembered: those that are open, and those that ended a moment ago.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }
}

impl PersonSlot {
    pub(crate) fn person(&self) -> Arc<Person> {
        self.current.load_full()
    }
}

impl SessionSlot {
    pub(crate) fn session(&self) -> Arc<Session> {
        self.current.load_full()
    }

    /// Who acts in it.
    pub(crate) fn agent(&self) -> &Arc<AgentSlot> {
        &self.agent
    }

    /// In whose name.
    pub(crate) fn person(&self) -> Option<&Arc<PersonSlot>> {
        self.person.as_ref()
    }

    /// It and everything it hangs on, from itself to the root.
    pub(crate) fn line(&self) -> impl Iterator<Item = &SessionSlot> {
        std::iter::successors(Some(self), |slot| slot.parent.as_deref())
    }

    /// The last use, durable or not.
    pub(crate) fn used(&self) -> Timestamp {
        Timestamp(self.used.load(Ordering::Acquire)).max(self.current.load().used_at)
    }

    /// It is used, and with it everything it hangs on.
    pub(crate) fn touch(&self, now: Timestamp) {
        self.line().for_each(|slot| {
            slot.used.fetch_max(now.0, Ordering::AcqRel);
        });
    }

    /// May anything be done in it again? By its own state and times only.
    fn lives(&self, now: Timestamp) -> bool {
        let session = self.current.load();
        session.state == SessionState::Open && now < session.ends_at && now < self.used() + session.idle
    }
}

impl Directory {
    /// Takes a committed change over.
    pub(crate) fn observe(&self, changed: &Changed) {
        match changed {
            Changed::Agent(agent) => self.put_agent(agent.clone(), true),
            Changed::Person(person) => self.put_person(person.clone(), true),
            Changed::Account(account) => self.put_account(account.clone()),
            Changed::Group(group) => self.put_group(group.clone()),
            Changed::Session(session) => self.put_session(session.clone(), true),
            Changed::ClientSecret(secret) => self.put_secret(secret.clone()),
            Changed::ClientCertificate(certificate) => self.put_certificate(certificate.clone()),
            Changed::Blueprint(blueprint) => self.put_blueprint(blueprint.clone(), true),
            Changed::Containment(containment) => self.containments.put(containment),
            Changed::BreakGlass(glass) => self.put_glass(glass.clone()),
            Changed::Client(_)
            | Changed::TrustSource(_)
            | Changed::Grant(_)
            | Changed::Tool(_)
            | Changed::Connection(_)
            | Changed::Inventory(_) => {}
        }
        if may_stop(changed) {
            self.stops.notify_waiters();
        }
    }

    /// Whom to wait for: whoever waits is woken after every change that may have stopped somebody.
    pub(crate) fn stops(&self) -> &Notify {
        &self.stops
    }

    /// What is contained.
    pub(crate) fn containments(&self) -> &Containments {
        &self.containments
    }

    /// Takes an agent that was stored before anything was observed. Does not overwrite what was observed since.
    pub(crate) fn load_agent(&self, agent: Agent) {
        self.put_agent(Arc::new(agent), false);
    }

    /// Takes a blueprint that was stored before anything was observed.
    pub(crate) fn load_blueprint(&self, blueprint: Blueprint) {
        self.put_blueprint(Arc::new(blueprint), false);
    }

    /// Takes a person who was stored before anything was observed.
    pub(crate) fn load_person(&self, person: Person) {
        self.put_person(Arc::new(person), false);
    }

    /// Takes an account that was stored before anything was observed.
    pub(crate) fn load_account(&self, account: Account) {
        write(&self.accounts).entry((account.issuer, account.subject)).or_insert(account.person);
    }

    /// Takes a group that was stored before anything was observed.
    pub(crate) fn load_group(&self, group: Group) {
        write(&self.groups).entry(group.id.clone()).or_insert_with(|| Arc::new(group));
    }

    /// Takes a client secret that was stored before anything was observed.
    pub(crate) fn load_secret(&self, secret: ClientSecret) {
        write(&self.secrets).entry(secret.hash).or_insert_with(|| Arc::new(secret));
    }

    /// Takes a certificate that was stored before anything was observed.
    pub(crate) fn load_certificate(&self, certificate: ClientCertificate) {
        write(&self.certificates).entry(certificate.agent.clone()).or_insert_with(|| Arc::new(certificate));
    }

    /// Takes the sessions that were stored before anything was observed, in any order. Those that hang on one that is
    /// over are left out.
    pub(crate) fn load_sessions(&self, sessions: Vec<Session>) {
        let mut waiting = sessions;
        loop {
            let ready = |session: &Session| session.parent.as_ref().is_none_or(|id| self.session(id).is_some());
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
            if now.is_empty() {
                return;
            }
            now.into_iter().for_each(|session| self.put_session(Arc::new(session), false));
            waiting = later;
        }
    }

    /// By id, or by name.
    pub(crate) fn agent(&self, id_or_name: &str) -> Option<Arc<AgentSlot>> {
        match id_or_name.parse::<AgentId>() {
            Ok(id) => self.agent_of(&id),
            Err(_) => read(&self.names).get(id_or_name).cloned(),
        }
    }

    /// By id.
    pub(crate) fn agent_of(&self, id: &AgentId) -> Option<Arc<AgentSlot>> {
        read(&self.agents).get(id).cloned()
    }

    /// Every agent.
    pub(crate) fn agents(&self) -> Vec<Arc<Agent>> {
        read(&self.agents).values().map(|slot| slot.agent()).collect()
    }

    /// A part of the agents in the order of their names, of one blueprint or of all: those that `take` takes.
    pub(crate) fn named<T>(&self, blueprint: Option<&str>, take: impl FnOnce(&Names) -> T) -> Option<T> {
        match blueprint {
            None => Some(take(&read(&self.names))),
            Some(name) => read(&self.instances).get(name).map(take),
        }
    }

    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<SessionSlot>> {
        read(&self.sessions).get(id).cloned()
    }

    pub(crate) fn person(&self, id: &PersonId) -> Option<Arc<PersonSlot>> {
        read(&self.persons).get(id).cloned()
    }

    /// The person whose account this is at this provider.
    pub(crate) fn account(&self, issuer: &str, subject: &str) -> Option<Arc<PersonSlot>> {
        let person = read(&self.accounts).get(&(issuer.to_owned(), subject.to_owned())).cloned()?;
        self.person(&person)
    }

    /// The names of the groups that this person is in, in no order.
    pub(crate) fn groups_of(&self, person: &PersonId) -> Vec<String> {
        read(&self.groups).values().filter(|group| group.holds(person)).map(|group| group.name.clone()).collect()
    }

    /// Is this person in the group of this name?
    pub(crate) fn is_member(&self, person: &PersonId, group: &str) -> bool {
        read(&self.groups).values().any(|found| found.name == group && found.holds(person))
    }

    /// The group of this name.
    pub(crate) fn group(&self, name: &str) -> Option<Arc<Group>> {
        read(&self.groups).values().find(|group| group.name == name).cloned()
    }

    /// Everybody.
    pub(crate) fn persons(&self) -> Vec<Arc<Person>> {
        read(&self.persons).values().map(|slot| slot.person()).collect()
    }

    /// The secret with this hash, live or not.
    pub(crate) fn secret(&self, hash: &Hash) -> Option<Arc<ClientSecret>> {
        read(&self.secrets).get(hash).cloned()
    }

    /// The certificate of this agent.
    pub(crate) fn certificate(&self, agent: &AgentId) -> Option<Arc<ClientCertificate>> {
        read(&self.certificates).get(agent).cloned()
    }

    /// Every session that is remembered, ended ones included until they are swept.
    pub(crate) fn sessions(&self) -> Vec<Arc<SessionSlot>> {
        read(&self.sessions).values().cloned().collect()
    }

    /// Forgets sessions that can never admit anything again, and secrets that are worth nothing.
    pub(crate) fn sweep(&self, now: Timestamp) {
        write(&self.secrets).retain(|_, secret| secret.is_live(now));
        write(&self.sessions).retain(|_, slot| {
            let kept = slot.line().all(|slot| slot.lives(now));
            if !kept {
                self.count(&slot.current.load().agent, |n| n.saturating_sub(1));
            }
            kept
        });
        self.containments.sweep(now, || read(&self.sessions).values().map(|slot| slot.session().opened_at).min());
    }

    fn count(&self, agent: &AgentId, step: impl Fn(usize) -> usize) {
        if let Some(slot) = read(&self.agents).get(agent) {
            let _ = slot.sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| Some(step(n)));
        }
    }

    fn put_certificate(&self, certificate: Arc<ClientCertificate>) {
        let mut certificates = write(&self.certificates);
        match certificate.removed_at {
            Some(_) => certificates.remove(&certificate.agent),
            None => certificates.insert(certificate.agent.clone(), certificate),
        };
    }

    fn put_agent(&self, agent: Arc<Agent>, replace: bool) {
        let mut agents = write(&self.agents);
        match agents.get(&agent.id) {
            Some(slot) if replace => {
                slot.current.store(agent);
                slot.stated.store(None);
            }
            Some(_) => {}
            None => {
                let slot = Arc::new(AgentSlot {
                    current: ArcSwap::new(agent.clone()),
                    sessions: AtomicUsize::new(0),
                    blueprint: agent.blueprint.as_deref().map(|name| self.blueprint_slot(name)),
                    stated: Stated::empty(),
                    containments: self.containments.clone(),
                });
                agents.insert(agent.id.clone(), slot.clone());
                if let Some(blueprint) = &agent.blueprint {
                    let mut instances = write(&self.instances);
                    instances.entry(blueprint.clone()).or_default().insert(agent.name.clone(), slot.clone());
                }
                write(&self.names).insert(agent.name.clone(), slot);
            }
        }
    }

    /// By name, if it is known.
    pub(crate) fn blueprint(&self, name: &str) -> Option<Arc<Blueprint>> {
        read(&self.blueprints).get(name).and_then(|slot| slot.current.load_full())
    }

    fn put_blueprint(&self, blueprint: Arc<Blueprint>, replace: bool) {
        let slot = self.blueprint_slot(&blueprint.name);
        if replace || slot.current.load().is_none() {
            slot.current.store(Some(blueprint));
            slot.stated.store(None);
        }
    }

    /// The slot of this blueprint, which may not be known yet.
    fn blueprint_slot(&self, name: &str) -> Arc<BlueprintSlot> {
        write(&self.blueprints).entry(name.to_owned()).or_default().clone()
    }

    fn put_person(&self, person: Arc<Person>, replace: bool) {
        let mut persons = write(&self.persons);
        match persons.get(&person.id) {
            Some(slot) if replace => slot.current.store(person),
            Some(_) => {}
            None => {
                persons.insert(person.id.clone(), Arc::new(PersonSlot { current: ArcSwap::new(person) }));
            }
        }
    }

    fn put_group(&self, group: Arc<Group>) {
        write(&self.groups).insert(group.id.clone(), group);
    }

    /// Takes a break-glass over. Nobody has two that are open.
    pub(crate) fn put_glass(&self, glass: Arc<BreakGlass>) {
        let mut glasses = write(&self.glasses);
        match glasses.get(&glass.person) {
            Some(last) if last.at > glass.at => {}
            _ => drop(glasses.insert(glass.person.clone(), glass)),
        }
    }

    /// The last break-glass of the person of this name.
    pub(crate) fn glass(&self, person: &str) -> Option<Arc<BreakGlass>> {
        read(&self.glasses).get(person).cloned()
    }

    fn put_account(&self, account: Arc<Account>) {
        let mut accounts = write(&self.accounts);
        let name = (account.issuer.clone(), account.subject.clone());
        match account.removed_at {
            Some(_) => accounts.remove(&name),
            None => accounts.insert(name, account.person.clone()),
        };
    }

    fn put_secret(&self, secret: Arc<ClientSecret>) {
        let mut secrets = write(&self.secrets);
        if secret.revoked_at.is_some() {
            secrets.remove(&secret.hash);
        } else {
            secrets.insert(secret.hash, secret);
        }
    }

    /// A session whose agent, person or parent is not known any more admits nothing: it is not remembered.
    fn put_session(&self, session: Arc<Session>, replace: bool) {
        if let Some(slot) = self.session(&session.id) {
            if replace {
                slot.current.store(session);
            }
            return;
        }
        let Some(slot) = self.slot_of(&session) else { return };
        self.count(&session.agent, |n| n + 1);
        write(&self.sessions).entry(session.id.clone()).or_insert(Arc::new(slot));
    }

    fn slot_of(&self, session: &Arc<Session>) -> Option<SessionSlot> {
        let agent = self.agent_of(&session.agent)?;
        let person = match &session.human {
            Some(id) => Some(self.person(id)?),
            None => None,
        };
        let parent = match &session.parent {
            Some(id) => Some(self.session(id)?),
            None => None,
        };
        let used = AtomicI64::new(session.used_at.0);
        Some(SessionSlot { current: ArcSwap::new(session.clone()), used, agent, person, parent })
    }
}

/// May this have stopped somebody who was admitted?
fn may_stop(changed: &Changed) -> bool {
    match changed {
        Changed::Agent(_) | Changed::Person(_) | Changed::Blueprint(_) => true,
        Changed::Containment(containment) => containment.is_in_force(),
        Changed::Session(session) => session.state != SessionState::Open,
        _ => false,
    }
}
