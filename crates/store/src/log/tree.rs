//! What the sequencer derives: the order of the tree, its hash tiles, its signed checkpoints.

use std::sync::Arc;

use chancery_model::{Position, Timestamp};

use super::writers;
use crate::pending::Leaves;
use crate::row::{Columns, Row, int};
use crate::{Reader, Store, StoreError, Tx};

/// A hash tile (C2SP tlog-tiles, height 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaf hashes.
    pub level: u8,
    /// Its place in the level.
    pub index: u64,
    /// How many hashes it holds: 1 to 256.
    pub width: u16,
    /// 32 bytes each.
    pub hashes: Vec<u8>,
}

/// Consecutive entries of one writer at consecutive leaves of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced {
    /// The leaf index of the first.
    pub first_index: u64,
    /// Who wrote them.
    pub writer: u32,
    /// The sequence number of the first.
    pub first_seq: u64,
    /// How many.
    pub count: u64,
}

/// A signed tree head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many leaves it is over.
    pub size: u64,
    /// The signed note (C2SP tlog-checkpoint), whole.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// One step of the sequencer: all of it becomes visible at once, or nothing.
#[derive(Clone, Debug)]
pub struct Publication {
    /// New and grown tiles. A grown tile replaces its narrower self.
    pub tiles: Vec<Tile>,
    /// The entries that were added, in the order of the tree.
    pub sequence: Vec<Sequenced>,
    /// The checkpoint over the grown tree.
    pub checkpoint: Checkpoint,
}

/// Entries that are durable but not in the tree: whole commits, at least one if there are any, about `limit`
/// entries, in order. From memory as a rule; from the log after a restart or if the sequencer fell far behind.
/// Where several nodes write, from the log of each.
pub async fn unsequenced(store: &Store, limit: u64) -> Result<Vec<Leaves>, StoreError> {
    if store.is_shared() {
        return unsequenced_of_all(store, limit).await;
    }
    let (next, in_memory) = {
        let pending = store.shared().pending();
        (pending.next(), pending.front(limit))
    };
    if !in_memory.is_empty() {
        return Ok(in_memory);
    }
    Ok(whole(following(store, store.writer(), next, limit).await?, limit))
}

async fn unsequenced_of_all(store: &Store, limit: u64) -> Result<Vec<Leaves>, StoreError> {
    let mut runs = Vec::new();
    for (writer, end) in writers(store).await? {
        let next = sequenced_of(store, writer).await?;
        if next < end {
            runs.extend(following(store, writer, next, limit).await?);
        }
    }
    Ok(whole(runs, limit))
}

async fn following(store: &Store, writer: u32, next: u64, limit: u64) -> Result<Vec<Leaves>, StoreError> {
    let sql = crate::sql(
        "SELECT writer, first_seq, leaves FROM log_segments WHERE writer = $1 AND first_seq >= $2 \
         ORDER BY first_seq LIMIT $3",
    );
    let sql = sql.bind(i64::from(writer)).bind(int(next)?).bind(int(limit.clamp(1, 4096))?);
    Reader::from(store).all(sql, read_leaves).await
}

/// As many from the front as the limit takes, and at least one: what comes after one that is left out may follow on it.
fn whole(mut runs: Vec<Leaves>, limit: u64) -> Vec<Leaves> {
    let mut taken = 0;
    let mut fits = |run: &Leaves| {
        taken += run.count();
        taken <= limit
    };
    let count = runs.iter().take_while(|run| fits(run)).count();
    runs.truncate(count.max(1));
    runs
}

/// Are the entries of these writers up to these numbers in the tree?
pub async fn is_sequenced(from: &Store, ends: &[(u32, u64)]) -> Result<bool, StoreError> {
    for (writer, end) in ends {
        if sequenced_of(from, *writer).await? < *end {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes tiles, order and checkpoint in one transaction. The order must go on exactly where it ended, and the
/// checkpoint must be over all of it; else [`StoreError::Conflict`] and nothing is written.
pub async fn publish(store: &Store, publication: Publication) -> Result<(), StoreError> {
    let ends: Vec<(u32, u64)> = publication.sequence.iter().map(|s| (s.writer, s.first_seq + s.count)).collect();
    let shared = Arc::clone(store.shared());
    let (own, together) = (store.writer(), store.is_shared());
    let published = move || {
        let end = ends.iter().filter(|(writer, _)| *writer == own).map(|(_, end)| *end).max();
        if let Some(end) = end.filter(|_| !together) {
            shared.pending().published(end);
        }
    };
    store.derive(move |tx| Box::pin(async move { write(tx, publication).await }), published).await
}

async fn write(tx: &mut Tx, publication: Publication) -> Result<(), StoreError> {
    let mut index = size(&mut *tx).await?;
    for run in &publication.sequence {
        let follows = run.first_index == index && run.first_seq == sequenced_of(&mut *tx, run.writer).await?;
        if !follows || run.count == 0 {
            return Err(StoreError::Conflict(format!("{run:?} does not follow tree size {index}")));
        }
        index += run.count;
        put_run(tx, run).await?;
    }
    if publication.checkpoint.size != index {
        let signed = publication.checkpoint.size;
        return Err(StoreError::Conflict(format!("a checkpoint over {signed} of {index} sequenced entries")));
    }
    for tile in publication.tiles {
        put_tile(tx, tile).await?;
    }
    put_checkpoint(tx, &publication.checkpoint).await
}

async fn put_run(tx: &mut Tx, run: &Sequenced) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO log_sequence (first_index, writer, first_seq, count) VALUES ($1, $2, $3, $4)")
        .bind(int(run.first_index)?)
        .bind(i64::from(run.writer))
        .bind(int(run.first_seq)?)
        .bind(int(run.count)?);
    tx.run(sql).await.map(drop)
}

async fn put_tile(tx: &mut Tx, tile: Tile) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO log_tiles (level, idx, width, hashes) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (level, idx) DO UPDATE SET width = excluded.width, hashes = excluded.hashes \
         WHERE excluded.width > log_tiles.width",
    )
    .bind(i64::from(tile.level))
    .bind(int(tile.index)?)
    .bind(i64::from(tile.width))
    .bind(tile.hashes);
    tx.run(sql).await.map(drop)
}

async fn put_checkpoint(tx: &mut Tx, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO log_checkpoints (size, note, signed_at) VALUES ($1, $2, $3) \
         ON CONFLICT (size) DO UPDATE SET note = excluded.note, signed_at = excluded.signed_at",
    )
    .bind(int(checkpoint.size)?)
    .bind(&checkpoint.note)
    .bind(checkpoint.signed_at.0);
    tx.run(sql).await.map(drop)
}

/// The newest checkpoint.
pub async fn checkpoint(from: impl Into<Reader<'_>>) -> Result<Option<Checkpoint>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM log_checkpoints ORDER BY size DESC LIMIT 1"), read_checkpoint).await
}

/// How many entries are in the tree.
pub async fn size(from: impl Into<Reader<'_>>) -> Result<u64, StoreError> {
    let sql = crate::sql("SELECT first_index + count AS size FROM log_sequence ORDER BY first_index DESC LIMIT 1");
    Ok(from.into().one(sql, |row| row.count("size")).await?.unwrap_or(0))
}

/// The order of the tree from a leaf index on: the run that holds it, and the ones after it, at most `limit` runs.
pub async fn sequenced(
    from: impl Into<Reader<'_>>,
    first_index: u64,
    limit: u32,
) -> Result<Vec<Sequenced>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM log_sequence WHERE first_index >= COALESCE((SELECT MAX(first_index) FROM log_sequence \
         WHERE first_index <= $1), 0) ORDER BY first_index LIMIT $2",
    )
    .bind(int(first_index)?)
    .bind(i64::from(limit));
    from.into().all(sql, read_run).await
}

/// Which entry is at a leaf of the tree.
pub async fn position_at(from: impl Into<Reader<'_>>, index: u64) -> Result<Option<Position>, StoreError> {
    let sql = crate::sql("SELECT * FROM log_sequence WHERE first_index <= $1 ORDER BY first_index DESC LIMIT 1");
    let run = from.into().one(sql.bind(int(index)?), read_run).await?;
    let holds = run.filter(|run| index < run.first_index + run.count);
    Ok(holds.map(|run| Position { writer: run.writer, seq: run.first_seq + (index - run.first_index) }))
}

/// At which leaf of the tree an entry is, if it is in the tree already.
pub async fn index_of(from: impl Into<Reader<'_>>, position: Position) -> Result<Option<u64>, StoreError> {
    let sql =
        crate::sql("SELECT * FROM log_sequence WHERE writer = $1 AND first_seq <= $2 ORDER BY first_seq DESC LIMIT 1")
            .bind(i64::from(position.writer))
            .bind(int(position.seq)?);
    let run = from.into().one(sql, read_run).await?;
    let holds = run.filter(|run| position.seq < run.first_seq + run.count);
    Ok(holds.map(|run| run.first_index + (position.seq - run.first_seq)))
}

/// One tile, as wide as it is by now.
pub async fn tile(from: impl Into<Reader<'_>>, level: u8, index: u64) -> Result<Option<Tile>, StoreError> {
    let sql = crate::sql("SELECT * FROM log_tiles WHERE level = $1 AND idx = $2");
    from.into().one(sql.bind(i64::from(level)).bind(int(index)?), read_tile).await
}

/// The tiles of a level from an index on, in order, at most `limit`.
pub async fn tiles(
    from: impl Into<Reader<'_>>,
    level: u8,
    first_index: u64,
    limit: u32,
) -> Result<Vec<Tile>, StoreError> {
    let sql = crate::sql("SELECT * FROM log_tiles WHERE level = $1 AND idx >= $2 ORDER BY idx LIMIT $3")
        .bind(i64::from(level))
        .bind(int(first_index)?)
        .bind(i64::from(limit));
    from.into().all(sql, read_tile).await
}

/// The first sequence number of a writer that is not in the tree.
pub(crate) async fn sequenced_of(from: impl Into<Reader<'_>>, writer: u32) -> Result<u64, StoreError> {
    let sql = crate::sql(
        "SELECT first_seq + count AS next FROM log_sequence WHERE writer = $1 ORDER BY first_seq DESC LIMIT 1",
    );
    Ok(from.into().one(sql.bind(i64::from(writer)), |row| row.count("next")).await?.unwrap_or(0))
}

fn read_leaves(row: &Row) -> Result<Leaves, StoreError> {
    Ok(Leaves { writer: row.number("writer")?, first_seq: row.count("first_seq")?, hashes: row.blob("leaves")? })
}

fn read_run(row: &Row) -> Result<Sequenced, StoreError> {
    Ok(Sequenced {
        first_index: row.count("first_index")?,
        writer: row.number("writer")?,
        first_seq: row.count("first_seq")?,
        count: row.count("count")?,
    })
}

fn read_tile(row: &Row) -> Result<Tile, StoreError> {
    Ok(Tile {
        level: row.number("level")?,
        index: row.count("idx")?,
        width: row.number("width")?,
        hashes: row.blob("hashes")?,
    })
}

fn read_checkpoint(row: &Row) -> Result<Checkpoint, StoreError> {
    Ok(Checkpoint { size: row.count("size")?, note: row.text("note")?, signed_at: row.time("signed_at")? })
}
