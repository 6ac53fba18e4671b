//! Grants as rows: a template, who, what, until when. A hundred thousand of them cost a decision no more than
//! ten, because it looks only at the places its principal and resource (and their ancestors) lead to.

use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy_core::ast::EntityUID;
use chancery_model::{Grant, GrantMode, Timestamp};

use crate::decide::For;
use crate::entity::Node;
use crate::hash::{self, Places};
use crate::schema::Types;

const SHARDS: usize = 64;

/// One grant, read once.
#[derive(Debug)]
pub(crate) struct Row {
    pub id: Arc<str>,
    pub template: Arc<str>,
    pub principal: EntityUID,
    pub resource: EntityUID,
    mode: GrantMode,
    expires_at: Option<Timestamp>,
    revoked: bool,
}

impl Row {
    /// Since when it gives nothing to anybody.
    pub fn over(&self, now: Timestamp) -> Option<Timestamp> {
        self.expires_at.filter(|end| now >= *end)
    }

    /// Does it give anything now, to one who acts for a human or by itself?
    pub fn gives(&self, now: Timestamp, mode: For) -> bool {
        !self.revoked && self.expires_at.is_none_or(|end| now < end) && self.is_for(mode)
    }

    /// Is it for this mode? A right to act for people is none to act alone, and the other way round.
    pub fn is_for(&self, mode: For) -> bool {
        match mode {
            For::Itself => self.mode == GrantMode::Autonomous,
            For::Human => self.mode == GrantMode::OnBehalfOf,
            For::Anybody => true,
        }
    }
}

/// All grants, each in its place. A change is seen by every decision that begins after it.
#[derive(Debug)]
pub(crate) struct Grants {
    shards: Vec<RwLock<Places<Vec<Arc<Row>>>>>,
}

impl Default for Grants {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Grants {
    fn shard(&self, place: u64) -> Option<&RwLock<Places<Vec<Arc<Row>>>>> {
        self.shards.get(usize::try_from(place % SHARDS as u64).unwrap_or(0))
    }

    /// Puts a grant in its place, or replaces what was there under its id. A grant whose entities cannot be read
    /// gives nothing, and is said to be so.
    pub fn put(&self, types: &Types, templates: &mut dyn FnMut(&str) -> Arc<str>, grant: &Grant) -> Result<(), String> {
        let principal = types.parse(&grant.principal)?;
        let resource = types.parse(&grant.resource)?;
        let place = hash::pair(0, hash::entity(&principal), hash::entity(&resource));
        let row = Arc::new(Row {
            id: Arc::from(grant.id.as_str()),
            template: templates(&grant.template),
            principal,
            resource,
            mode: grant.mode,
            expires_at: grant.expires_at,
            revoked: grant.revoked_at.is_some(),
        });
        if let Some(shard) = self.shard(place) {
            let mut rows = shard.write().unwrap_or_else(PoisonError::into_inner);
            let here = rows.entry(place).or_default();
            here.retain(|other| other.id != row.id);
            // A revoked grant never comes back: there is no need to look at it in any decision.
            if !row.revoked {
                here.push(row);
            }
            if here.is_empty() {
                rows.remove(&place);
            }
        }
        Ok(())
    }

    /// Calls back for every grant that may link these two, in force or not.
    pub fn visit(&self, principal: &Node, resource: &Node, mut found: impl FnMut(&Arc<Row>)) {
        for p in principal.places() {
            for r in resource.places() {
                let place = hash::pair(0, p, r);
                let Some(shard) = self.shard(place) else { continue };
                let rows = shard.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(here) = rows.get(&place) {
                    here.iter().for_each(&mut found);
                }
            }
        }
    }

    /// How many there are, the expired ones included.
    pub fn len(&self) -> usize {
        let sizes = self.shards.iter().map(|shard| {
            let rows = shard.read().unwrap_or_else(PoisonError::into_inner);
            rows.values().map(Vec::len).sum::<usize>()
        });
        sizes.sum()
    }
}
