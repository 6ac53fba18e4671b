//! The change feed: what one node changed, in the order of the commits, told to the observers of all.
//!
//! On PostgreSQL a commit that changes something holds one lock, so that changes follow each other over all nodes, and
//! adds a row with the next number. A node tells its observers each number once and in order: those of others from the
//! feed, its own from memory, after whatever came before it.

use chancery_model::Changed;
use tokio::sync::Mutex;

use crate::link::{Pool, Source};
use crate::row::{Columns, Row, damaged};
use crate::{StoreError, Tx};

/// Rows read at once.
const ROWS: i64 = 256;

/// Takes the next number for what was noted, in the transaction that holds the lock, and wakes the others.
const ADD: &str = "WITH added AS (INSERT INTO feed (number, node, at, changes) \
     SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3 FROM feed RETURNING number) \
     SELECT number, CAST(pg_notify('chancery_feed', CAST(number AS TEXT)) AS TEXT) AS told FROM added";

/// How far this node has told.
pub(crate) struct Feed {
    told: Mutex<u64>,
}

/// A row.
pub(crate) struct Fed {
    number: u64,
    changes: String,
}

impl Feed {
    /// From where the database was when it was opened: whoever reads a noun after that reads it as it was then or later.
    pub(crate) fn new(told: u64) -> Self {
        Self { told: Mutex::new(told) }
    }

    /// Tells everything that was committed by now; says how far it is.
    pub(crate) async fn follow(
        &self,
        pool: &Pool,
        tell: impl Fn(u64, &[Changed]) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let mut told = self.told.lock().await;
        while advance(pool, &mut told, i64::MAX, &tell).await? == ROWS as usize {}
        Ok(*told)
    }

    /// The last number that was told.
    pub(crate) async fn told(&self) -> u64 {
        *self.told.lock().await
    }

    /// Tells what this node committed under `number`, after what others committed before it.
    pub(crate) async fn tell_own(
        &self,
        pool: &Pool,
        number: u64,
        own: &[Changed],
        tell: impl Fn(u64, &[Changed]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut told = self.told.lock().await;
        while *told + 1 < number {
            advance(pool, &mut told, int(number), &tell).await?;
        }
        // The follower may have read it already.
        if *told < number {
            tell(number, own)?;
            *told = number;
        }
        Ok(())
    }
}

/// Reads and tells the next rows before `end`; says how many.
async fn advance(
    pool: &Pool,
    told: &mut u64,
    end: i64,
    tell: &impl Fn(u64, &[Changed]) -> Result<(), StoreError>,
) -> Result<usize, StoreError> {
    let sql = crate::sql("SELECT number, changes FROM feed WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3");
    let mut rows = Vec::new();
    Source::Pool(pool).each(sql.bind(int(*told)).bind(end).bind(ROWS), read, |row| rows.push(row)).await?;
    for row in &rows {
        if row.number != *told + 1 {
            return Err(gone(*told + 1));
        }
        let changed: Vec<Changed> =
            serde_json::from_str(&row.changes).map_err(|e| damaged("changes", &e.to_string()))?;
        tell(row.number, &changed)?;
        *told = row.number;
    }
    if rows.is_empty() && end != i64::MAX {
        return Err(gone(*told + 1));
    }
    Ok(rows.len())
}

/// Adds what was noted, if anything was. The lock must be held.
pub(crate) async fn add(tx: &mut Tx, node: u32, at: i64) -> Result<Option<u64>, StoreError> {
    let Some(changes) = tx.noted_text()? else { return Ok(None) };
    let sql = crate::sql(ADD).bind(i64::from(node)).bind(at).bind(changes);
    crate::Reader::from(tx).one(sql, |row| row.count("number")).await
}

/// The last number. Whoever reads it in a change reads that of the last change before it.
pub(crate) async fn end(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = crate::sql("SELECT COALESCE(MAX(number), 0) AS number FROM feed");
    Ok(crate::Reader::from(tx).one(sql, |row| row.count("number")).await?.unwrap_or(0))
}

fn read(row: &Row) -> Result<Fed, StoreError> {
    Ok(Fed { number: row.count("number")?, changes: row.text("changes")? })
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Old rows are removed when every node has them. One that was away for so long has to read everything anew.
fn gone(number: u64) -> StoreError {
    StoreError::Damaged(format!("change {number} of the feed is gone: this node was away for too long, start it again"))
}
