//! What is there, and when it was seen last.

use std::collections::HashMap;

use chancery_model::{CoverageStatus, ObjectState, Sweep, Timestamp, Urn};
use chancery_store::objects::{self, Stored, Wanted};
use chancery_store::sweeps;

use crate::judge::hides;
use crate::{DiscoverError, Discovery};

/// An object of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What is known of it.
    pub stored: Stored,
    /// The last time of which it is known that it was there. Objects that do not change are not written down again: this
    /// follows from the sweeps that would have missed them.
    pub last_seen: Timestamp,
}

impl Discovery {
    /// Those that are wanted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn objects(&self, wanted: &Wanted) -> Result<Vec<Listed>, DiscoverError> {
        let mut sweeps_of: HashMap<(String, String), Vec<Sweep>> = HashMap::new();
        let mut listed = Vec::new();
        for stored in objects::list(&self.store, wanted).await? {
            let place = (stored.object.urn.source(), stored.object.urn.scope());
            if !sweeps_of.contains_key(&place) {
                let sweeps = sweeps::ended(&self.store, (&place.0, &place.1)).await?;
                sweeps_of.insert(place.clone(), sweeps);
            }
            let last_seen = last_seen(&stored, sweeps_of.get(&place).map_or(&[][..], Vec::as_slice));
            listed.push(Listed { stored, last_seen });
        }
        Ok(listed)
    }

    /// The one of this name.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn object(&self, urn: &str) -> Result<Listed, DiscoverError> {
        let urn: Urn = urn.parse()?;
        let stored = objects::get(&self.store, &urn).await?;
        let stored = stored.ok_or_else(|| DiscoverError::NoObject(urn.to_string()))?;
        let sweeps = sweeps::ended(&self.store, (&urn.source(), &urn.scope())).await?;
        let last_seen = last_seen(&stored, &sweeps);
        Ok(Listed { stored, last_seen })
    }
}

/// Where it is there, the newest sweep that would have missed it saw it; `sweeps` are the newest first.
fn last_seen(stored: &Stored, sweeps: &[Sweep]) -> Timestamp {
    let urn = &stored.object.urn;
    let judged = |sweep: &&Sweep| {
        let complete = |of: &chancery_model::Coverage| {
            of.kind == urn.kind() && of.status == CoverageStatus::Complete && of.held == 0
        };
        sweep.coverage.iter().any(complete) && !hides(&sweep.gaps, stored.object.is.within.as_deref())
    };
    let seen = sweeps.iter().filter(|sweep| sweep.observed_at > stored.changed_at).find(judged);
    match (stored.state, seen) {
        (ObjectState::Present, Some(sweep)) => sweep.observed_at,
        (ObjectState::Present, None) => stored.changed_at,
        // It was there at the last one before it was missed.
        _ => {
            let before = sweeps.iter().filter(|sweep| sweep.observed_at < stored.changed_at);
            before.clone().find(judged).map_or(stored.first_seen, |sweep| sweep.observed_at.max(stored.first_seen))
        }
    }
}
