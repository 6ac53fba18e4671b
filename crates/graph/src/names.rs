//! Names of nodes, one after the other in one text, and an index over them.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    /// Where each name ends.
    ends: Vec<usize>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, node: u32) -> &str {
        slice(&self.text, &self.ends, node)
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let Self { text, ends, index, hasher } = self;
        index.find(hasher.hash_one(name), |node| slice(text, ends, *node) == name).copied()
    }

    /// The number of a name, and whether it is new. Nothing when there are too many.
    pub(crate) fn intern(&mut self, name: &str) -> Option<(u32, bool)> {
        if let Some(node) = self.find(name) {
            return Some((node, false));
        }
        let node = u32::try_from(self.ends.len()).ok().filter(|node| *node < u32::MAX)?;
        let Self { text, ends, index, hasher } = self;
        text.push_str(name);
        ends.push(text.len());
        index.insert_unique(hasher.hash_one(name), node, |old| hasher.hash_one(slice(text, ends, *old)));
        Some((node, true))
    }

    pub(crate) fn shrink(&mut self) {
        let Self { text, ends, index, hasher } = self;
        text.shrink_to_fit();
        ends.shrink_to_fit();
        index.shrink_to_fit(|old| hasher.hash_one(slice(text, ends, *old)));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>() + self.index.allocation_size()
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], node: u32) -> &'a str {
    let at = node as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &text[start..ends[at]]
}
