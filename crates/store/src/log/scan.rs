//! Walking through the log, a few commits at a time.

use std::collections::VecDeque;

use chancery_model::Position;

use super::segment::{self, Segment};
use crate::row::int;
use crate::{Reader, Store, StoreError};

/// Rows fetched first, and at the most.
const FIRST: u32 = 16;
const MOST: u32 = 512;
/// About so many bytes are fetched at once.
const BYTES: usize = 2 << 20;

/// A walk over one writer's commits. It holds no transaction: it sees what is committed while it walks.
#[derive(Debug)]
pub struct Scan {
    store: Store,
    writer: u32,
    newest_first: bool,
    /// Forward: the first sequence number wanted. Newest first: the one before which commits must begin.
    next: u64,
    rows: u32,
    fetched: VecDeque<Segment>,
}

/// From the commit that holds `position` to the newest. Its first segment may begin before `position`.
pub fn forward(store: &Store, position: Position) -> Scan {
    Scan::new(store, position.writer, false, position.seq)
}

/// From the newest commit of a writer to its first.
pub fn newest_first(store: &Store, writer: u32) -> Scan {
    Scan::new(store, writer, true, i64::MAX as u64)
}

impl Scan {
    fn new(store: &Store, writer: u32, newest_first: bool, next: u64) -> Self {
        Self { store: store.clone(), writer, newest_first, next, rows: FIRST, fetched: VecDeque::new() }
    }

    /// The next commit, or nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Segment>, StoreError> {
        if self.fetched.is_empty() {
            self.fetch().await?;
        }
        let segment = self.fetched.pop_front();
        if let Some(segment) = &segment {
            self.next = if self.newest_first { segment.first_seq } else { segment.end() };
        }
        Ok(segment)
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        let text = if self.newest_first {
            "SELECT writer, first_seq, count, committed_at, leaves, entries FROM log_segments \
             WHERE writer = $1 AND first_seq < $2 ORDER BY first_seq DESC LIMIT $3"
        } else {
            "SELECT writer, first_seq, count, committed_at, leaves, entries FROM log_segments \
             WHERE writer = $1 AND first_seq >= COALESCE((SELECT MAX(first_seq) FROM log_segments \
             WHERE writer = $1 AND first_seq <= $2), $2) ORDER BY first_seq LIMIT $3"
        };
        let sql = crate::sql(text).bind(i64::from(self.writer)).bind(int(self.next)?).bind(i64::from(self.rows));
        let segments = Reader::from(&self.store).all(sql, segment::read).await?;
        let bytes: usize = segments.iter().map(Segment::len).sum();
        self.rows = match bytes {
            few if few < BYTES / 2 => (self.rows * 2).min(MOST),
            many if many > BYTES => (self.rows / 2).max(1),
            _ => self.rows,
        };
        let wanted = |s: &Segment| self.newest_first || s.end() > self.next;
        self.fetched.extend(segments.into_iter().filter(wanted));
        Ok(())
    }
}
