//! The edges of one direction: rows that were worked in, and what changed since.

use std::collections::{BTreeSet, HashMap};
use std::iter::{Copied, Zip};
use std::ops::Range;
use std::slice::Iter;

use crate::flow::Kinds;

/// The number of a kind, and the other end.
pub(crate) type Link = (u8, u32);

/// From this many links on it is cheaper to search for the kinds that are wanted than to look at all.
const LONG: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Adjacency {
    /// Where each row ends.
    ends: Vec<u32>,
    /// By kind, then by other end; each once.
    kinds: Vec<u8>,
    others: Vec<u32>,
    changed: HashMap<u32, Change>,
}

#[derive(Debug, Default)]
struct Change {
    added: BTreeSet<Link>,
    removed: BTreeSet<Link>,
}

impl Adjacency {
    /// Rows of these links, given as (node, kind, other). Nothing when there are too many.
    pub(crate) fn of(nodes: usize, links: impl Iterator<Item = (u32, u8, u32)> + Clone) -> Option<Self> {
        let mut starts = vec![0_u32; nodes + 1];
        for (node, ..) in links.clone() {
            starts[node as usize + 1] = starts[node as usize + 1].checked_add(1)?;
        }
        for at in 1..=nodes {
            starts[at] = starts[at].checked_add(starts[at - 1])?;
        }
        let mut packed = vec![0_u64; starts[nodes] as usize];
        let mut free = starts.clone();
        for (node, kind, other) in links {
            packed[free[node as usize] as usize] = u64::from(kind) << 32 | u64::from(other);
            free[node as usize] += 1;
        }
        drop(free);
        let (mut kinds, mut others) = (Vec::with_capacity(packed.len()), Vec::with_capacity(packed.len()));
        let mut ends = Vec::with_capacity(nodes);
        for at in 0..nodes {
            let row = &mut packed[starts[at] as usize..starts[at + 1] as usize];
            row.sort_unstable();
            let mut last = None;
            for link in row.iter().filter(|link| last.replace(**link) != Some(**link)) {
                kinds.push(link.to_be_bytes()[3]);
                others.push(u32::try_from(link & u64::from(u32::MAX)).ok()?);
            }
            ends.push(u32::try_from(others.len()).ok()?);
        }
        kinds.shrink_to_fit();
        others.shrink_to_fit();
        Some(Self { ends, kinds, others, changed: HashMap::new() })
    }

    /// How many links lie in rows, with those that were removed since.
    pub(crate) fn rows(&self) -> usize {
        self.others.len()
    }

    fn row(&self, node: u32) -> Range<usize> {
        let at = node as usize;
        let Some(end) = self.ends.get(at) else { return 0..0 };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        start as usize..*end as usize
    }

    fn in_row(&self, node: u32, link: Link) -> bool {
        let row = self.row(node);
        let (mut low, mut high) = (row.start, row.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match (self.kinds[middle], self.others[middle]).cmp(&link) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    pub(crate) fn has(&self, node: u32, link: Link) -> bool {
        let change = self.changed.get(&node);
        match self.in_row(node, link) {
            true => change.is_none_or(|change| !change.removed.contains(&link)),
            false => change.is_some_and(|change| change.added.contains(&link)),
        }
    }

    /// Whether it was not there.
    pub(crate) fn add(&mut self, node: u32, link: Link) -> bool {
        let (known, change) = (self.in_row(node, link), self.changed.entry(node).or_default());
        let new = if known { change.removed.remove(&link) } else { change.added.insert(link) };
        self.forget(node);
        new
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, node: u32, link: Link) -> bool {
        let (known, change) = (self.in_row(node, link), self.changed.entry(node).or_default());
        let was = if known { change.removed.insert(link) } else { change.added.remove(&link) };
        self.forget(node);
        was
    }

    fn forget(&mut self, node: u32) {
        if self.changed.get(&node).is_some_and(|change| change.added.is_empty() && change.removed.is_empty()) {
            self.changed.remove(&node);
        }
    }

    /// Everything that hangs on a node.
    pub(crate) fn all(&self, node: u32) -> impl Iterator<Item = Link> + '_ {
        let change = self.changed.get(&node);
        self.zip(self.row(node))
            .filter(move |link| change.is_none_or(|change| !change.removed.contains(link)))
            .chain(change.into_iter().flat_map(|change| change.added.iter().copied()))
    }

    /// What hangs on a node by one of these kinds, until `found` says that it is enough. Whether it was.
    pub(crate) fn each(&self, node: u32, wanted: Kinds, mut found: impl FnMut(Link) -> bool) -> bool {
        if wanted.is_empty() {
            return false;
        }
        let row = self.row(node);
        let change = if self.changed.is_empty() { None } else { self.changed.get(&node) };
        let gone = |link: &Link| change.is_some_and(|change| change.removed.contains(link));
        if row.len() < LONG {
            for link in self.zip(row) {
                if wanted.has(link.0) && !gone(&link) && found(link) {
                    return true;
                }
            }
        } else {
            let mut from = row.start;
            for number in wanted.numbers() {
                let kinds = &self.kinds[from..row.end];
                let first = from + kinds.partition_point(|kind| *kind < number);
                let last = from + kinds.partition_point(|kind| *kind <= number);
                for link in self.zip(first..last) {
                    if !gone(&link) && found(link) {
                        return true;
                    }
                }
                from = last;
            }
        }
        change.is_some_and(|change| change.added.iter().any(|link| wanted.has(link.0) && found(*link)))
    }

    fn zip(&self, range: Range<usize>) -> Zip<Copied<Iter<'_, u8>>, Copied<Iter<'_, u32>>> {
        self.kinds[range.clone()].iter().copied().zip(self.others[range].iter().copied())
    }

    /// Links that are not worked in.
    pub(crate) fn unfolded(&self) -> usize {
        self.changed.values().map(|change| change.added.len() + change.removed.len()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        let change = size_of::<(u32, Change)>() + 1;
        self.ends.capacity() * size_of::<u32>()
            + self.kinds.capacity()
            + self.others.capacity() * size_of::<u32>()
            + self.changed.capacity() * change
            + self.unfolded() * 2 * size_of::<Link>()
    }
}
