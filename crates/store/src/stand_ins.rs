//! Who decides in whose place.

use chancery_model::{PersonId, StandIn, StandInId, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

const INSERT: &str = "INSERT INTO stand_ins (id, person, name, deputy, deputy_name, reason, made_by, made_at, \
     starts_at, ends_at, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Adds one.
pub async fn insert(tx: &mut Tx, stand_in: &StandIn) -> Result<(), StoreError> {
    let sql = crate::sql(INSERT)
        .bind(stand_in.id.as_str())
        .bind(stand_in.person.as_str())
        .bind(&stand_in.name)
        .bind(stand_in.deputy.as_str())
        .bind(&stand_in.deputy_name)
        .bind(&stand_in.reason)
        .bind(&stand_in.by)
        .bind(stand_in.at.0)
        .bind(stand_in.from.0)
        .bind(stand_in.until.0)
        .bind(stand_in.ended_at.map(|at| at.0));
    tx.run(sql).await.map(drop)
}

/// Ends one before its time; says whether it was not over already.
pub async fn end(tx: &mut Tx, id: &StandInId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = crate::sql("UPDATE stand_ins SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL AND ends_at > $2");
    Ok(tx.run(sql.bind(id.as_str()).bind(now.0)).await? > 0)
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &StandInId) -> Result<Option<StandIn>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM stand_ins WHERE id = $1").bind(id.as_str()), read).await
}

/// Those in which somebody may decide for others at a moment, by whose place it is.
pub async fn of_deputy(
    from: impl Into<Reader<'_>>,
    deputy: &PersonId,
    now: Timestamp,
) -> Result<Vec<StandIn>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM stand_ins WHERE deputy = $1 AND starts_at <= $2 AND ends_at > $2 AND ended_at IS NULL \
         ORDER BY name, id LIMIT 100",
    )
    .bind(deputy.as_str())
    .bind(now.0);
    from.into().all(sql, read).await
}

/// Those that are in force or will be, the next to end first.
pub async fn standing(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<StandIn>, StoreError> {
    let sql = "SELECT * FROM stand_ins WHERE ends_at > $1 AND ended_at IS NULL ORDER BY ends_at, id LIMIT 1000";
    from.into().all(crate::sql(sql).bind(now.0), read).await
}

/// All there ever were, newest first, at most 1,000.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<StandIn>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM stand_ins ORDER BY made_at DESC, id DESC LIMIT 1000"), read).await
}

fn read(row: &Row) -> Result<StandIn, StoreError> {
    Ok(StandIn {
        id: row.id("id")?,
        person: row.id("person")?,
        name: row.text("name")?,
        deputy: row.id("deputy")?,
        deputy_name: row.text("deputy_name")?,
        reason: row.text("reason")?,
        by: row.text("made_by")?,
        at: row.time("made_at")?,
        from: row.time("starts_at")?,
        until: row.time("ends_at")?,
        ended_at: row.time_or_none("ended_at")?,
    })
}
