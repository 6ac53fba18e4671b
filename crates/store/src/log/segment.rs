//! The entries of one commit.

use chancery_model::{DecodeError, Entry, Hash, Position, Timestamp};

use crate::StoreError;
use crate::row::{Columns, Row};

/// A row of the log: entries that became durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who wrote it.
    pub writer: u32,
    /// The sequence number of its first entry.
    pub first_seq: u64,
    /// When it was committed.
    pub committed_at: Timestamp,
    pub(crate) leaves: Vec<u8>,
    entries: Vec<u8>,
    /// Where each entry begins in `entries` (behind its length), and where it ends.
    places: Vec<(u32, u32)>,
}

/// The entries of a segment, in order or (reversed) newest first: position and encoded bytes.
#[derive(Clone, Debug)]
pub struct Entries<'s> {
    segment: &'s Segment,
    front: usize,
    back: usize,
}

impl Segment {
    /// How many entries it holds.
    pub fn count(&self) -> u64 {
        self.places.len() as u64
    }

    /// The sequence number after its last entry.
    pub fn end(&self) -> u64 {
        self.first_seq + self.count()
    }

    /// The encoded entry with this sequence number, if it is here.
    pub fn entry(&self, seq: u64) -> Option<&[u8]> {
        let index = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.places.get(index).map(|place| self.slice(*place))
    }

    /// The leaf hash of the entry with this sequence number, as it was written beside it.
    pub fn leaf(&self, seq: u64) -> Option<&Hash> {
        let index = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.leaves.as_chunks::<32>().0.get(index)
    }

    /// All its entries.
    pub fn entries(&self) -> Entries<'_> {
        Entries { segment: self, front: 0, back: self.places.len() }
    }

    /// All its entries, decoded.
    pub fn decoded(&self) -> impl DoubleEndedIterator<Item = Result<Entry, StoreError>> {
        self.entries().map(|(position, bytes)| Entry::decode(bytes).map_err(|e| unreadable(position, &e)))
    }

    /// Bytes of its encoded entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there nothing in it? Never so for a segment of the log.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn slice(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.entries[start as usize..end as usize]
    }
}

impl<'s> Entries<'s> {
    fn at(&self, index: usize) -> Option<(Position, &'s [u8])> {
        let position = Position { writer: self.segment.writer, seq: self.segment.first_seq + index as u64 };
        self.segment.places.get(index).map(|place| (position, self.segment.slice(*place)))
    }
}

impl<'s> Iterator for Entries<'s> {
    type Item = (Position, &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.front += 1;
        self.at(self.front - 1)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.back - self.front, Some(self.back - self.front))
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back -= 1;
        self.at(self.back)
    }
}

impl ExactSizeIterator for Entries<'_> {}

pub(super) fn read(row: &Row) -> Result<Segment, StoreError> {
    let (writer, first_seq) = (row.number("writer")?, row.count("first_seq")?);
    let entries = row.blob("entries")?;
    let leaves = row.blob("leaves")?;
    let places = places(&entries).filter(|places| places.len() * 32 == leaves.len());
    let whole = places.filter(|places| row.count("count").is_ok_and(|count| count == places.len() as u64));
    let Some(places) = whole else {
        return Err(StoreError::Damaged(format!("the commit that begins with entry {first_seq} is not whole")));
    };
    Ok(Segment { writer, first_seq, committed_at: row.time("committed_at")?, leaves, entries, places })
}

pub(super) fn read_writer(row: &Row) -> Result<(u32, u64), StoreError> {
    Ok((row.number("writer")?, row.count("entries")?))
}

fn places(entries: &[u8]) -> Option<Vec<(u32, u32)>> {
    let mut places = Vec::new();
    let mut start = 0;
    while start < entries.len() {
        let (length, _) = entries.get(start..)?.split_first_chunk::<4>()?;
        let begin = start + 4;
        start = begin.checked_add(u32::from_be_bytes(*length) as usize)?;
        entries.get(begin..start)?;
        places.push((u32::try_from(begin).ok()?, u32::try_from(start).ok()?));
    }
    Some(places)
}

pub(super) fn unreadable(position: Position, why: &DecodeError) -> StoreError {
    StoreError::Damaged(format!("entry {} of writer {} cannot be read: {why}", position.seq, position.writer))
}
