//! Looks at other systems.

use chancery_model::{Sweep, SweepId, SweepStatus, Timestamp};

use crate::row::{Columns, Row, json, word};
use crate::{Reader, StoreError, Tx};

/// Adds one that begins. [`StoreError::Conflict`] if one of its source and scope runs.
pub async fn insert(tx: &mut Tx, sweep: &Sweep) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO sweeps (id, source, scope, swept_by, observed_at, begun_at, touched_at, status, why, coverage, gaps) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(sweep.id.as_str())
    .bind(&sweep.source)
    .bind(&sweep.scope)
    .bind(&sweep.by)
    .bind(sweep.observed_at.0)
    .bind(sweep.begun_at.0)
    .bind(sweep.touched_at.0)
    .bind(word(&sweep.status)?)
    .bind(&sweep.why)
    .bind(json(&sweep.coverage)?)
    .bind(json(&sweep.gaps)?);
    tx.run(sql).await.map(drop)
}

/// Writes down that something of a running one was written down. Whether it still runs.
pub async fn touch(tx: &mut Tx, id: &SweepId, at: Timestamp) -> Result<bool, StoreError> {
    let sql = crate::sql("UPDATE sweeps SET touched_at = $2 WHERE id = $1 AND status = 'running'")
        .bind(id.as_str())
        .bind(at.0);
    Ok(tx.run(sql).await? == 1)
}

/// Writes down how a running one ended. Whether it still ran.
pub async fn end(tx: &mut Tx, sweep: &Sweep) -> Result<bool, StoreError> {
    let sql = crate::sql(
        "UPDATE sweeps SET touched_at = $2, status = $3, why = $4, coverage = $5, gaps = $6 \
         WHERE id = $1 AND status = 'running'",
    )
    .bind(sweep.id.as_str())
    .bind(sweep.touched_at.0)
    .bind(word(&sweep.status)?)
    .bind(&sweep.why)
    .bind(json(&sweep.coverage)?)
    .bind(json(&sweep.gaps)?);
    Ok(tx.run(sql).await? == 1)
}

/// Writes down what somebody said of those it held. Whether nobody had said anything.
pub async fn answer(tx: &mut Tx, sweep: &Sweep) -> Result<bool, StoreError> {
    let Some((by, at)) = &sweep.answer else { return Ok(false) };
    let sql = crate::sql(
        "UPDATE sweeps SET answered_by = $2, answered_at = $3, coverage = $4 WHERE id = $1 AND answered_at IS NULL",
    )
    .bind(sweep.id.as_str())
    .bind(by)
    .bind(at.0)
    .bind(json(&sweep.coverage)?);
    Ok(tx.run(sql).await? == 1)
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &SweepId) -> Result<Option<Sweep>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM sweeps WHERE id = $1").bind(id.as_str()), read).await
}

/// The newest of a source and scope, by what they observed; among those that run, or among those that ended.
pub async fn newest(
    from: impl Into<Reader<'_>>,
    (source, scope): (&str, &str),
    running: bool,
) -> Result<Option<Sweep>, StoreError> {
    let text = if running {
        "SELECT * FROM sweeps WHERE source = $1 AND scope = $2 AND status = 'running'"
    } else {
        "SELECT * FROM sweeps WHERE source = $1 AND scope = $2 AND status <> 'running' \
         ORDER BY observed_at DESC, id DESC LIMIT 1"
    };
    from.into().one(crate::sql(text).bind(source).bind(scope), read).await
}

/// The newest hundred of a source and scope that ended, newest first.
pub async fn ended(from: impl Into<Reader<'_>>, (source, scope): (&str, &str)) -> Result<Vec<Sweep>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM sweeps WHERE source = $1 AND scope = $2 AND status <> 'running' \
         ORDER BY observed_at DESC, id DESC LIMIT 100",
    );
    from.into().all(sql.bind(source).bind(scope), read).await
}

/// The newest ones, at most so many.
pub async fn latest(from: impl Into<Reader<'_>>, most: u32) -> Result<Vec<Sweep>, StoreError> {
    let sql = crate::sql("SELECT * FROM sweeps ORDER BY begun_at DESC, id DESC LIMIT $1").bind(i64::from(most));
    from.into().all(sql, read).await
}

/// The newest of each source and scope.
pub async fn of_each_scope(from: impl Into<Reader<'_>>) -> Result<Vec<Sweep>, StoreError> {
    let sql = crate::sql(
        "SELECT s.* FROM sweeps s WHERE NOT EXISTS (SELECT 1 FROM sweeps n WHERE n.source = s.source \
         AND n.scope = s.scope AND (n.begun_at > s.begun_at OR (n.begun_at = s.begun_at AND n.id > s.id))) \
         ORDER BY s.source, s.scope",
    );
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<Sweep, StoreError> {
    let answered = row.time_or_none("answered_at")?;
    let by = row.text_or_none("answered_by")?;
    let status: SweepStatus = row.word("status")?;
    Ok(Sweep {
        id: row.id("id")?,
        source: row.text("source")?,
        scope: row.text("scope")?,
        by: row.text("swept_by")?,
        observed_at: row.time("observed_at")?,
        begun_at: row.time("begun_at")?,
        touched_at: row.time("touched_at")?,
        status,
        why: row.text_or_none("why")?,
        coverage: row.json("coverage")?,
        gaps: row.json("gaps")?,
        answer: by.zip(answered),
    })
}
