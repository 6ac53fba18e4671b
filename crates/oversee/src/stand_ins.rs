//! Stand-ins: a person says who decides in their place, from when until when.
//!
//! It hands on a place and no more: whoever stands in may say what the other might say, as long as they are no party to
//! it themselves; a place counts once, whoever speaks for it; and nobody hands on a place that they hold for somebody else.

use chancery_model::problem::{self, Row};
use chancery_model::{Draft, Person, StandIn, StandInId, Timestamp};
use chancery_store::{StoreError, persons, stand_ins};

use crate::containment::Means;
use crate::entry::Act;

/// The longest reason, in characters.
const REASON: usize = 1_000;

/// Who is to stand in for whom.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// In whose place.
    pub person: &'a Person,
    /// Who stands in.
    pub deputy: &'a Person,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: &'a str,
    /// Who says so.
    pub by: &'a str,
}

/// A stand-in that is not named or not ended.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// There is none of this id.
    #[error("`{0}`")]
    None(String),
    /// It cannot be so.
    #[error("{0}")]
    Bad(String),
    /// It is over.
    #[error("it is over already")]
    Over,
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl StandInError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::None(_) => problem::NO_STAND_IN,
            Self::Bad(_) | Self::Over => problem::BAD_STAND_IN,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for StandInError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}

/// Says who stands in for whom.
///
/// # Errors
/// They are one person, one of them is suspended, the time is none, or the store failed.
pub async fn name(means: Means<'_>, wanted: Wanted<'_>) -> Result<StandIn, StandInError> {
    let now = means.clock.now();
    let reason = wanted.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON {
        return Err(StandInError::Bad(format!("a reason has 1 to {REASON} characters")));
    }
    if wanted.person.id == wanted.deputy.id {
        return Err(StandInError::Bad("nobody stands in for themselves".into()));
    }
    if wanted.until <= now || wanted.until <= wanted.from {
        return Err(StandInError::Bad("it ends before it begins, or has ended already".into()));
    }
    if wanted.until - wanted.from > StandIn::LONGEST {
        let days = StandIn::LONGEST.as_seconds() / 86_400;
        return Err(StandInError::Bad(format!("it lasts {days} days at the most")));
    }
    let stand_in = StandIn {
        id: StandInId::new(now, means.random),
        person: wanted.person.id.clone(),
        name: wanted.person.name.clone(),
        deputy: wanted.deputy.id.clone(),
        deputy_name: wanted.deputy.name.clone(),
        reason: reason.to_owned(),
        by: wanted.by.to_owned(),
        at: now,
        from: wanted.from,
        until: wanted.until,
        ended_at: None,
    };
    let (draft, new) = (draft(&stand_in, "name", (wanted.by, reason), now), stand_in.clone());
    let write = means.store.write(draft, move |tx| {
        Box::pin(async move {
            for id in [&new.person, &new.deputy] {
                if !persons::get(&mut *tx, id).await?.is_some_and(|person| person.is_active()) {
                    return Err(StoreError::refuse(StandInError::Bad("one of them is suspended".into())));
                }
            }
            stand_ins::insert(tx, &new).await
        })
    });
    write.await?;
    Ok(stand_in)
}

/// Ends one before its time.
///
/// # Errors
/// It is over, or the store failed.
pub async fn end(means: Means<'_>, stand_in: StandIn, by: &str, why: &str) -> Result<StandIn, StandInError> {
    let now = means.clock.now();
    let ended = StandIn { ended_at: Some(now), ..stand_in };
    let (draft, id) = (draft(&ended, "end", (by, why), now), ended.id.clone());
    let write = means.store.write(draft, move |tx| {
        Box::pin(async move {
            let stood = stand_ins::end(tx, &id, now).await?;
            if stood { Ok(()) } else { Err(StoreError::refuse(StandInError::Over)) }
        })
    });
    write.await?;
    Ok(ended)
}

/// One of them, by its id.
///
/// # Errors
/// There is none, or the store failed.
pub async fn get(means: Means<'_>, id: &str) -> Result<StandIn, StandInError> {
    let missing = || StandInError::None(id.chars().take(60).collect());
    let known: StandInId = id.parse().map_err(|_| missing())?;
    stand_ins::get(means.store, &known).await?.ok_or_else(missing)
}

fn draft(stand_in: &StandIn, verb: &str, (by, why): (&str, &str), now: Timestamp) -> Draft {
    let id = stand_in.id.to_string();
    Act { actor: by, noun: "stand_in", id: &id, verb, reason: Some(why) }.draft(now, stand_in)
}
