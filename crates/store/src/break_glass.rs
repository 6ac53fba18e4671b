//! Who is or was an administrator for a while, and what was said about it afterwards.

use std::sync::Arc;

use chancery_model::{BreakGlass, BreakGlassId, Changed};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// Adds one. [`StoreError::Conflict`] if its person has one that nobody reviewed.
pub async fn insert(tx: &mut Tx, glass: &BreakGlass) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO break_glass (id, person, reason, opened_by, opened_at, until) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(glass.id.as_str())
    .bind(&glass.person)
    .bind(&glass.reason)
    .bind(&glass.by)
    .bind(glass.at.0)
    .bind(glass.until.0);
    tx.run(sql).await?;
    tx.note(Changed::BreakGlass(Arc::new(glass.clone())));
    Ok(())
}

/// Replaces its end and its review; the rest never changes.
pub async fn update(tx: &mut Tx, glass: &BreakGlass) -> Result<(), StoreError> {
    let sql = crate::sql(
        "UPDATE break_glass SET ended_at = $2, reviewed_by = $3, reviewed_at = $4, review = $5 WHERE id = $1",
    )
    .bind(glass.id.as_str())
    .bind(glass.ended_at.map(|at| at.0))
    .bind(&glass.reviewed_by)
    .bind(glass.reviewed_at.map(|at| at.0))
    .bind(&glass.review);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "break-glass", id: glass.id.to_string() });
    }
    tx.note(Changed::BreakGlass(Arc::new(glass.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &BreakGlassId) -> Result<Option<BreakGlass>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM break_glass WHERE id = $1").bind(id.as_str()), read).await
}

/// The one of this person that nobody reviewed.
pub async fn unreviewed(from: impl Into<Reader<'_>>, person: &str) -> Result<Option<BreakGlass>, StoreError> {
    let sql = crate::sql("SELECT * FROM break_glass WHERE person = $1 AND reviewed_at IS NULL").bind(person);
    from.into().one(sql, read).await
}

/// All there ever were, newest first.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<BreakGlass>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM break_glass ORDER BY opened_at DESC, id DESC"), read).await
}

fn read(row: &Row) -> Result<BreakGlass, StoreError> {
    Ok(BreakGlass {
        id: row.id("id")?,
        person: row.text("person")?,
        reason: row.text("reason")?,
        by: row.text("opened_by")?,
        at: row.time("opened_at")?,
        until: row.time("until")?,
        ended_at: row.time_or_none("ended_at")?,
        reviewed_by: row.text_or_none("reviewed_by")?,
        reviewed_at: row.time_or_none("reviewed_at")?,
        review: row.text_or_none("review")?,
    })
}
