//! Bodies (arguments, results): kept apart from their entries, so that a person's data can be erased while the
//! entry, its commitment and every proof stay.

use std::ops::Range;

use chancery_model::{Hash, Position};

use crate::row::{Columns, Row, int};
use crate::{Reader, StoreError, Tx};

pub(crate) mod frame;

/// A body as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    /// The entry it belongs to.
    pub position: Position,
    /// `arguments`, `result`, `context`.
    pub name: String,
    /// Salt and content; nothing once it was erased.
    pub kept: Option<Kept>,
}

/// What an entry's commitment is the hash of: SHA-256(salt || content).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// 32 random bytes, so that a guess at the content cannot be tested.
    pub salt: Hash,
    /// The bytes.
    pub content: Vec<u8>,
}

struct Group {
    writer: u32,
    first_seq: u64,
    blob: Vec<u8>,
}

/// The bodies of one entry, erased ones included, in the order of its commitments.
pub async fn get(from: impl Into<Reader<'_>>, position: Position) -> Result<Vec<StoredBody>, StoreError> {
    let Some(row) = row_of(from.into(), position).await? else { return Ok(Vec::new()) };
    let mut bodies = frame::read(row.writer, &row.blob)?;
    bodies.retain(|body| body.position == position);
    Ok(bodies)
}

/// The bodies of a range of one writer's entries, in order.
pub async fn between(
    from: impl Into<Reader<'_>>,
    writer: u32,
    seqs: Range<u64>,
) -> Result<Vec<StoredBody>, StoreError> {
    // The first row may begin before the range: rows begin where commits began.
    let sql = crate::sql(
        "SELECT writer, first_seq, bodies FROM log_segments WHERE writer = $1 AND first_seq < $3 \
         AND first_seq >= COALESCE((SELECT MAX(first_seq) FROM log_segments WHERE writer = $1 AND first_seq <= $2), 0) \
         AND bodies IS NOT NULL ORDER BY first_seq",
    )
    .bind(i64::from(writer))
    .bind(int(seqs.start)?)
    .bind(int(seqs.end)?);
    let rows = from.into().all(sql, read).await?;
    let mut bodies = Vec::new();
    for row in rows {
        bodies.extend(frame::read(writer, &row.blob)?.into_iter().filter(|b| seqs.contains(&b.position.seq)));
    }
    Ok(bodies)
}

/// Erases content and salt of an entry's bodies (of the named one, or of all) and overwrites them on the disk.
/// Returns how many were erased by this. The entry and its commitments stay.
pub async fn erase(tx: &mut Tx, position: Position, name: Option<&str>) -> Result<usize, StoreError> {
    let Some(row) = row_of(Reader::from(&mut *tx), position).await? else { return Ok(0) };
    let mut bodies = frame::read(row.writer, &row.blob)?;
    let doomed =
        |b: &&mut StoredBody| b.position == position && b.kept.is_some() && name.is_none_or(|name| name == b.name);
    let erased = bodies.iter_mut().filter(doomed).map(|body| body.kept = None).count();
    if erased > 0 {
        let sql = crate::sql("UPDATE log_segments SET bodies = $3 WHERE writer = $1 AND first_seq = $2")
            .bind(i64::from(row.writer))
            .bind(int(row.first_seq)?)
            .bind(frame::write(&bodies));
        tx.run(sql).await?;
        tx.erased();
    }
    Ok(erased)
}

async fn row_of(from: Reader<'_>, position: Position) -> Result<Option<Group>, StoreError> {
    let sql = crate::sql(
        "SELECT writer, first_seq, bodies FROM log_segments WHERE writer = $1 AND bodies IS NOT NULL \
         AND first_seq = (SELECT MAX(first_seq) FROM log_segments WHERE writer = $1 AND first_seq <= $2)",
    )
    .bind(i64::from(position.writer))
    .bind(int(position.seq)?);
    from.one(sql, read).await
}

fn read(row: &Row) -> Result<Group, StoreError> {
    Ok(Group { writer: row.number("writer")?, first_seq: row.count("first_seq")?, blob: row.blob("bodies")? })
}
