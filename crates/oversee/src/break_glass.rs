//! Break-glass: a named person is an administrator for a while. It is on the record from its opening to its review, and so
//! is all that is done under it; a finding stays open until somebody else has looked at that and said so.
//!
//! It gives what the role of an administrator gives and no more: there is nothing here, as there is nothing anywhere, that
//! pauses the log.

use chancery_model::problem::{self, Row};
use chancery_model::{BreakGlass, BreakGlassId, Draft, Finding, Severity, Span, Timestamp};
use chancery_store::{Store, StoreError, Tx, break_glass, findings, persons};

use crate::containment::Means;
use crate::entry::Act;

/// The longest reason or note, in characters.
const TEXT: usize = 1_000;
/// The shortest one.
const SHORTEST: Span = Span::minutes(1);

/// Who is to be elevated.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Their name.
    pub person: &'a str,
    /// Why.
    pub reason: &'a str,
    /// For how long; [`BreakGlass::USUAL`] if nothing is said.
    pub lasts: Option<Span>,
    /// Who opens it.
    pub by: &'a str,
}

/// A break-glass that is not given, ended or reviewed.
#[derive(Debug, thiserror::Error)]
pub enum GlassError {
    /// There is none of this id.
    #[error("`{0}`")]
    None(String),
    /// There is no such person, or they are suspended.
    #[error("there is no active person `{0}`")]
    NoPerson(String),
    /// The last one of this person was not reviewed.
    #[error("`{person}` has one that nobody reviewed: {id}")]
    Unreviewed {
        /// Whose.
        person: String,
        /// Which.
        id: BreakGlassId,
    },
    /// It may not last so long.
    #[error("it lasts from 1 minute to {} hours", BreakGlass::LONGEST.as_seconds() / 3_600)]
    Lasts,
    /// There is no good text.
    #[error("a {0} has 1 to {TEXT} characters")]
    Text(&'static str),
    /// It is open.
    #[error("it is still open: end it first")]
    Open,
    /// It was ended, or its time is over.
    #[error("it is over already")]
    Over,
    /// It was reviewed.
    #[error("it was reviewed already")]
    Reviewed,
    /// Nobody reviews what they did themselves.
    #[error("`{0}` did it, and does not review it")]
    Own(String),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl GlassError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::None(_) => problem::NO_BREAK_GLASS,
            Self::NoPerson(_) => problem::NO_PERSON,
            Self::Lasts | Self::Text(_) => problem::BAD_FIELD,
            Self::Unreviewed { .. } | Self::Open | Self::Over | Self::Reviewed | Self::Own(_) => {
                problem::BREAK_GLASS_REFUSED
            }
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for GlassError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}

/// Elevates a person. It is in force when this returns, and the finding that asks for its review is open.
///
/// # Errors
/// The person is not there, or has one that nobody reviewed; no reason, too long, or the store failed.
pub async fn open(means: Means<'_>, wanted: Wanted<'_>) -> Result<BreakGlass, GlassError> {
    let lasts = wanted.lasts.unwrap_or(BreakGlass::USUAL);
    if lasts < SHORTEST || lasts > BreakGlass::LONGEST {
        return Err(GlassError::Lasts);
    }
    let now = means.clock.now();
    let glass = BreakGlass {
        id: BreakGlassId::new(now, means.random),
        person: wanted.person.to_owned(),
        reason: text(wanted.reason, "reason")?,
        by: wanted.by.to_owned(),
        at: now,
        until: now + lasts,
        ended_at: None,
        reviewed_by: None,
        reviewed_at: None,
        review: None,
    };
    let (draft, new) = (draft(&glass, "open", (wanted.by, &glass.reason), now), glass.clone());
    means.store.write(draft, move |tx| Box::pin(insert(tx, new))).await?;
    Ok(glass)
}

async fn insert(tx: &mut Tx, glass: BreakGlass) -> Result<(), StoreError> {
    let person = persons::by_name(&mut *tx, &glass.person).await?;
    if !person.is_some_and(|person| person.is_active()) {
        return Err(StoreError::refuse(GlassError::NoPerson(glass.person)));
    }
    if let Some(last) = break_glass::unreviewed(&mut *tx, &glass.person).await? {
        return Err(StoreError::refuse(GlassError::Unreviewed { person: glass.person, id: last.id }));
    }
    break_glass::insert(tx, &glass).await?;
    findings::open(tx, &finding(&glass)).await
}

/// Ends one before its time.
///
/// # Errors
/// There is none, it is over, or the store failed.
pub async fn end(means: Means<'_>, id: &str, by: &str, why: &str) -> Result<BreakGlass, GlassError> {
    let (glass, now) = (get(means.store, id).await?, means.clock.now());
    if !glass.is_open(now) {
        return Err(GlassError::Over);
    }
    let ended = BreakGlass { ended_at: Some(now), ..glass.clone() };
    replace(means, "end", (glass, ended), (by, why), now).await
}

/// Says what somebody else found about what was done under it. Its finding closes.
///
/// # Errors
/// It is still open, was reviewed, or is their own; no note, or the store failed.
pub async fn review(means: Means<'_>, id: &str, by: &str, note: &str) -> Result<BreakGlass, GlassError> {
    let (glass, now) = (get(means.store, id).await?, means.clock.now());
    let note = text(note, "note")?;
    if !glass.is_unreviewed() {
        return Err(GlassError::Reviewed);
    }
    if glass.is_open(now) {
        return Err(GlassError::Open);
    }
    if is_by(&glass.person, by) {
        return Err(GlassError::Own(glass.person));
    }
    let reviewed = BreakGlass {
        reviewed_by: Some(by.to_owned()),
        reviewed_at: Some(now),
        review: Some(note.clone()),
        ..glass.clone()
    };
    replace(means, "review", (glass, reviewed), (by, &note), now).await
}

/// Is this actor the person, elevated or not?
fn is_by(person: &str, actor: &str) -> bool {
    actor.split(':').next() == Some(person)
}

async fn replace(
    means: Means<'_>,
    verb: &str,
    (before, after): (BreakGlass, BreakGlass),
    (by, why): (&str, &str),
    now: Timestamp,
) -> Result<BreakGlass, GlassError> {
    let (draft, new) = (draft(&after, verb, (by, why), now), after.clone());
    let write = means.store.write(draft, move |tx| {
        Box::pin(async move {
            if break_glass::get(&mut *tx, &new.id).await?.as_ref() != Some(&before) {
                return Err(StoreError::refuse(GlassError::Over));
            }
            break_glass::update(tx, &new).await?;
            if !new.is_unreviewed() {
                findings::close(tx, BreakGlass::FINDING, new.id.as_str(), now).await?;
            }
            Ok(())
        })
    });
    write.await?;
    Ok(after)
}

async fn get(store: &Store, id: &str) -> Result<BreakGlass, GlassError> {
    let missing = || GlassError::None(id.chars().take(60).collect());
    let known: BreakGlassId = id.parse().map_err(|_| missing())?;
    break_glass::get(store, &known).await?.ok_or_else(missing)
}

fn text(given: &str, what: &'static str) -> Result<String, GlassError> {
    let given = given.trim();
    if given.is_empty() || given.chars().count() > TEXT { Err(GlassError::Text(what)) } else { Ok(given.to_owned()) }
}

fn finding(glass: &BreakGlass) -> Finding {
    Finding {
        rule: BreakGlass::FINDING.to_owned(),
        subject: glass.id.to_string(),
        severity: Severity::High,
        evidence: format!("`{}` is an administrator until {}: {}", glass.person, glass.until, glass.reason),
        owasp: "NHI5".to_owned(),
        opened_at: glass.at,
        closed_at: None,
    }
}

fn draft(glass: &BreakGlass, verb: &str, (by, why): (&str, &str), now: Timestamp) -> Draft {
    let id = glass.id.to_string();
    Act { actor: by, noun: "break_glass", id: &id, verb, reason: Some(why) }.draft(now, glass)
}
