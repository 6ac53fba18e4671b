//! Rights, given and taken back.

use chancery_model::{Grant, GrantId, GrantMode, Timestamp};
use chancery_store::{StoreError, grants};

use crate::registrar::{By, Registrar};
use crate::{RegisterError, fields};

/// What is to be given, to whom, and why.
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// The `@id` of the Cedar template. Whether it exists is for the policies to say.
    pub template: String,
    /// Who receives it, written `Type::"id"`.
    pub principal: String,
    /// What it is about, written `Type::"id"`.
    pub resource: String,
    /// For a human, or by itself.
    pub mode: GrantMode,
    /// Why. Mandatory.
    pub justification: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl Registrar {
    /// Gives a right. It is in force when this returns.
    pub async fn grant(&self, request: &GrantRequest, actor: &str) -> Result<Grant, RegisterError> {
        let now = self.clock.now();
        if request.expires_at.is_some_and(|end| end <= now) {
            return Err(RegisterError::Field { field: "expires", why: "the end is in the past".into() });
        }
        let grant = Grant {
            id: GrantId::new(now, &*self.random),
            template: fields::said("template", &request.template)?,
            principal: fields::entity("principal", &request.principal)?,
            resource: fields::entity("resource", &request.resource)?,
            mode: request.mode,
            justification: fields::said("justification", &request.justification)?,
            granted_by: actor.to_owned(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
        };
        let by = By { actor, verb: "create", reason: Some(&grant.justification) };
        let draft = by.draft(now, "grant", grant.id.as_str(), &grant);
        let stored = grant.clone();
        let write = self.store.write(draft, move |tx| Box::pin(async move { grants::insert(tx, &stored).await }));
        write.await?;
        Ok(grant)
    }

    /// Takes a right back. It gives nothing any more when this returns.
    pub async fn revoke_grant(&self, id: &str, reason: &str, actor: &str) -> Result<Grant, RegisterError> {
        let now = self.clock.now();
        let reason = fields::said("reason", reason)?;
        let grant = self.find_grant(id).await?;
        if grant.revoked_at.is_some() {
            return Err(RegisterError::RevokedAlready(id.to_owned()));
        }
        let revoked = Grant { revoked_at: Some(now), ..grant };
        let by = By { actor, verb: "revoke", reason: Some(&reason) };
        let draft = by.draft(now, "grant", revoked.id.as_str(), &revoked);
        let stored = revoked.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let current = grants::get(&mut *tx, &stored.id).await?;
                if current.is_none_or(|grant| grant.revoked_at.is_some()) {
                    return Err(StoreError::refuse(RegisterError::RevokedAlready(stored.id.to_string())));
                }
                grants::update(tx, &stored).await
            })
        });
        write.await?;
        Ok(revoked)
    }

    /// Every grant there ever was, oldest first.
    pub async fn grants(&self) -> Result<Vec<Grant>, RegisterError> {
        Ok(grants::all(&self.store).await?)
    }

    /// One grant.
    pub async fn find_grant(&self, id: &str) -> Result<Grant, RegisterError> {
        let unknown = || RegisterError::NoGrant(id.chars().take(80).collect());
        let id: GrantId = id.parse().map_err(|_| unknown())?;
        grants::get(&self.store, &id).await?.ok_or_else(unknown)
    }
}
