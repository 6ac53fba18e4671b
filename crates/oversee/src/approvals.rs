//! Asking people before a call runs, and what they say.
//!
//! A request is bound to the digest of everything that would run. It is used up in the same commit as the intent of the
//! call ([`chancery_store::approvals::consume`]), so that one yes lets one call through, whatever crashes in between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chancery_model::{
    Agent, AgentId, Approval, ApprovalId, ApprovalState, Authority, Body, Change, Clock, Demand, Digest, Draft, DryRun,
    Enforcer, Hash, Kind, PersonId, Random, Risk, SessionId, Span, StandInId, Timestamp, Vote, What, Who, Why,
    canonical,
};
use chancery_store::passkeys::Shown;
use chancery_store::{Store, StoreError, Tx, approvals, passkeys, stand_ins};
use tokio::sync::watch;

mod decoys;
mod effect;
mod error;
mod find;
mod metrics;
mod people;

pub use effect::{Field, effect, median, numbers};
pub use error::ApprovalError;
pub use metrics::{Metrics, metrics};
pub use people::{Approver, Place, has_spoken, may_decide};

/// How often a question is put anew because others put the same one.
const TRIES: usize = 8;
/// The body of a vote's entry that holds what a passkey signed.
const PASSKEY: &str = "passkey";
/// The longest comment that is kept, in characters.
const COMMENT: usize = 1_000;
/// Of how many requests and people it is remembered when they were shown.
const SHOWN: usize = 100_000;

/// Limits against flooding people with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Requests of one agent that may wait at a time.
    pub waiting: u64,
    /// Requests that one agent may make in an hour.
    pub hourly: u64,
    /// After how many requests a decoy is placed among them; 0 for never.
    pub decoys: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { waiting: 10, hourly: 60, decoys: 0 }
    }
}

/// A call for which a policy wants approval: everything that would run, and under whose authority.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// SHA-256 over all of it.
    pub call: Digest,
    /// The agent that calls.
    pub agent: &'a Agent,
    /// The session it calls in.
    pub session: &'a SessionId,
    /// Names of everybody for whom, the root's first, its own last.
    pub chain: &'a [String],
    /// The person in whose name.
    pub human: Option<&'a str>,
    /// The owners of all agents of the chain.
    pub owners: Vec<String>,
    /// The upstream server.
    pub server: &'a str,
    /// The protocol method.
    pub method: &'a str,
    /// The tool, resource or prompt; the server's name where it is about none.
    pub target: &'a str,
    /// The tool's pinned definition.
    pub definition: Option<Hash>,
    /// The canonical arguments.
    pub arguments: Option<&'a [u8]>,
    /// The canonical answers to an upstream's questions.
    pub input: Option<&'a [u8]>,
    /// The agent's reason.
    pub reason: Option<&'a str>,
    /// What the upstream says it would do.
    pub dry_run: Option<DryRun>,
    /// The enforcer that asks, where it is not our gateway.
    pub enforcer: Option<Enforcer>,
    /// The policy set that asks.
    pub policy_version: &'a str,
    /// What it asks for.
    pub demands: &'a [Demand],
}

/// How a request stands, for whoever wants the call to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may run, once.
    Granted(ApprovalId),
    /// People were asked.
    Waits(Box<Approval>),
    /// Somebody said no; it is not asked again before the request would have ended.
    Denied(Box<Approval>),
}

/// A passkey that they showed for exactly this.
#[derive(Clone, Debug)]
pub struct Proof {
    /// To be noted with the vote: it counts once.
    pub shown: Shown,
    /// What was signed, so that others can verify it.
    pub evidence: Vec<u8>,
}

/// What they say.
#[derive(Clone, Debug)]
pub struct Say<'a> {
    /// Yes or no.
    pub approve: bool,
    /// Why, in their words.
    pub comment: Option<&'a str>,
    /// The digest of what they were shown: [`Approval::digest`].
    pub seen: Digest,
    /// The passkey that they showed for that digest, if any.
    pub proof: Option<Proof>,
}

/// Requests for approval.
pub struct Approvals {
    config: Config,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    sha256: fn(&[u8]) -> Hash,
    /// Requests since the last decoy.
    since_decoy: AtomicU64,
    /// Counts what was said here.
    said: watch::Sender<u64>,
    /// When each was first shown to whom.
    shown: Mutex<HashMap<(ApprovalId, PersonId), Timestamp>>,
}

impl Approvals {
    /// Over this store.
    pub fn new(
        config: Config,
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        sha256: fn(&[u8]) -> Hash,
    ) -> Self {
        Self {
            config,
            store,
            clock,
            random,
            sha256,
            since_decoy: AtomicU64::new(0),
            said: watch::channel(0).0,
            shown: Mutex::default(),
        }
    }

    /// What whoever says yes to it says it to.
    pub fn digest(&self, approval: &Approval) -> Digest {
        approval.digest(self.sha256)
    }

    /// Changes whenever somebody said something at this node.
    pub fn said(&self) -> watch::Receiver<u64> {
        self.said.subscribe()
    }

    /// Notes that somebody was shown a request: how long people take to decide says how well they look.
    pub fn show(&self, id: &ApprovalId, person: &PersonId) {
        let now = self.clock.now();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= SHOWN {
            // What was shown for longer than any request stands is of no use any more.
            shown.retain(|_, at| now < *at + Span::days(7));
        }
        if shown.len() < SHOWN {
            shown.entry((id.clone(), person.clone())).or_insert(now);
        }
    }

    fn shown_to(&self, id: &ApprovalId, person: &PersonId) -> Option<Timestamp> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(&(id.clone(), person.clone())).copied()
    }

    /// How it stands with this call; people are asked if they were not yet.
    ///
    /// # Errors
    /// [`ApprovalError::TooMany`] where the agent asks too often, and what the store says. All are a deny.
    pub async fn ask(&self, wanted: &Wanted<'_>) -> Result<Standing, ApprovalError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            if let Some(standing) = self.standing(wanted, now).await? {
                return Ok(standing);
            }
            match self.request(wanted, now).await {
                // Somebody else asked the same in between.
                Err(ApprovalError::Changed) => {}
                other => return other.map(|approval| Standing::Waits(approval.into())),
            }
        }
        Err(ApprovalError::Changed)
    }

    /// Would people be asked about this call who were not asked yet?
    ///
    /// # Errors
    /// As [`Approvals::ask`].
    pub async fn is_new(&self, wanted: &Wanted<'_>) -> Result<bool, ApprovalError> {
        let now = self.clock.now();
        if self.standing(wanted, now).await?.is_some() {
            return Ok(false);
        }
        self.room(&wanted.agent.id, now).await.map(|()| true)
    }

    /// How it stands, if people were asked.
    async fn standing(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<Option<Standing>, ApprovalError> {
        let found = approvals::of_call(&self.store, &wanted.call).await?.filter(|approval| !approval.is_over(now));
        Ok(match found {
            Some(approval) if approval.is_usable(now) => Some(Standing::Granted(approval.id)),
            Some(approval) if approval.is_pending(now) => Some(Standing::Waits(approval.into())),
            Some(approval) if approval.state == ApprovalState::Denied => Some(Standing::Denied(approval.into())),
            _ => None,
        })
    }

    /// May the agent ask once more?
    async fn room(&self, agent: &AgentId, now: Timestamp) -> Result<(), ApprovalError> {
        let (waiting, asked) = approvals::counts(&self.store, agent, now, now - Span::hours(1)).await?;
        if waiting >= self.config.waiting {
            return Err(ApprovalError::TooMany(format!("{waiting} requests of it wait already")));
        }
        if asked >= self.config.hourly {
            return Err(ApprovalError::TooMany(format!("it asked {asked} times within an hour")));
        }
        Ok(())
    }

    async fn request(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<Approval, ApprovalError> {
        self.room(&wanted.agent.id, now).await?;
        let approval = self.made(wanted, now);
        let (draft, stored) = (self.requested(wanted, &approval), approval.clone());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let open = approvals::of_call(&mut *tx, &stored.call).await?;
                match open {
                    Some(open) if stands(&open, now) => return Err(StoreError::refuse(ApprovalError::Changed)),
                    // One that is over makes room.
                    Some(open) if matches!(open.state, ApprovalState::Pending | ApprovalState::Approved) => {
                        approvals::update(tx, &Approval { state: ApprovalState::Expired, ..open }).await?;
                    }
                    _ => {}
                }
                approvals::insert(tx, &stored).await
            })
        });
        write.await?;
        self.since_decoy.fetch_add(1, Ordering::Relaxed);
        Ok(approval)
    }

    fn made(&self, wanted: &Wanted<'_>, now: Timestamp) -> Approval {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Approval {
            id: ApprovalId::new(now, &*self.random),
            call: wanted.call,
            agent: wanted.agent.id.clone(),
            agent_name: wanted.agent.name.clone(),
            session: wanted.session.clone(),
            chain: wanted.chain.to_vec(),
            human: wanted.human.map(str::to_owned),
            owners: wanted.owners.clone(),
            server: wanted.server.to_owned(),
            method: wanted.method.to_owned(),
            target: wanted.target.to_owned(),
            definition: wanted.definition.map(Digest),
            arguments: text(wanted.arguments),
            input: text(wanted.input),
            reason: wanted.reason.map(str::to_owned),
            dry_run: wanted.dry_run.clone(),
            enforcer: wanted.enforcer.clone(),
            policy_version: wanted.policy_version.to_owned(),
            demands: wanted.demands.to_vec(),
            created_at: now,
            expires_at: now + Approval::lifetime(wanted.demands),
            decoy: false,
            state: ApprovalState::Pending,
            votes: Vec::new(),
            decided_at: None,
            used_at: None,
            erased: None,
        }
    }

    fn requested(&self, wanted: &Wanted<'_>, approval: &Approval) -> Draft {
        let dry_run = wanted.dry_run.as_ref().and_then(|dry_run| serde_json::to_vec(dry_run).ok());
        let kept = [("arguments", wanted.arguments), ("input", wanted.input), ("dry_run", dry_run.as_deref())];
        let kept = kept.into_iter().filter_map(|(name, content)| Some((name, content?.to_vec())));
        Draft {
            who: Who {
                agent: Some(wanted.agent.id.to_string()),
                name: Some(wanted.agent.name.clone()),
                human: wanted.human.map(str::to_owned),
                chain: wanted.chain.to_vec(),
                enforcer: wanted.enforcer.as_ref().map(|enforcer| enforcer.name.clone()),
                ..Who::default()
            },
            what: What {
                server: Some(approval.server.clone()),
                action: Some(approval.method.clone()),
                tool: Some(approval.target.clone()),
                ..What::default()
            },
            why: Why { reason: approval.reason.clone(), trace: None },
            authority: Authority {
                session: Some(approval.session.to_string()),
                approval: Some(approval.id.to_string()),
                ..Authority::default()
            },
            bodies: kept.map(|(name, content)| Body { name, content }).collect(),
            ..self.draft(approval, "request")
        }
    }

    /// The entry of what happens to a request. The arguments are no part of it: their digest is.
    fn draft(&self, approval: &Approval, verb: &str) -> Draft {
        let after = serde_json::json!({
            "agent": approval.agent_name,
            "call": approval.call,
            "demands": approval.demands,
            "digest": self.digest(approval),
            "expires_at": approval.expires_at.rfc3339(),
            "decoy": approval.decoy,
            "server": approval.server,
            "state": approval.state,
            "target": approval.target,
            "votes": approval.votes,
        });
        let after = canonical(&after).ok().map(|json| String::from_utf8_lossy(&json).into_owned());
        let (noun, id) = ("approval".to_owned(), approval.id.to_string());
        let change = Some(Change { noun, id, verb: verb.to_owned(), after });
        Draft { kind: Kind::Change, at: self.clock.now(), change, ..Draft::default() }
    }

    /// What a person says to a request. A no of anybody who may say yes is a no; a yes counts until enough agree.
    ///
    /// # Errors
    /// Whoever may not decide it is told why; [`ApprovalError::Changed`] if it is not what they were shown.
    pub async fn say(&self, id: &ApprovalId, by: &Approver<'_>, say: &Say<'_>) -> Result<Approval, ApprovalError> {
        let now = self.clock.now();
        let before = self.get(id).await?;
        if self.digest(&before) != say.seen {
            return Err(ApprovalError::Changed);
        }
        if !before.is_pending(now) {
            return Err(ApprovalError::Over(before.standing(now).to_owned()));
        }
        let place = may_decide(&before, by)?;
        if say.approve && before.risk() == Risk::High && say.proof.is_none() {
            return Err(ApprovalError::NoProof);
        }
        if has_spoken(&before, by.person) {
            return Err(ApprovalError::Twice);
        }
        let vote = Vote {
            person: by.person.id.clone(),
            name: by.person.name.clone(),
            approve: say.approve,
            comment: say.comment.map(|text| text.chars().take(COMMENT).collect()),
            for_person: place.map(|place| place.person.name.clone()),
            meets: people::met(&before, by, place),
            proved: say.proof.is_some(),
            passkey: say.proof.as_ref().map(|proof| proof.shown.passkey.clone()),
            shown_at: self.shown_to(id, &by.person.id),
            at: now,
        };
        let after = counted(&before, vote);
        let mut draft = self.draft(&after, if say.approve { "approve" } else { "deny" });
        draft.who = Who { human: Some(by.person.name.clone()), ..Who::default() };
        draft.why = Why { reason: say.comment.map(|text| text.chars().take(COMMENT).collect()), trace: None };
        let proof = say.proof.as_ref();
        draft.bodies = proof.map(|proof| Body { name: PASSKEY, content: proof.evidence.clone() }).into_iter().collect();
        let shown = proof.map(|proof| proof.shown.clone());
        let stand_in = place.map(|place| place.stand_in.clone());
        let after = self.replace(draft, (before, after), Noted { shown, stand_in }).await?;
        // The vote counts; what is to be found about whoever gave it is another matter.
        if let Err(error) = self.look_at(&by.person.name, &after, say.approve).await {
            tracing::warn!(%error, person = by.person.name, "how somebody decides could not be looked at");
        }
        Ok(after)
    }

    /// Takes a request back: nobody is asked any more, and a yes that was said does not count.
    pub async fn cancel(&self, id: &ApprovalId, why: &str, actor: &str) -> Result<Approval, ApprovalError> {
        let now = self.clock.now();
        let before = self.get(id).await?;
        if !(before.is_pending(now) || before.is_usable(now)) {
            return Err(ApprovalError::Over(before.standing(now).to_owned()));
        }
        let after = Approval { state: ApprovalState::Cancelled, decided_at: Some(now), ..before.clone() };
        let mut draft = self.draft(&after, "cancel");
        draft.who = Who { human: Some(actor.to_owned()), ..Who::default() };
        draft.why = Why { reason: Some(why.to_owned()), trace: None };
        self.replace(draft, (before, after), Noted::default()).await
    }

    /// Closes what nobody decided or used in time, so that the record says so; says how many those were.
    pub async fn expire(&self) -> Result<usize, ApprovalError> {
        let now = self.clock.now();
        let overdue = approvals::overdue(&self.store, now).await?;
        let count = overdue.len();
        for before in overdue {
            let after = Approval { state: ApprovalState::Expired, ..before.clone() };
            match self.replace(self.draft(&after, "expire"), (before, after), Noted::default()).await {
                // Another node was quicker.
                Ok(_) | Err(ApprovalError::Changed) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(count)
    }

    /// Puts one state in place of another; a passkey that was shown for it counts in the same commit.
    async fn replace(
        &self,
        draft: Draft,
        (before, after): (Approval, Approval),
        noted: Noted,
    ) -> Result<Approval, ApprovalError> {
        let (stored, now) = (after.clone(), draft.at);
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if approvals::get(&mut *tx, &stored.id).await?.as_ref() != Some(&before) {
                    return Err(StoreError::refuse(ApprovalError::Changed));
                }
                noted.note(tx, now).await?;
                approvals::update(tx, &stored).await
            })
        });
        write.await?;
        self.said.send_modify(|count| *count = count.wrapping_add(1));
        Ok(after)
    }

    /// One request.
    pub async fn get(&self, id: &ApprovalId) -> Result<Approval, ApprovalError> {
        approvals::get(&self.store, id).await?.ok_or_else(|| ApprovalError::Unknown(id.to_string()))
    }

    /// What people can still say something to, the most urgent first.
    pub async fn pending(&self) -> Result<Vec<Approval>, ApprovalError> {
        Ok(approvals::pending(&self.store, self.clock.now()).await?)
    }

    /// Those that people can still say something to, and those that were approved and not used.
    pub async fn open(&self) -> Result<Vec<Approval>, ApprovalError> {
        Ok(approvals::open(&self.store, self.clock.now()).await?)
    }

    /// All since a moment, newest first, at most 1,000.
    pub async fn since(&self, at: Timestamp) -> Result<Vec<Approval>, ApprovalError> {
        Ok(approvals::since(&self.store, at, 1_000).await?)
    }

    /// The last call of the same agent and tool that was approved and ran.
    pub async fn last_used(&self, approval: &Approval) -> Result<Option<Approval>, ApprovalError> {
        let of = (approval.server.as_str(), approval.target.as_str());
        Ok(approvals::last_used(&self.store, &approval.agent, of, approval.created_at).await?)
    }

    /// The agent whose request it is.
    pub async fn of_agent(&self, agent: &AgentId, since: Timestamp) -> Result<Vec<Approval>, ApprovalError> {
        let mut found = self.since(since).await?;
        found.retain(|approval| approval.agent == *agent);
        Ok(found)
    }
}

/// What has to hold in the commit of a vote.
#[derive(Default)]
struct Noted {
    /// A passkey that was shown for it.
    shown: Option<Shown>,
    /// What lets them speak in somebody else's place.
    stand_in: Option<StandInId>,
}

impl Noted {
    async fn note(self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        if let Some(id) = &self.stand_in {
            let stands = stand_ins::get(&mut *tx, id).await?.is_some_and(|stand_in| stand_in.is_in_force(now));
            if !stands {
                return Err(StoreError::refuse(ApprovalError::NotTheirs("they do not stand in any more".into())));
            }
        }
        match self.shown {
            Some(shown) => passkeys::note(tx, &shown, now).await,
            None => Ok(()),
        }
    }
}

/// Is it the answer to a further call of the same kind?
fn stands(approval: &Approval, now: Timestamp) -> bool {
    use ApprovalState::{Approved, Denied, Pending};
    !approval.is_over(now) && matches!(approval.state, Pending | Approved | Denied)
}

/// The request with one more vote.
fn counted(before: &Approval, vote: Vote) -> Approval {
    let (approve, at) = (vote.approve, vote.at);
    let mut after = before.clone();
    after.votes.push(vote);
    let agreed = |demand: &Demand| {
        let yes = after.votes.iter().filter(|vote| vote.approve && vote.meets.contains(&demand.policy)).count();
        yes >= usize::try_from(demand.quorum).unwrap_or(usize::MAX)
    };
    let state = match approve {
        false => ApprovalState::Denied,
        // It is never approved, whoever says yes to it.
        true if after.decoy => ApprovalState::Cancelled,
        true if after.demands.iter().all(agreed) => ApprovalState::Approved,
        true => ApprovalState::Pending,
    };
    let decided_at = (state != ApprovalState::Pending).then_some(at);
    Approval { state, decided_at, ..after }
}
