//! What is looked at when a store is opened: does the log end as it was written, and is it as long as it was signed?

use chancery_model::{Hash, Header, Timestamp};
use chancery_tlog::leaf_hash;

use super::segment::{self, Segment, unreadable};
use super::{Chain, tree, writers};
use crate::{Reader, StoreError, Tx};

/// What the writer needs to go on.
pub(crate) struct Tail {
    pub(crate) chain: Chain,
    /// The first sequence number that is not in the tree.
    pub(crate) sequenced: u64,
}

/// Enters the writer if it is new, checks its last commit, and compares the log with the newest checkpoint.
pub(crate) async fn examine(tx: &mut Tx, writer: u32, now: Timestamp) -> Result<Tail, StoreError> {
    let enter = crate::sql("INSERT INTO log_writers (writer, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    tx.run(enter.bind(i64::from(writer)).bind(now.0)).await?;
    // What was signed is read first: others may write and sign meanwhile, and the log only grows.
    let signed = tree::checkpoint(&mut *tx).await?.map_or(0, |checkpoint| checkpoint.size);
    let sequenced = tree::sequenced_of(&mut *tx, writer).await?;
    let chain = chain(tx, writer).await?;
    let entries = writers(&mut *tx).await?.iter().map(|(_, entries)| entries).sum();
    if signed > entries || sequenced > chain.next_seq {
        return Err(StoreError::Truncated { entries, signed });
    }
    Ok(Tail { chain, sequenced })
}

/// Where the writer's chain ends, its last commit checked.
pub(crate) async fn chain(tx: &mut Tx, writer: u32) -> Result<Chain, StoreError> {
    let newest = crate::sql(
        "SELECT writer, first_seq, count, committed_at, leaves, entries FROM log_segments \
         WHERE writer = $1 ORDER BY first_seq DESC LIMIT 2",
    );
    let segments = Reader::from(tx).all(newest.bind(i64::from(writer)), segment::read).await?;
    follow(writer, &segments)
}

/// Hashes the last commit again and follows its chain, from the last entry of the commit before it.
fn follow(writer: u32, newest: &[Segment]) -> Result<Chain, StoreError> {
    let Some(last) = newest.first() else {
        return Ok(Chain { writer, next_seq: 0, prev: [0; 32] });
    };
    let mut chain = match newest.get(1) {
        Some(before) => end_of(before)?,
        None => Chain { writer, next_seq: 0, prev: [0; 32] },
    };
    if chain.next_seq != last.first_seq {
        return Err(broken(chain.next_seq, "is missing"));
    }
    for (position, bytes) in last.entries() {
        let header = Header::decode(bytes).map_err(|e| unreadable(position, &e))?;
        if header.position != position || header.prev != chain.prev {
            return Err(broken(position.seq, "does not follow the one before it"));
        }
        chain.prev = leaf_hash(bytes);
        chain.next_seq += 1;
        if last.leaf(position.seq) != Some(&chain.prev) {
            return Err(broken(position.seq, "is not what was hashed when it was written"));
        }
    }
    Ok(chain)
}

fn end_of(segment: &Segment) -> Result<Chain, StoreError> {
    let last = segment.entries().next_back().map(|(_, bytes)| leaf_hash(bytes));
    let prev: Hash = last.ok_or_else(|| broken(segment.first_seq, "is missing"))?;
    Ok(Chain { writer: segment.writer, next_seq: segment.end(), prev })
}

fn broken(seq: u64, what: &str) -> StoreError {
    StoreError::Damaged(format!("entry {seq} of the log {what}"))
}
