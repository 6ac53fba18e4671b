//! The kill switch: what is contained, and what is let go again.
//!
//! Putting something in force is one row and one entry, whoever many it stops: those who look at requests keep the set of
//! what is contained in memory, and are told before the writer is answered. What was on its way at that moment is cut by
//! them; see `chancery_gateway`'s acknowledgement.

use chancery_model::problem::{self, Row};
use chancery_model::{Clock, Containment, ContainmentId, DecisionId, Draft, Random, Scope, Timestamp};
use chancery_store::{Store, StoreError, Tx, agents, blueprints, containments, nodes, sessions, tools};

use crate::entry::Act;

/// The longest reason, in characters.
const REASON: usize = 1_000;
/// How often a lift is tried when sessions are opened by a clock that is ahead.
const TRIES: usize = 8;

/// What somebody wants to stop.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What kind of thing.
    pub scope: Scope,
    /// Which one; nothing for everything.
    pub subject: &'a str,
    /// Whoever asks knows that it is there: a server of the configuration that was never spoken to is nowhere else.
    pub known: bool,
    /// Why.
    pub reason: &'a str,
    /// Who.
    pub by: &'a str,
}

/// What is in force now.
#[derive(Debug)]
pub struct Contained {
    /// The containment.
    pub containment: Containment,
    /// The place of its entry in the log. Nothing if it was in force before: then nothing was written.
    pub entry: Option<DecisionId>,
    /// The number by which all nodes know of it; 0 where there are no others. Of what was in force before it is a later one:
    /// whoever threw that switch may be waiting still.
    pub change: u64,
}

/// What is not in force any more.
#[derive(Debug)]
pub struct Lifted {
    /// The containment.
    pub containment: Containment,
    /// It was lifted before: nothing was written.
    pub already: bool,
}

/// Something that cannot be contained, or let go.
#[derive(Debug, thiserror::Error)]
pub enum ContainError {
    /// There is no such thing.
    #[error("there is no {scope} `{subject}`")]
    NoSubject {
        /// What kind of thing.
        scope: Scope,
        /// As it was named.
        subject: String,
    },
    /// It is not named as it has to be.
    #[error("{0}")]
    Subject(&'static str),
    /// There is no good reason.
    #[error("a reason has 1 to {REASON} characters")]
    Reason,
    /// There is no such containment.
    #[error("`{0}`")]
    NoContainment(String),
    /// Sessions were opened in between, by a clock that is ahead.
    #[error("sessions are being opened by a clock that is ahead: do it again")]
    Busy,
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

/// It is so already.
#[derive(Debug, thiserror::Error)]
#[error("it is so already")]
struct Already(Box<Containment>, u64);

impl ContainError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::NoSubject { .. } | Self::Subject(_) | Self::Reason => problem::BAD_CONTAINMENT,
            Self::NoContainment(_) => problem::NO_CONTAINMENT,
            Self::Busy | Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for ContainError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}

/// Where containments are written, by which clock and with which randomness.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The store.
    pub store: &'a Store,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub random: &'a dyn Random,
}

/// What would be put in force, and is not.
///
/// # Errors
/// As [`contain`].
pub async fn plan(means: Means<'_>, wanted: Wanted<'_>) -> Result<Containment, ContainError> {
    let subject = match wanted.known {
        true => wanted.subject.to_owned(),
        false => subject(means.store, wanted.scope, wanted.subject).await?,
    };
    let now = means.clock.now();
    Ok(Containment {
        id: ContainmentId::new(now, means.random),
        scope: wanted.scope,
        subject,
        reason: reason(wanted.reason)?,
        by: wanted.by.to_owned(),
        at: now,
        lifted_at: None,
        lifted_by: None,
        lift_reason: None,
    })
}

/// Stops something. When this returns, it is on the disk, and whoever looks at requests in this process looks at it. What
/// is contained already stays so, and that is said. What is contained for an exercise is contained in earnest from now on:
/// whoever exercised does not let it go any more.
///
/// # Errors
/// There is no such thing to stop, or no reason, or the store failed.
pub async fn contain(means: Means<'_>, wanted: Wanted<'_>) -> Result<Contained, ContainError> {
    let planned = plan(means, wanted).await?;
    let mut drill: Option<Containment> = None;
    for _ in 0..TRIES {
        let new = match &drill {
            Some(drill) => Containment { by: planned.by.clone(), reason: planned.reason.clone(), ..drill.clone() },
            None => planned.clone(),
        };
        let (draft, stored) = (draft(&new, "contain", (wanted.by, &new.reason), planned.at), new.clone());
        let of = drill.take();
        let write = means.store.write(draft, move |tx| Box::pin(put(tx, stored, of)));
        match write.await.map_err(|e| e.refusal::<Already>()) {
            Ok(written) => {
                let (entry, change) = (Some(DecisionId(written.durable.position())), written.durable.change());
                return Ok(Contained { containment: new, entry, change });
            }
            Err(Ok(Already(known, _))) if known.is_drill() && !planned.is_drill() => drill = Some(*known),
            Err(Ok(Already(known, change))) => return Ok(Contained { containment: *known, entry: None, change }),
            // The drill ended in between.
            Err(Err(e)) => match ContainError::from(e) {
                ContainError::Busy => {}
                other => return Err(other),
            },
        }
    }
    Err(ContainError::Busy)
}

/// Puts it in force, in the place of this drill if there is one.
async fn put(tx: &mut Tx, new: Containment, drill: Option<Containment>) -> Result<(), StoreError> {
    let known = containments::in_force(&mut *tx, new.scope, &new.subject).await?;
    match (known, drill) {
        (None, None) => containments::insert(tx, &new).await,
        (Some(known), Some(drill)) if known == drill => containments::take_over(tx, &new).await,
        (Some(known), _) => {
            let change = nodes::last_change(tx).await?;
            Err(StoreError::refuse(Already(Box::new(known), change)))
        }
        (None, Some(_)) => Err(StoreError::refuse(ContainError::Busy)),
    }
}

/// Lets something go again. Sessions from before stay stopped: whoever goes on opens a new one.
///
/// # Errors
/// There is no such containment, or no reason, or the store failed.
pub async fn lift(means: Means<'_>, id: &str, by: &str, why: &str) -> Result<Lifted, ContainError> {
    let_go_if(means, id, (by, why), |known| known.is_in_force()).await
}

/// Lets go what was contained for an exercise, unless somebody contained it in earnest meanwhile: then it counts as done.
///
/// # Errors
/// As [`lift`].
pub async fn lift_drill(means: Means<'_>, id: &str, by: &str, why: &str) -> Result<Lifted, ContainError> {
    let_go_if(means, id, (by, why), |known| known.is_in_force() && known.is_drill()).await
}

async fn let_go_if(
    means: Means<'_>,
    id: &str,
    (by, why): (&str, &str),
    such: fn(&Containment) -> bool,
) -> Result<Lifted, ContainError> {
    let why = reason(why)?;
    for _ in 0..TRIES {
        let known = get(means.store, id).await?;
        if !such(&known) {
            return Ok(Lifted { containment: known, already: true });
        }
        // A session that says it was opened later than now was opened by a clock that was ahead.
        let now = means.clock.now();
        let latest = containments::latest_opening(means.store).await?.unwrap_or(now);
        let lifted = known.lift(now.max(latest), by, &why);
        let (draft, new) = (draft(&lifted, "lift", (by, &why), now), lifted.clone());
        let write = means.store.write(draft, move |tx| Box::pin(let_go(tx, new)));
        match write.await.map_err(ContainError::from) {
            Ok(_) => return Ok(Lifted { containment: lifted, already: false }),
            Err(ContainError::Busy) => {}
            Err(other) => return Err(other),
        }
    }
    Err(ContainError::Busy)
}

async fn let_go(tx: &mut Tx, lifted: Containment) -> Result<(), StoreError> {
    let known = containments::get(&mut *tx, &lifted.id).await?;
    let stands = known.is_some_and(|known| known.is_in_force() && known.by == lifted.by);
    let latest = containments::latest_opening(&mut *tx).await?;
    if !stands || latest > lifted.lifted_at {
        return Err(StoreError::refuse(ContainError::Busy));
    }
    containments::lift(tx, &lifted).await
}

/// One containment, by its id.
///
/// # Errors
/// There is none, or the store failed.
pub async fn get(store: &Store, id: &str) -> Result<Containment, ContainError> {
    let missing = || ContainError::NoContainment(id.chars().take(60).collect());
    let known: ContainmentId = id.parse().map_err(|_| missing())?;
    containments::get(store, &known).await?.ok_or_else(missing)
}

fn reason(text: &str) -> Result<String, ContainError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON { Err(ContainError::Reason) } else { Ok(text.to_owned()) }
}

/// What is named, as containments name it. Whoever mistypes a name in a hurry must be told.
async fn subject(store: &Store, scope: Scope, named: &str) -> Result<String, ContainError> {
    let known = match scope {
        Scope::Everything if named.is_empty() || named == Containment::ALL => Some(Containment::ALL.to_owned()),
        Scope::Everything => return Err(ContainError::Subject("everything has no name: leave it out")),
        Scope::Agent => agent(store, named).await?,
        Scope::Instance => instance(store, named).await?,
        Scope::Owner => containments::answers_for_somebody(store, named).await?.then(|| named.to_owned()),
        Scope::Blueprint => blueprints::by_name(store, named).await?.map(|blueprint| blueprint.name),
        Scope::Session => match named.parse() {
            Ok(id) => sessions::get(store, &id).await?.map(|session| session.id.to_string()),
            Err(_) => None,
        },
        Scope::Tool => {
            let (server, tool) = named.split_once('/').ok_or(ContainError::Subject("name a tool as SERVER/TOOL"))?;
            tools::get(store, server, tool).await?.map(|_| named.to_owned())
        }
        Scope::Server => {
            let servers = chancery_store::servers::all(store).await?;
            servers.into_iter().find(|server| server.name == named).map(|server| server.name)
        }
    };
    known.ok_or_else(|| ContainError::NoSubject { scope, subject: named.chars().take(120).collect() })
}

/// The name of an agent that is named by that or by its id.
async fn agent(store: &Store, named: &str) -> Result<Option<String>, ContainError> {
    let found = match named.parse() {
        Ok(id) => agents::get(store, &id).await?,
        Err(_) => agents::by_name(store, named).await?,
    };
    Ok(found.map(|agent| agent.name))
}

/// An instance of a blueprint is an agent. A running copy is whatever its agent calls it, so that only the agent is looked
/// up.
async fn instance(store: &Store, named: &str) -> Result<Option<String>, ContainError> {
    match named.split_once('/') {
        Some((_, "")) => Err(ContainError::Subject("name a running copy as AGENT/COPY")),
        Some((of, copy)) => Ok(agent(store, of).await?.map(|agent| format!("{agent}/{copy}"))),
        None => Ok(agent(store, named).await?),
    }
}

fn draft(containment: &Containment, verb: &str, (by, why): (&str, &str), now: Timestamp) -> Draft {
    let id = containment.id.to_string();
    Act { actor: by, noun: "containment", id: &id, verb, reason: Some(why) }.draft(now, containment)
}
