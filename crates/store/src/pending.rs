//! Entries that are committed but not in the tree yet, kept in memory so that the sequencer need not read them back.

use std::collections::VecDeque;

use chancery_model::Hash;

/// Leaves kept in memory at the most: beyond it the sequencer reads the log.
const HELD: usize = 1 << 16;

/// The leaf hashes of consecutive entries of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// Who wrote them.
    pub writer: u32,
    /// The sequence number of the first.
    pub first_seq: u64,
    pub(crate) hashes: Vec<u8>,
}

impl Leaves {
    /// How many there are.
    pub fn count(&self) -> u64 {
        (self.hashes.len() / 32) as u64
    }

    /// The hashes, in order.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = &Hash> {
        self.hashes.as_chunks::<32>().0.iter()
    }

    /// The sequence number after the last.
    pub fn end(&self) -> u64 {
        self.first_seq + self.count()
    }
}

/// The queue. Whole commits go in, whole commits come out; where it overflowed there is a gap, and the log is read.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The first sequence number that is not in the tree.
    next: u64,
    runs: VecDeque<Leaves>,
    held: usize,
}

impl Pending {
    pub(crate) fn new(next: u64) -> Self {
        Self { next, runs: VecDeque::new(), held: 0 }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn committed(&mut self, leaves: Leaves) {
        let count = leaves.hashes.len() / 32;
        if self.held + count <= HELD {
            self.held += count;
            self.runs.push_back(leaves);
        } else {
            self.forget();
        }
    }

    /// What comes next, as far as it is in memory: whole commits, at least one, about `limit` entries.
    pub(crate) fn front(&self, limit: u64) -> Vec<Leaves> {
        let mut taken = 0;
        let mut expected = self.next;
        let wanted = |run: &&Leaves| {
            let goes_on = run.first_seq == expected && taken < limit;
            expected = run.end();
            taken += run.count();
            goes_on
        };
        self.runs.iter().take_while(wanted).cloned().collect()
    }

    /// Everything before `end` is in the tree now.
    pub(crate) fn published(&mut self, end: u64) {
        self.next = end;
        while self.runs.front().is_some_and(|run| run.first_seq < end) {
            self.held -= self.runs.pop_front().map_or(0, |run| run.hashes.len() / 32);
        }
    }

    /// The sequencer is far behind: it reads the log, from `next` on.
    fn forget(&mut self) {
        self.runs.clear();
        self.held = 0;
    }
}
