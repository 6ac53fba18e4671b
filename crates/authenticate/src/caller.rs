//! The check of every request: who is calling, with what proof, in which session.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chancery_model::{Agent, BearerUse, Limit, Session, SessionId, Timestamp, problem};

use crate::access::{Access, Binding};
use crate::authenticator::Authenticator;
use crate::containments::{Held, Made, Set};
use crate::directory::{AgentSlot, SessionSlot};
use crate::dpop::Asked;
use crate::fault::Fault;
use crate::jose::sha256;
use crate::lineage::Lineage;
use crate::metadata::resource_metadata_url;
use crate::refused::{Reason, Refused};

/// Why a node refuses everybody.
const STALE: &str = "this node has not heard from the database in time";
/// Between two looks whether a caller's time is over, while they are waited for.
const LOOK: Duration = Duration::from_millis(400);
/// The least between two looks.
const SHORTEST: Duration = Duration::from_millis(5);

/// What of a request decides who is calling. A header that came twice must be refused before this.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Scheme, host and path as the outside knows them: what a proof's `htu` must say.
    pub url: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `DPoP` header.
    pub dpop: Option<&'a str>,
    /// The certificate the client showed when the connection was made, in DER.
    pub certificate: Option<&'a [u8]>,
    /// The resource this door is: what the token's `aud` must be.
    pub audience: &'a str,
}

/// Where an admitted caller goes.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The door's resource.
    pub audience: &'a str,
    /// The upstream server behind it.
    pub server: &'a str,
    /// The tool that is called there.
    pub tool: Option<&'a str>,
}

/// An admitted caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub agent: Arc<Agent>,
    /// In which session.
    pub session: Arc<Session>,
    /// The token's `jti`.
    pub token_id: Arc<str>,
    /// Whether it came without a proof of possession.
    pub bearer: bool,
    /// The name of the human in whose name it acts.
    pub human: Option<String>,
    /// The agents before it in the delegation chain, the root's first.
    pub ancestors: Vec<Arc<Agent>>,
    /// The names of the chain from the root to the actor, for the record; empty for an agent that acts for itself.
    pub chain: Vec<String>,
    /// The limits of every session in the line that has some: each set must cover what is done.
    pub limits: Vec<Arc<[Limit]>>,
    /// Which sessions have these sets, in the same order.
    pub narrowed: Vec<SessionId>,
    /// The session at the root of the line.
    pub root: Arc<Session>,
    /// When a human last proved presence in the line.
    pub presence_at: Option<Timestamp>,
    /// What the token may be used for, at a resource that has scopes.
    pub scope: Option<Arc<str>>,
}

impl Caller {
    /// The session at the root of its chain: what it uses is counted there, and what it did is remembered there.
    pub fn flow(&self) -> &str {
        self.root.id.as_str()
    }

    /// Does the token have this scope?
    pub fn has_scope(&self, wanted: &str) -> bool {
        self.scope.as_deref().is_some_and(|scope| scope.split(' ').any(|scope| scope == wanted))
    }
}

/// How the token was presented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Dpop,
    Bearer,
}

impl Authenticator {
    /// Admits a request or says why not. Synchronous and cheap: the token is verified once and then remembered by its
    /// hash; the agent's state and epoch, the session's times and the proof are checked every time.
    pub fn caller(&self, facts: &RequestFacts<'_>) -> Result<Caller, Refused> {
        let (scheme, token) = match presented(facts.authorization) {
            Ok(presented) => presented,
            Err(reason) => return Err(self.refuse(reason, facts.audience, Scheme::Bearer)),
        };
        self.admit(facts, scheme, token).map_err(|reason| self.refuse(reason, facts.audience, scheme))
    }

    /// Is an admitted caller still in force, and is the place it goes to open? To be asked again after whatever its request
    /// waited for: a change that is committed is seen here.
    ///
    /// # Errors
    /// [`Refused`] if the agent was stopped or changed, its session ended, its leave to go without proofs withdrawn, or
    /// if somebody or the place it goes to is contained.
    pub fn still(&self, caller: &Caller, at: At<'_>) -> Result<(), Refused> {
        if crate::faults::hurried() {
            return Ok(());
        }
        self.stands(caller, at)
    }

    fn stands(&self, caller: &Caller, at: At<'_>) -> Result<(), Refused> {
        let scheme = if caller.bearer { Scheme::Bearer } else { Scheme::Dpop };
        let stands = self.open_to_all(at.server, at.tool).and_then(|()| self.unchanged(caller));
        stands.map_err(|reason| self.refuse(reason, at.audience, scheme))
    }

    fn open_to_all(&self, server: &str, tool: Option<&str>) -> Result<(), Reason> {
        let Some(set) = self.directory.containments().now() else { return Ok(()) };
        set.holds_place(server, tool).map_or(Ok(()), |id| Err(Held::Standing(id).reason()))
    }

    /// Waits until an admitted caller is not in force any more, and says why: at once after the change that stops them is
    /// committed, soon after where it is time that does. For whoever is in force it waits for ever.
    pub async fn stopped(&self, caller: &Caller, at: At<'_>) -> Refused {
        if crate::faults::uncut() {
            return std::future::pending().await;
        }
        loop {
            // Before looking, so that no change after it is missed.
            let mut changed = pin!(self.directory.stops().notified());
            changed.as_mut().enable();
            if let Err(refused) = self.stands(caller, at) {
                return refused;
            }
            // Time makes no change that would be told. The end of the lease is the time that is not missed by so much.
            let left = self.store.lease().left().map_or(LOOK, |left| Duration::from_micros(left.0.unsigned_abs()));
            let _ = tokio::time::timeout(left.clamp(SHORTEST, LOOK), changed).await;
        }
    }

    /// Has everybody look who waits for an admitted caller to be stopped.
    pub fn look_again(&self) {
        self.directory.stops().notify_waiters();
    }

    fn unchanged(&self, caller: &Caller) -> Result<(), Reason> {
        let gone = || Reason::session("it is over");
        let session = self.directory.session(&caller.session.id).ok_or_else(gone)?;
        self.in_force(&session, self.clock.now())?;
        if caller.bearer { bearer_allowed(&session.agent().agent()) } else { Ok(()) }
    }

    fn admit(&self, facts: &RequestFacts<'_>, scheme: Scheme, token: &str) -> Result<Caller, Reason> {
        let now = self.clock.now();
        let digest = sha256(token.as_bytes());
        let access = self.access(token, digest)?;
        still_good(&access, facts.audience, now)?;
        self.in_force(&access.session, now)?;
        match (scheme, &access.binding) {
            (Scheme::Dpop, Some(Binding::Key(jkt))) => self.possession(facts, &digest, jkt)?,
            (Scheme::Bearer, Some(Binding::Certificate(known))) => certified(facts.certificate, known)?,
            (Scheme::Bearer, None) => bearer_allowed(&access.session.agent().agent())?,
            (Scheme::Bearer, Some(Binding::Key(_))) => {
                return Err(Reason::token("it is bound to a key: use the `DPoP` scheme with a proof"));
            }
            (Scheme::Dpop, _) => return Err(Reason::token("it is bound to no key: use the `Bearer` scheme")),
        }
        access.session.touch(now);
        Ok(self.admitted(&access, scheme == Scheme::Bearer && access.binding.is_none()))
    }

    pub(crate) fn access(&self, token: &str, digest: [u8; 32]) -> Result<Arc<Access>, Reason> {
        let keys = self.keys.load();
        // A token can be put there just after its key was taken back.
        if let Some(known) = self.verified.get(&digest).filter(|known| keys.verifying(&known.kid).is_some()) {
            return Ok(known);
        }
        let access = Access::verify(token, &keys, &self.config.issuer, &self.directory)?;
        let access = Arc::new(access);
        self.verified.put(digest, access.clone());
        Ok(access)
    }

    fn possession(&self, facts: &RequestFacts<'_>, digest: &[u8; 32], jkt: &[u8; 32]) -> Result<(), Reason> {
        let proof = facts
            .dpop
            .ok_or_else(|| Reason::new(problem::BAD_PROOF, "invalid_dpop_proof", "the request has no `DPoP` header"))?;
        let asked = Asked { method: facts.method, url: facts.url, token: Some(digest) };
        let proof = self.dpop.check(proof, asked)?;
        if proof.key.thumbprint() != jkt {
            let why = "the proof was made with another key than the token is bound to";
            return Err(Reason::new(problem::BAD_PROOF, "invalid_dpop_proof", why));
        }
        Ok(self.dpop.take(&proof)?)
    }

    /// Does a session admit anything at this moment? Only if everything it hangs on does.
    /// And only while this node is sure to know who was stopped.
    pub(crate) fn in_force(&self, slot: &SessionSlot, now: Timestamp) -> Result<(), Reason> {
        if !self.store.lease().is_fresh() {
            return Err(Reason { row: problem::LEASE_OVER, error: None, why: STALE.to_owned() });
        }
        let links = if self.faults.has(Fault::Ancestors) { 1 } else { usize::MAX };
        in_force(slot, links, now, self.directory.containments().now().as_deref())
    }

    fn admitted(&self, access: &Access, bearer: bool) -> Caller {
        let lineage = Lineage::of(&access.session);
        let chain = lineage.names();
        let Lineage { human, mut agents, mut limits, narrowed, root, presence_at } = lineage;
        if self.faults.has(Fault::Limits) {
            limits.truncate(1);
        }
        // There is always the one that acts.
        let agent = agents.pop().unwrap_or_else(|| access.session.agent().agent());
        Caller {
            agent,
            session: access.session.session(),
            token_id: access.id.clone(),
            bearer,
            human: human.map(|person| person.name.clone()),
            ancestors: agents,
            chain,
            limits,
            narrowed,
            root,
            presence_at,
            scope: access.scope.clone(),
        }
    }

    fn refuse(&self, reason: Reason, audience: &str, scheme: Scheme) -> Refused {
        let metadata = resource_metadata_url(&self.config.issuer, audience);
        reason.at(metadata, self.dpop.nonce(), scheme == Scheme::Bearer)
    }
}

fn presented(authorization: Option<&str>) -> Result<(Scheme, &str), Reason> {
    let header = authorization.ok_or_else(|| Reason::no_credentials("the request has no `Authorization` header"))?;
    let unreadable = || Reason::no_credentials("the `Authorization` header is not `DPoP TOKEN` or `Bearer TOKEN`");
    let (scheme, token) = header.split_once(' ').ok_or_else(unreadable)?;
    let scheme = match scheme {
        dpop if dpop.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        bearer if bearer.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        _ => return Err(unreadable()),
    };
    Ok((scheme, token.trim_start_matches(' ')))
}

fn still_good(access: &Access, audience: &str, now: Timestamp) -> Result<(), Reason> {
    if now >= access.expires {
        return Err(Reason::token("it expired"));
    }
    if now < access.not_before {
        return Err(Reason::token("it is not valid yet"));
    }
    if access.audience != audience {
        return Err(Reason::token(format!("it is for `{}`, this is `{audience}`", access.audience)));
    }
    Ok(())
}

fn in_force(slot: &SessionSlot, links: usize, now: Timestamp, contained: Option<&Set>) -> Result<(), Reason> {
    if let Some(person) = slot.person().map(|person| person.person())
        && !(person.is_active() && person.epoch == slot.session().human_epoch)
    {
        return Err(Reason::session(format!("`{}`, in whose name it is, is not active any more", person.name)));
    }
    slot.line().take(links).enumerate().try_for_each(|(above, link)| {
        let (agent, session) = (link.agent().agent(), link.session());
        if let Some(set) = contained {
            set.demand(&agent, Some(Made::from(&*session)))?;
        }
        link.agent().demand_standing(now)?;
        session.admits(now, link.used(), link.agent().epoch()).map_err(|ended| match above {
            0 => Reason::session(ended.to_string()),
            _ => Reason::session(format!("agent `{}`, for whom it acts: {ended}", agent.name)),
        })
    })
}

fn certified(shown: Option<&[u8]>, known: &[u8; 32]) -> Result<(), Reason> {
    let same = shown.is_some_and(|der| sha256(der) == *known);
    let why = "it is bound to a certificate, and the connection was not made with that";
    if same { Ok(()) } else { Err(Reason::new(problem::BAD_PROOF, "invalid_token", why)) }
}

impl AgentSlot {
    /// Refuses with the reason if it may not authenticate at this moment.
    pub(crate) fn demand_active(&self, now: Timestamp) -> Result<(), Reason> {
        if let Some(set) = self.containments().now() {
            set.demand(&self.agent(), None)?;
        }
        self.demand_standing(now)
    }

    /// The same but for containments.
    fn demand_standing(&self, now: Timestamp) -> Result<(), Reason> {
        match self.standing(now).why(&self.agent()) {
            None => Ok(()),
            Some(why) => Err(Reason::new(problem::AGENT_STOPPED, "invalid_token", why)),
        }
    }
}

fn bearer_allowed(agent: &Agent) -> Result<(), Reason> {
    match agent.bearer {
        BearerUse::Allowed => Ok(()),
        BearerUse::Refused => {
            let why = format!("agent `{}` may not use tokens without a proof", agent.name);
            Err(Reason::new(problem::BEARER_REFUSED, "invalid_token", why))
        }
    }
}
