//! What somebody says of objects that so many of were not seen at once.

use chancery_model::{Change, ObjectState, Sweep, SweepId};
use chancery_store::objects::{Mark, Stamp};
use chancery_store::{StoreError, Tx, findings, objects, sweeps};

use crate::intake::{MASS, summary};
use crate::{DiscoverError, Discovery};

impl Discovery {
    /// Says that what a sweep held back is missing. The next complete sweep without it makes it gone, as usual.
    ///
    /// # Errors
    /// There is no such sweep, it holds nothing back, a later one has looked again, or the store failed.
    pub async fn accept(&self, id: &str, by: &str, reason: Option<&str>) -> Result<Sweep, DiscoverError> {
        let none = || DiscoverError::NoSweep(id.chars().take(60).collect());
        let id: SweepId = id.parse().map_err(|_| none())?;
        let now = self.clock.now();
        let sweep = sweeps::get(&self.store, &id).await?.ok_or_else(none)?;
        if sweep.held() == 0 {
            return Err(DiscoverError::NothingHeld(id));
        }
        let mut answered = Sweep { answer: Some((by.to_owned(), now)), ..sweep };
        for coverage in &mut answered.coverage {
            coverage.missing += std::mem::take(&mut coverage.held);
        }
        let draft = Change::drafted(now, by, ("sweep", id.as_str(), "accept"), reason, &summary(&answered));
        let done = answered.clone();
        self.store.write(draft, move |tx| Box::pin(async move { apply(tx, &done).await })).await?;
        Ok(answered)
    }
}

async fn apply(tx: &mut Tx, sweep: &Sweep) -> Result<(), StoreError> {
    let place = (sweep.source.as_str(), sweep.scope.as_str());
    let newest = sweeps::newest(&mut *tx, place, false).await?;
    if let Some(newer) = newest.map(|newest| newest.id).filter(|newest| *newest != sweep.id) {
        return Err(StoreError::refuse(DiscoverError::Overtaken { newer }));
    }
    let Some((_, now)) = sweep.answer.clone() else { return Ok(()) };
    if !sweeps::answer(tx, sweep).await? {
        return Err(StoreError::refuse(DiscoverError::NothingHeld(sweep.id.clone())));
    }
    let held = objects::held(&mut *tx, &sweep.id).await?;
    let mark =
        |one: objects::Known| Mark { id: one.id, urn: one.urn, state: ObjectState::Missing, misses: one.misses + 1 };
    let marks: Vec<Mark> = held.into_iter().map(mark).collect();
    let stamp = Stamp { sweep: sweep.id.clone(), observed_at: sweep.observed_at, recorded_at: now };
    objects::mark(tx, &stamp, &marks).await?;
    findings::close(tx, MASS, &format!("{}:{}", sweep.source, sweep.scope), now).await.map(drop)
}
