//! Asking people before a call runs, and what they say.
//!
//! A request is bound to the digest of everything that would run. It is used up in the same commit as the intent of the
//! call ([`chancery_store::approvals::consume`]), so that one yes lets one call through, whatever crashes in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chancery_model::{
    Agent, AgentId, Approval, ApprovalId, ApprovalKind, ApprovalState, Authority, Body, Change, Clock, Demand, Digest,
    Draft, Hash, Kind, Person, PersonId, Random, Risk, SessionId, Span, Timestamp, Vote, What, Who, Why, canonical,
};
use chancery_store::{Store, StoreError, approvals};
use tokio::sync::watch;

mod effect;
mod error;

pub use effect::{Field, effect, median, numbers};
pub use error::ApprovalError;

/// How old the proof of a passkey may be where much hangs on it.
const PROOF: Span = Span::minutes(5);
/// How often a question is put anew because others put the same one.
const TRIES: usize = 8;
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
}

impl Default for Config {
    fn default() -> Self {
        Self { waiting: 10, hourly: 60 }
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

/// Whoever says yes or no.
#[derive(Clone, Debug)]
pub struct Approver<'a> {
    /// Who.
    pub person: &'a Person,
    /// The groups they are in.
    pub groups: &'a [String],
    /// Do they have the role `approver`?
    pub approver: bool,
    /// When they last showed a passkey.
    pub proved_at: Option<Timestamp>,
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
}

/// Requests for approval.
pub struct Approvals {
    config: Config,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    sha256: fn(&[u8]) -> Hash,
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
        Self { config, store, clock, random, sha256, said: watch::channel(0).0, shown: Mutex::default() }
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
            let found = approvals::of_call(&self.store, &wanted.call).await?.filter(|approval| !approval.is_over(now));
            match found {
                Some(approval) if approval.is_usable(now) => return Ok(Standing::Granted(approval.id)),
                Some(approval) if approval.is_pending(now) => return Ok(Standing::Waits(approval.into())),
                Some(approval) if approval.state == ApprovalState::Denied => {
                    return Ok(Standing::Denied(approval.into()));
                }
                _ => {}
            }
            match self.request(wanted, now).await {
                // Somebody else asked the same in between.
                Err(ApprovalError::Changed) => {}
                other => return other.map(|approval| Standing::Waits(approval.into())),
            }
        }
        Err(ApprovalError::Changed)
    }

    async fn request(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<Approval, ApprovalError> {
        let (waiting, asked) = approvals::counts(&self.store, &wanted.agent.id, now, now - Span::hours(1)).await?;
        if waiting >= self.config.waiting {
            return Err(ApprovalError::TooMany(format!("{waiting} requests of it wait already")));
        }
        if asked >= self.config.hourly {
            return Err(ApprovalError::TooMany(format!("it asked {asked} times within an hour")));
        }
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
            policy_version: wanted.policy_version.to_owned(),
            demands: wanted.demands.to_vec(),
            created_at: now,
            expires_at: now + Approval::lifetime(wanted.demands),
            state: ApprovalState::Pending,
            votes: Vec::new(),
            decided_at: None,
            used_at: None,
        }
    }

    fn requested(&self, wanted: &Wanted<'_>, approval: &Approval) -> Draft {
        let kept = [("arguments", wanted.arguments), ("input", wanted.input)];
        let kept = kept.into_iter().filter_map(|(name, content)| Some((name, content?.to_vec())));
        Draft {
            who: Who {
                agent: Some(wanted.agent.id.to_string()),
                name: Some(wanted.agent.name.clone()),
                human: wanted.human.map(str::to_owned),
                chain: wanted.chain.to_vec(),
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
        may_decide(&before, by)?;
        let proved = by.proved_at.is_some_and(|at| at <= now && now < at + PROOF);
        if say.approve && before.risk() == Risk::High && !proved {
            return Err(ApprovalError::NoProof);
        }
        if before.votes.iter().any(|vote| vote.person == by.person.id) {
            return Err(ApprovalError::Twice);
        }
        let vote = Vote {
            person: by.person.id.clone(),
            name: by.person.name.clone(),
            approve: say.approve,
            comment: say.comment.map(|text| text.chars().take(COMMENT).collect()),
            for_person: None,
            meets: Vec::new(),
            proved,
            shown_at: self.shown_to(id, &by.person.id),
            at: now,
        };
        let after = counted(&before, vote, by);
        let mut draft = self.draft(&after, if say.approve { "approve" } else { "deny" });
        draft.who = Who { human: Some(by.person.name.clone()), ..Who::default() };
        draft.why = Why { reason: say.comment.map(|text| text.chars().take(COMMENT).collect()), trace: None };
        self.replace(draft, before, after).await
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
        self.replace(draft, before, after).await
    }

    /// Closes what nobody decided or used in time, so that the record says so; says how many those were.
    pub async fn expire(&self) -> Result<usize, ApprovalError> {
        let now = self.clock.now();
        let overdue = approvals::overdue(&self.store, now).await?;
        let count = overdue.len();
        for before in overdue {
            let after = Approval { state: ApprovalState::Expired, ..before.clone() };
            match self.replace(self.draft(&after, "expire"), before, after).await {
                // Another node was quicker.
                Ok(_) | Err(ApprovalError::Changed) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(count)
    }

    async fn replace(&self, draft: Draft, before: Approval, after: Approval) -> Result<Approval, ApprovalError> {
        let stored = after.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if approvals::get(&mut *tx, &stored.id).await?.as_ref() != Some(&before) {
                    return Err(StoreError::refuse(ApprovalError::Changed));
                }
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

/// Is it the answer to a further call of the same kind?
fn stands(approval: &Approval, now: Timestamp) -> bool {
    use ApprovalState::{Approved, Denied, Pending};
    !approval.is_over(now) && matches!(approval.state, Pending | Approved | Denied)
}

/// May they say anything to it?
///
/// # Errors
/// The reason why not, of the demand that comes nearest.
pub fn may_decide(approval: &Approval, by: &Approver<'_>) -> Result<(), ApprovalError> {
    if !by.person.is_active() {
        return Err(ApprovalError::NotTheirs("this person is suspended".into()));
    }
    let mut why = "nothing asks for them".to_owned();
    for demand in &approval.demands {
        match meets(approval, demand, by) {
            Ok(()) => return Ok(()),
            Err(reason) => why = reason,
        }
    }
    Err(ApprovalError::NotTheirs(why))
}

/// Are they among those whose yes one policy asks for?
fn meets(approval: &Approval, demand: &Demand, by: &Approver<'_>) -> Result<(), String> {
    let name = by.person.name.as_str();
    let owns = || approval.owners.iter().any(|owner| owner == name || by.groups.contains(owner));
    match (demand.kind, &approval.human) {
        (ApprovalKind::Confirm, Some(human)) if human == name => Ok(()),
        (ApprovalKind::Confirm, None) if owns() => Ok(()),
        (ApprovalKind::Confirm, _) => Err("only the person in whose name it is done confirms it".into()),
        (ApprovalKind::FourEyes, Some(human)) if human == name => {
            Err("it is done in their own name: somebody else has to approve it".into())
        }
        (ApprovalKind::FourEyes, _) if approval.owners.iter().any(|owner| owner == name) => {
            Err("they own an agent that does it: somebody else has to approve it".into())
        }
        (ApprovalKind::FourEyes, _) => match &demand.group {
            Some(group) if by.groups.iter().any(|theirs| **theirs == **group) => Ok(()),
            Some(group) => Err(format!("they are not in the group `{group}`")),
            None if by.approver => Ok(()),
            None => Err("they do not have the role `approver`".into()),
        },
    }
}

/// The request with one more vote. It counts for every policy whose demand they meet.
fn counted(before: &Approval, mut vote: Vote, by: &Approver<'_>) -> Approval {
    let met = |demand: &&Demand| meets(before, demand, by).is_ok();
    vote.meets = before.demands.iter().filter(met).map(|demand| demand.policy.clone()).collect();
    let (approve, at) = (vote.approve, vote.at);
    let mut after = before.clone();
    after.votes.push(vote);
    let agreed = |demand: &Demand| {
        let yes = after.votes.iter().filter(|vote| vote.approve && vote.meets.contains(&demand.policy)).count();
        yes >= usize::try_from(demand.quorum).unwrap_or(usize::MAX)
    };
    let state = match approve {
        false => ApprovalState::Denied,
        true if after.demands.iter().all(agreed) => ApprovalState::Approved,
        true => ApprovalState::Pending,
    };
    let decided_at = (state != ApprovalState::Pending).then_some(at);
    Approval { state, decided_at, ..after }
}
