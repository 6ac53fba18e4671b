//! What many instances of one agent have in common.

use chancery_model::{Blueprint, BlueprintState, Digest};
use serde::Serialize;

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod instantiate;
pub(crate) mod list;
pub(crate) mod resume;
pub(crate) mod suspend;

/// A blueprint as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    id: String,
    state: BlueprintState,
    sponsor: String,
    owner: String,
    purpose: String,
    /// How long an instance lives if nothing else is said.
    lifetime_seconds: i64,
    manifest: Option<Digest>,
    epoch: u64,
    created_at: String,
}

impl From<&Blueprint> for View {
    fn from(blueprint: &Blueprint) -> Self {
        Self {
            name: blueprint.name.clone(),
            id: blueprint.id.to_string(),
            state: blueprint.state,
            sponsor: blueprint.sponsor.clone(),
            owner: blueprint.owner.clone(),
            purpose: blueprint.purpose.clone(),
            lifetime_seconds: blueprint.lifetime.as_seconds(),
            manifest: blueprint.manifest,
            epoch: blueprint.epoch,
            created_at: blueprint.created_at.rfc3339(),
        }
    }
}
