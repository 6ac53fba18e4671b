//! Sessions: opened with a token, touched by use, ended by time, by change, or by somebody.

use std::sync::Arc;

use chancery_model::{
    Agent, Change, Draft, Epoch, Kind, Limit, Person, Session, SessionId, SessionState, Stated, Timestamp, Who, Why,
    canonical, problem,
};
use chancery_store::{BoxFuture, Durable, StoreError, Tx};

use crate::authenticator::Authenticator;
use crate::directory::{AgentSlot, SessionSlot};
use crate::jose::sha256;
use crate::lineage::Lineage;
use crate::refused::Reason;

/// How many sessions may hang on each other, for each agent that a chain may have: its own, one that it hands over, and
/// tasks.
const LINKS_AN_AGENT: usize = 6;
/// How many touches one write makes durable.
const TOUCHES: usize = 256;

/// A session that cannot be opened, continued or ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is none of this id, or it is another agent's.
    #[error("there is no session `{0}` of this agent")]
    Unknown(String),
    /// It admits nothing any more.
    #[error("{0}: ask for a token without `sid` to open a new one")]
    Over(#[from] chancery_model::SessionEnded),
    /// What it hangs on admits nothing any more.
    #[error("{0}")]
    Stopped(String),
    /// It, or somebody whom it hangs on, is contained.
    #[error("{0}")]
    Contained(String),
    /// The agent is not made of what was approved.
    #[error("{0}")]
    Manifest(String),
    /// The agent has as many as it may.
    #[error("agent `{agent}` has {limit} sessions open, which is the limit: continue one with `sid`")]
    TooMany {
        /// Whose.
        agent: String,
        /// How many one agent may have.
        limit: usize,
    },
    /// It hangs on too many.
    #[error("the session would hang on {0} others, which is the limit: open it below one nearer to the root")]
    TooDeep(usize),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<Reason> for SessionError {
    fn from(reason: Reason) -> Self {
        match reason.row {
            problem::CONTAINED => Self::Contained(reason.why),
            _ => Self::Stopped(reason.why),
        }
    }
}

/// What is written in the commit that opens a session: whatever it is opened with is used up there.
pub(crate) type Beside =
    Box<dyn for<'t> FnOnce(&'t mut Tx, &'t Session) -> BoxFuture<'t, Result<(), StoreError>> + Send>;

/// A session to be opened.
pub(crate) struct Opening<'a> {
    /// Whose.
    pub(crate) slot: &'a AgentSlot,
    /// The running copy.
    pub(crate) instance: Option<&'a str>,
    /// What it states that it is made of.
    pub(crate) manifest: Option<&'a Stated>,
    /// What it hangs on.
    pub(crate) parent: Option<&'a SessionSlot>,
    /// In whose name, for a root; a child has its parent's.
    pub(crate) human: Option<Arc<Person>>,
    /// Through which client they allowed it.
    pub(crate) client: Option<String>,
    /// What it is for.
    pub(crate) purpose: Option<&'a str>,
    /// What it is narrowed to.
    pub(crate) limits: Vec<Limit>,
    /// Not later than this.
    pub(crate) until: Option<Timestamp>,
    /// When a human proved to be present, for a root.
    pub(crate) present_at: Option<Timestamp>,
    /// What the entry calls it.
    pub(crate) verb: &'static str,
    /// A remark for the entry.
    pub(crate) detail: Option<String>,
    /// What is written with it.
    pub(crate) beside: Option<Beside>,
}

impl<'a> Opening<'a> {
    /// A root session of this agent, not narrowed.
    pub(crate) fn of(slot: &'a AgentSlot) -> Self {
        Self {
            slot,
            instance: None,
            manifest: None,
            parent: None,
            human: None,
            client: None,
            purpose: None,
            limits: Vec::new(),
            until: None,
            present_at: None,
            verb: "open",
            detail: None,
            beside: None,
        }
    }
}

impl Authenticator {
    /// Every session that admits calls at this moment, each with its last use.
    pub fn sessions(&self) -> Vec<Session> {
        let now = self.clock.now();
        let mut open = Vec::new();
        for slot in self.directory.sessions() {
            let session = Session { used_at: slot.used(), ..(*slot.session()).clone() };
            if self.in_force(&slot, now).is_ok() {
                open.push(session);
            }
        }
        open.sort_by(|a, b| a.id.cmp(&b.id));
        open
    }

    /// Does this session admit calls at this moment?
    pub fn is_session_in_force(&self, id: &SessionId) -> bool {
        let slot = self.directory.session(id);
        slot.is_some_and(|slot| self.in_force(&slot, self.clock.now()).is_ok())
    }

    /// Is this the id of a session that is open, or ended a moment ago?
    pub fn knows_session(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id| self.directory.session(&id).is_some())
    }

    /// Ends a session at once: the next call in it is refused. `actor` is who ends it.
    pub async fn end_session(&self, id: &SessionId, actor: &str) -> Result<Durable, SessionError> {
        self.end(id, Who { human: Some(actor.to_owned()), ..Who::default() }, None).await
    }

    /// The same, with what the actor said about it.
    pub async fn end_session_for(&self, id: &SessionId, actor: &str, reason: &str) -> Result<Durable, SessionError> {
        let who = Who { human: Some(actor.to_owned()), ..Who::default() };
        self.close(id, who, None, Why { reason: Some(reason.to_owned()), trace: None }).await
    }

    /// The same, by anybody, with a remark for the entry.
    pub(crate) async fn end(&self, id: &SessionId, who: Who, remark: Option<&str>) -> Result<Durable, SessionError> {
        self.close(id, who, remark, Why::default()).await
    }

    async fn close(&self, id: &SessionId, who: Who, remark: Option<&str>, why: Why) -> Result<Durable, SessionError> {
        let now = self.clock.now();
        let session = chancery_store::sessions::get(&self.store, id).await?;
        let session = session.ok_or_else(|| SessionError::Unknown(id.to_string()))?;
        let ended = Session { state: SessionState::Ended, ends_at: session.ends_at.min(now), ..session };
        let draft = Draft { detail: remark.map(str::to_owned), why, ..draft(now, who, &ended, "end") };
        let write = self
            .store
            .write(draft, move |tx| Box::pin(async move { chancery_store::sessions::update(tx, &ended).await }));
        Ok(write.await?.durable)
    }

    /// Opens a session. It is durable, and ends with its agent and its parent, before this returns.
    pub(crate) async fn open_session(&self, opening: Opening<'_>) -> Result<Arc<SessionSlot>, SessionError> {
        let (agent, now) = (opening.slot.agent(), self.clock.now());
        opening.slot.demand_open(opening.instance)?;
        self.refuse_too_many(opening.slot, &agent, now)?;
        self.refuse_too_deep(opening.parent)?;
        // The epoch is the one of before the look at the manifest: an approval in between ends the session.
        let epoch = opening.slot.epoch();
        self.judge_manifest(opening.slot, opening.manifest).await?;
        let session = self.session_of(&opening, &agent, epoch, now);
        let mut draft = draft(now, self.who(&opening, &agent), &session, opening.verb);
        draft.detail = opening.detail;
        let id = session.id.clone();
        match opening.beside {
            None => {
                self.store.open_session(draft, session).await?;
            }
            Some(beside) => {
                let write = self.store.write(draft, move |tx| {
                    Box::pin(async move {
                        chancery_store::sessions::insert(tx, &session).await?;
                        beside(tx, &session).await
                    })
                });
                write.await.map(drop)?;
            }
        }
        self.directory.session(&id).ok_or_else(|| SessionError::Stopped("what the session hangs on is over".into()))
    }

    fn session_of(&self, opening: &Opening<'_>, agent: &Agent, epoch: Epoch, now: Timestamp) -> Session {
        let parent = opening.parent.map(SessionSlot::session);
        let human = parent.as_ref().map_or_else(
            || opening.human.as_ref().map(|person| (person.id.clone(), person.epoch)),
            |parent| parent.human.clone().map(|human| (human, parent.human_epoch)),
        );
        let ends = [parent.as_ref().map(|parent| parent.ends_at), opening.until, Some(agent.expires_at)];
        let longest = now + self.config.sessions.maximum;
        Session {
            id: SessionId::new(now, &*self.random),
            agent: agent.id.clone(),
            instance: opening.instance.map(str::to_owned),
            manifest: opening.manifest.map(|stated| stated.digest(sha256)),
            epoch,
            state: SessionState::Open,
            opened_at: now,
            ends_at: ends.into_iter().flatten().fold(longest, Timestamp::min),
            idle: self.config.sessions.idle,
            used_at: now,
            human_epoch: human.as_ref().map_or(0, |(_, epoch)| *epoch),
            human: human.map(|(id, _)| id),
            parent: parent.map(|parent| parent.id.clone()),
            purpose: opening.purpose.map(str::to_owned),
            limits: opening.limits.clone().into(),
            client: opening.client.clone(),
            presence_at: opening.present_at,
        }
    }

    /// Who opens it: the agent, and behind it everybody whom it acts for.
    fn who(&self, opening: &Opening<'_>, agent: &Agent) -> Who {
        let who = who(agent, opening.instance);
        let Some(parent) = opening.parent else {
            return Who { human: opening.human.as_ref().map(|person| person.name.clone()), ..who };
        };
        let lineage = Lineage::of(parent);
        let mut chain = lineage.all_names();
        if chain.last() != Some(&agent.name) {
            chain.push(agent.name.clone());
        }
        Who { human: lineage.human.map(|person| person.name.clone()), chain, ..who }
    }

    /// Goes on with a session for the next token. That is a durable use of it.
    pub(crate) async fn continue_session(
        &self,
        own: &AgentSlot,
        sid: &str,
        manifest: Option<&Stated>,
    ) -> Result<Arc<SessionSlot>, SessionError> {
        let agent = own.agent();
        let unknown = || SessionError::Unknown(sid.chars().take(40).collect());
        let now = self.clock.now();
        let id = sid.parse::<SessionId>().map_err(|_| unknown())?;
        let slot = self.directory.session(&id).ok_or_else(unknown)?;
        let session = slot.session();
        if session.agent != agent.id {
            return Err(unknown());
        }
        session.admits(now, slot.used(), own.epoch())?;
        demand_same(manifest, &session)?;
        self.in_force(&slot, now)?;
        let used = Session { used_at: now, ..(*session).clone() };
        let lineage = Lineage::of(&slot);
        let human = lineage.human.as_ref().map(|person| person.name.clone());
        let who = Who { human, chain: lineage.names(), ..who(&agent, session.instance.as_deref()) };
        self.write_uses(draft(now, who, &used, "continue"), vec![(id, now)]).await?;
        slot.touch(now);
        Ok(slot)
    }

    /// Makes uses durable that are only known in memory, at most once per quarter of the idle time and session.
    pub(crate) async fn touch_due(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let due: Vec<(SessionId, Timestamp)> = self
            .directory
            .sessions()
            .iter()
            .map(|slot| (slot.session(), slot.used()))
            .filter(|(session, used)| (*used - session.used_at).0 >= session.idle.0 / 4)
            .map(|(session, used)| (session.id.clone(), used))
            .collect();
        for batch in due.chunks(TOUCHES) {
            let change = Change {
                noun: "session".into(),
                id: format!("{} sessions", batch.len()),
                verb: "touch".into(),
                after: None,
            };
            let who = Who { human: Some("system".into()), ..Who::default() };
            let draft = Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() };
            self.write_uses(draft, batch.to_vec()).await?;
        }
        Ok(due.len())
    }

    async fn write_uses(&self, draft: Draft, uses: Vec<(SessionId, Timestamp)>) -> Result<(), StoreError> {
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                for (id, used_at) in uses {
                    // One that was ended in between stays ended, but it was used.
                    if let Some(session) = chancery_store::sessions::get(&mut *tx, &id).await? {
                        let used_at = session.used_at.max(used_at);
                        chancery_store::sessions::update(tx, &Session { used_at, ..session }).await?;
                    }
                }
                Ok(())
            })
        });
        write.await.map(drop)
    }

    /// Every request walks from its session to the root: an agent must not make that walk long by itself.
    fn refuse_too_deep(&self, parent: Option<&SessionSlot>) -> Result<(), SessionError> {
        let limit = LINKS_AN_AGENT * self.config.delegation.depth;
        let links = parent.map_or(0, |parent| parent.line().take(limit).count());
        if links < limit { Ok(()) } else { Err(SessionError::TooDeep(links)) }
    }

    fn refuse_too_many(&self, slot: &AgentSlot, agent: &Agent, now: Timestamp) -> Result<(), SessionError> {
        let limit = self.config.sessions.per_agent;
        if slot.sessions() >= limit {
            self.directory.sweep(now);
        }
        if slot.sessions() >= limit {
            return Err(SessionError::TooMany { agent: agent.name.clone(), limit });
        }
        Ok(())
    }
}

/// Whoever goes on with a session is made of what it was opened with, if they say what they are made of.
pub(crate) fn demand_same(manifest: Option<&Stated>, session: &Session) -> Result<(), SessionError> {
    if manifest.is_none_or(|stated| Some(stated.digest(sha256)) == session.manifest) {
        return Ok(());
    }
    let why = "the session was opened with another manifest: open a new one";
    Err(SessionError::Manifest(why.to_owned()))
}

pub(crate) fn who(agent: &Agent, instance: Option<&str>) -> Who {
    Who {
        agent: Some(agent.id.to_string()),
        name: Some(agent.name.clone()),
        instance: instance.map(str::to_owned),
        ..Who::default()
    }
}

pub(crate) fn draft(now: Timestamp, who: Who, session: &Session, verb: &str) -> Draft {
    let after = serde_json::to_value(session).ok().and_then(|value| canonical(&value).ok());
    let change = Change {
        noun: "session".into(),
        id: session.id.to_string(),
        verb: verb.into(),
        after: after.map(|json| String::from_utf8_lossy(&json).into_owned()),
    };
    let authority = chancery_model::Authority { session: Some(session.id.to_string()), ..Default::default() };
    Draft { kind: Kind::Change, at: now, who, authority, change: Some(change), ..Draft::default() }
}
