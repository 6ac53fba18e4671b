//! Blueprints: made, stopped and let go on, each with all of its instances.

use chancery_model::{Blueprint, BlueprintId, BlueprintState, Span};
use chancery_store::{StoreError, blueprints};

use crate::registrar::{By, Registrar, nothing};
use crate::{RegisterError, fields};

/// What is to be said of a new blueprint.
#[derive(Debug, Clone)]
pub struct BlueprintRequest {
    /// `[a-z0-9][a-z0-9-]{0,62}`, unique for ever among blueprints.
    pub name: String,
    /// The accountable business person of its instances. Mandatory.
    pub sponsor: String,
    /// The technical keeper of its instances. Mandatory.
    pub owner: String,
    /// Why its instances exist. Mandatory.
    pub purpose: String,
    /// How long an instance may live; 90 days if nothing is said, 365 at most.
    pub lifetime: Option<Span>,
}

impl Registrar {
    /// Makes a blueprint.
    pub async fn create_blueprint(&self, request: &BlueprintRequest, actor: &str) -> Result<Blueprint, RegisterError> {
        let now = self.clock.now();
        let blueprint = Blueprint {
            id: BlueprintId::new(now, &*self.random),
            name: fields::name("name", &request.name)?,
            sponsor: fields::said("sponsor", &request.sponsor)?,
            owner: fields::said("owner", &request.owner)?,
            purpose: fields::said("purpose", &request.purpose)?,
            lifetime: self.lasting(request.lifetime)?,
            manifest: None,
            state: BlueprintState::Active,
            epoch: 1,
            created_at: now,
        };
        let by = By { actor, verb: "create", reason: None };
        let draft = by.draft(now, "blueprint", &blueprint.name, &blueprint);
        let stored = blueprint.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if blueprints::by_name(&mut *tx, &stored.name).await?.is_some() {
                    return Err(StoreError::refuse(RegisterError::BlueprintTaken(stored.name)));
                }
                blueprints::insert(tx, &stored).await
            })
        });
        write.await?;
        Ok(blueprint)
    }

    /// One blueprint, by name.
    pub async fn blueprint(&self, name: &str) -> Result<Blueprint, RegisterError> {
        let found = blueprints::by_name(&self.store, name).await?;
        found.ok_or_else(|| RegisterError::NoBlueprint(name.chars().take(80).collect()))
    }

    /// All blueprints, by name.
    pub async fn blueprints(&self) -> Result<Vec<Blueprint>, RegisterError> {
        Ok(blueprints::all(&self.store).await?)
    }

    /// Stops all instances at once: their next calls are refused, whatever tokens they hold.
    pub async fn suspend_blueprint(&self, name: &str, reason: &str, actor: &str) -> Result<Blueprint, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "suspend", reason: Some(&reason) };
        self.change(name, &by, |blueprint: Blueprint, _| Ok(blueprint.suspend()?), nothing()).await
    }

    /// Lets them go on. Sessions from before the suspension stay ended.
    pub async fn resume_blueprint(&self, name: &str, reason: &str, actor: &str) -> Result<Blueprint, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "resume", reason: Some(&reason) };
        self.change(name, &by, |blueprint: Blueprint, _| Ok(blueprint.resume()?), nothing()).await
    }
}
