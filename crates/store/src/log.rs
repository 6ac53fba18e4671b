//! The log as it lies in the database: one row per commit, and what the sequencer derives from it.
//!
//! Nothing here writes entries: only the writer does. [`publish`] writes what can be computed again from the
//! entries (the order of the tree, its tiles) and the signed checkpoint over it.

use chancery_model::{Entry, Hash, Position, Timestamp};

mod scan;
mod segment;
pub(crate) mod tail;
mod tree;

pub use crate::pending::Leaves;
pub use scan::{Scan, forward, newest_first};
pub use segment::{Entries, Segment};
pub use tree::{
    Checkpoint, Publication, Sequenced, Tile, checkpoint, index_of, is_sequenced, position_at, publish, sequenced,
    size, tile, tiles, unsequenced,
};

use crate::row::int;
use crate::{Reader, Store, StoreError};

/// Where a writer's chain ends: what its next entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) writer: u32,
    pub(crate) next_seq: u64,
    /// Leaf hash of the last entry; zeros if there is none.
    pub(crate) prev: Hash,
}

/// The commit that holds the entry at `position`, if there is one.
pub async fn segment(from: impl Into<Reader<'_>>, position: Position) -> Result<Option<Segment>, StoreError> {
    let sql = crate::sql(
        "SELECT writer, first_seq, count, committed_at, leaves, entries FROM log_segments \
         WHERE writer = $1 AND first_seq <= $2 ORDER BY first_seq DESC LIMIT 1",
    )
    .bind(i64::from(position.writer))
    .bind(int(position.seq)?);
    let found = from.into().one(sql, segment::read).await?;
    Ok(found.filter(|segment| position.seq < segment.end()))
}

/// The encoded entry at `position`, if there is one.
pub async fn bytes(from: impl Into<Reader<'_>>, position: Position) -> Result<Option<Vec<u8>>, StoreError> {
    let found = segment(from, position).await?;
    Ok(found.and_then(|segment| segment.entry(position.seq).map(<[u8]>::to_vec)))
}

/// The entry at `position`, decoded, if there is one.
pub async fn entry(from: impl Into<Reader<'_>>, position: Position) -> Result<Option<Entry>, StoreError> {
    let bytes = bytes(from, position).await?;
    bytes.map(|bytes| Entry::decode(&bytes).map_err(|e| segment::unreadable(position, &e))).transpose()
}

/// The first entry of `writer` in a commit that was made at `at` or later: the number after its last if there is none.
/// Looks at a few commits only, and takes for granted that clocks went forward.
pub async fn first_since(store: &Store, writer: u32, at: Timestamp) -> Result<u64, StoreError> {
    let end = writers(store).await?.into_iter().find(|(known, _)| *known == writer).map_or(0, |(_, end)| end);
    let (mut low, mut high) = (0, end);
    while low < high {
        let position = Position { writer, seq: low + (high - low) / 2 };
        let found = segment(store, position).await?;
        let found =
            found.ok_or_else(|| StoreError::Damaged(format!("entry {} of the log is missing", position.seq)))?;
        if found.committed_at < at {
            low = found.end();
        } else {
            high = found.first_seq;
        }
    }
    Ok(low)
}

/// The writers of this log and how many entries each has written.
pub async fn writers(from: impl Into<Reader<'_>>) -> Result<Vec<(u32, u64)>, StoreError> {
    let sql = crate::sql(
        "SELECT w.writer AS writer, COALESCE((SELECT s.first_seq + s.count FROM log_segments s \
         WHERE s.writer = w.writer ORDER BY s.first_seq DESC LIMIT 1), 0) AS entries \
         FROM log_writers w ORDER BY w.writer",
    );
    from.into().all(sql, segment::read_writer).await
}
