//! Given rights.

use std::sync::Arc;

use chancery_model::{Changed, Grant, GrantId, Timestamp};

use crate::row::{Columns, Row, word};
use crate::{Reader, StoreError, Tx};

/// Adds a new one.
pub async fn insert(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO grants (id, template, principal, resource, mode, justification, granted_by, created_at, \
         expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(grant.id.as_str())
    .bind(&grant.template)
    .bind(&grant.principal)
    .bind(&grant.resource)
    .bind(word(&grant.mode)?)
    .bind(&grant.justification)
    .bind(&grant.granted_by)
    .bind(grant.created_at.0)
    .bind(grant.expires_at.map(|t| t.0))
    .bind(grant.revoked_at.map(|t| t.0));
    tx.run(sql).await?;
    tx.note(Changed::Grant(Arc::new(grant.clone())));
    Ok(())
}

/// Replaces expiry, justification and revocation; the rest never changes.
pub async fn update(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE grants SET justification = $2, expires_at = $3, revoked_at = $4 WHERE id = $1")
        .bind(grant.id.as_str())
        .bind(&grant.justification)
        .bind(grant.expires_at.map(|t| t.0))
        .bind(grant.revoked_at.map(|t| t.0));
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "grant", id: grant.id.to_string() });
    }
    tx.note(Changed::Grant(Arc::new(grant.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &GrantId) -> Result<Option<Grant>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM grants WHERE id = $1").bind(id.as_str()), read).await
}

/// Every grant there ever was, oldest first.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Grant>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM grants ORDER BY id"), read).await
}

/// All of them, one by one.
pub async fn each(from: impl Into<Reader<'_>>, take: impl FnMut(Grant)) -> Result<(), StoreError> {
    from.into().each(crate::sql("SELECT * FROM grants ORDER BY id"), read, take).await
}

/// Those that are not revoked and not expired at `now`.
pub async fn in_force(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM grants WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) ORDER BY id",
    )
    .bind(now.0);
    from.into().all(sql, read).await
}

/// Those of one principal (`Type::"id"`), oldest first.
pub async fn of_principal(from: impl Into<Reader<'_>>, principal: &str) -> Result<Vec<Grant>, StoreError> {
    let sql = crate::sql("SELECT * FROM grants WHERE principal = $1 ORDER BY id").bind(principal);
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: row.id("id")?,
        template: row.text("template")?,
        principal: row.text("principal")?,
        resource: row.text("resource")?,
        mode: row.word("mode")?,
        justification: row.text("justification")?,
        granted_by: row.text("granted_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_none("expires_at")?,
        revoked_at: row.time_or_none("revoked_at")?,
    })
}
