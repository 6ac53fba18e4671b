//! What is contained, and what was.

use std::sync::Arc;

use chancery_model::{Changed, Containment, ContainmentId, Scope, Timestamp};

use crate::row::{Columns, Row, word};
use crate::{Reader, StoreError, Tx};

/// Adds one. [`StoreError::Conflict`] if one of its scope and subject is in force.
pub async fn insert(tx: &mut Tx, containment: &Containment) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO containments (id, scope, subject, reason, contained_by, contained_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(containment.id.as_str())
    .bind(word(&containment.scope)?)
    .bind(&containment.subject)
    .bind(&containment.reason)
    .bind(&containment.by)
    .bind(containment.at.0);
    tx.run(sql).await?;
    tx.note(Changed::Containment(Arc::new(containment.clone())));
    Ok(())
}

/// Writes down that somebody else wants it now, and why: it stays in force all the while.
pub async fn take_over(tx: &mut Tx, containment: &Containment) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE containments SET contained_by = $2, reason = $3 WHERE id = $1 AND lifted_at IS NULL")
        .bind(containment.id.as_str())
        .bind(&containment.by)
        .bind(&containment.reason);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "containment", id: containment.id.to_string() });
    }
    tx.note(Changed::Containment(Arc::new(containment.clone())));
    Ok(())
}

/// Writes down that it was lifted.
pub async fn lift(tx: &mut Tx, containment: &Containment) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE containments SET lifted_at = $2, lifted_by = $3, lift_reason = $4 WHERE id = $1")
        .bind(containment.id.as_str())
        .bind(containment.lifted_at.map(|at| at.0))
        .bind(&containment.lifted_by)
        .bind(&containment.lift_reason);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "containment", id: containment.id.to_string() });
    }
    tx.note(Changed::Containment(Arc::new(containment.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &ContainmentId) -> Result<Option<Containment>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM containments WHERE id = $1").bind(id.as_str()), read).await
}

/// The one that is in force for this.
pub async fn in_force(
    from: impl Into<Reader<'_>>,
    scope: Scope,
    subject: &str,
) -> Result<Option<Containment>, StoreError> {
    let sql = crate::sql("SELECT * FROM containments WHERE scope = $1 AND subject = $2 AND lifted_at IS NULL")
        .bind(word(&scope)?)
        .bind(subject);
    from.into().one(sql, read).await
}

/// Those that stop something, oldest first.
pub async fn standing(from: impl Into<Reader<'_>>) -> Result<Vec<Containment>, StoreError> {
    let sql = crate::sql("SELECT * FROM containments WHERE lifted_at IS NULL ORDER BY contained_at, id");
    from.into().all(sql, read).await
}

/// All there ever were, newest first.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Containment>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM containments ORDER BY contained_at DESC, id DESC"), read).await
}

/// The latest time at which a session was opened that nobody ended. A clock may have been set back since.
pub async fn latest_opening(from: impl Into<Reader<'_>>) -> Result<Option<Timestamp>, StoreError> {
    let sql = crate::sql("SELECT MAX(opened_at) AS latest FROM sessions WHERE state = 'open'");
    Ok(from.into().one(sql, |row| row.time_or_none("latest")).await?.flatten())
}

/// Is this person or group owner or sponsor of anybody, or a person at all?
pub async fn answers_for_somebody(from: impl Into<Reader<'_>>, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM agents WHERE owner = $1 UNION ALL SELECT name FROM agents WHERE sponsor = $1 \
               UNION ALL SELECT name FROM persons WHERE name = $1 LIMIT 1";
    Ok(from.into().one(crate::sql(sql).bind(name), |row| row.text("name")).await?.is_some())
}

fn read(row: &Row) -> Result<Containment, StoreError> {
    Ok(Containment {
        id: row.id("id")?,
        scope: row.word("scope")?,
        subject: row.text("subject")?,
        reason: row.text("reason")?,
        by: row.text("contained_by")?,
        at: row.time("contained_at")?,
        lifted_at: row.time_or_none("lifted_at")?,
        lifted_by: row.text_or_none("lifted_by")?,
        lift_reason: row.text_or_none("lift_reason")?,
    })
}
