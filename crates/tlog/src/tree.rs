//! A tree that grows at its right edge. It keeps only the partial tiles of that edge.

use crate::{EMPTY_ROOT, Hash, TILE_WIDTH, Tile, node_hash};

/// A Merkle tree (RFC 6962, section 2.1) that can be appended to, and gives out its tiles as they change.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    size: u64,
    /// For each tile level, the hashes of its rightmost, not yet full tile.
    edge: Vec<Vec<Hash>>,
    /// Tiles filled since they were last taken.
    filled: Vec<(Tile, Vec<u8>)>,
    /// The size when tiles were last taken.
    taken: u64,
}

/// The tiles given do not make a tree of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tile `{0}` of the tree's right edge is missing or has another length than its width says")]
pub struct ResumeError(pub Tile);

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tiles that [`Tree::resume`] needs for a tree of `size` leaves.
    pub fn edge(size: u64) -> Vec<Tile> {
        (0..8).filter_map(|level| Tile::in_tree(level, size >> (8 * level) >> 8, size)).collect()
    }

    /// The tree of `size` leaves, from the tiles of its right edge. A wider tile than needed will do.
    pub fn resume(size: u64, mut tile: impl FnMut(Tile) -> Option<Vec<u8>>) -> Result<Self, ResumeError> {
        let mut edge = vec![Vec::new(); 8];
        for wanted in Self::edge(size) {
            let bytes = tile(wanted).ok_or(ResumeError(wanted))?;
            let (hashes, rest) = bytes.as_chunks::<32>();
            let hashes = hashes.get(..wanted.width.into()).filter(|_| rest.is_empty()).ok_or(ResumeError(wanted))?;
            edge[usize::from(wanted.level)] = hashes.to_vec();
        }
        Ok(Self { size, edge, filled: Vec::new(), taken: size })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, given as its [`crate::leaf_hash`].
    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let mut carried = leaf;
        for level in 0u8.. {
            let Some(full) = self.add(level, carried) else { return };
            carried = full;
        }
    }

    /// Adds a hash to the partial tile of `level`; if that fills the tile, returns the hash above it.
    fn add(&mut self, level: u8, hash: Hash) -> Option<Hash> {
        let place = usize::from(level);
        if self.edge.len() <= place {
            self.edge.resize_with(place + 1, || Vec::with_capacity(TILE_WIDTH));
        }
        let edge = &mut self.edge[place];
        edge.push(hash);
        if edge.len() < TILE_WIDTH {
            return None;
        }
        let index = (self.size >> (8 * level) >> 8) - 1;
        self.filled.push((Tile { level, index, width: 256 }, edge.concat()));
        let above = perfect(edge);
        edge.clear();
        Some(above)
    }

    /// The root (RFC 6962, section 2.1).
    pub fn root(&self) -> Hash {
        let mut root = None;
        for edge in &self.edge {
            let mut rest = edge.as_slice();
            while !rest.is_empty() {
                let width = 1 << rest.len().trailing_zeros();
                let (left, right) = rest.split_at(rest.len() - width);
                let subtree = perfect(right);
                root = Some(root.map_or(subtree, |below| node_hash(&subtree, &below)));
                rest = left;
            }
        }
        root.unwrap_or(EMPTY_ROOT)
    }

    /// The tiles filled since they were last taken, without the partial ones.
    pub fn take_filled(&mut self) -> Vec<(Tile, Vec<u8>)> {
        std::mem::take(&mut self.filled)
    }

    /// One tile: a filled one is taken (once), a partial one of the right edge copied.
    pub fn take_tile(&mut self, tile: Tile) -> Option<Vec<u8>> {
        if let Some(place) = self.filled.iter().position(|(filled, _)| *filled == tile) {
            return Some(self.filled.swap_remove(place).1);
        }
        self.partial().find_map(|(partial, hashes)| (partial == tile).then_some(hashes))
    }

    /// The partial tiles of the right edge as they are now.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> + '_ {
        Self::edge(self.size).into_iter().filter_map(|tile| {
            let hashes = self.edge.get(usize::from(tile.level))?;
            Some((tile, hashes.concat()))
        })
    }

    /// Every tile that changed since the last call: the filled ones and the partial ones that grew.
    pub fn take_changed(&mut self) -> Vec<(Tile, Vec<u8>)> {
        let mut changed = self.take_filled();
        let (size, taken) = (self.size, self.taken);
        let grew = |tile: &Tile| size >> (8 * tile.level) != taken >> (8 * tile.level);
        changed.extend(self.partial().filter(|(tile, _)| grew(tile)));
        self.taken = size;
        changed
    }
}

/// The root of a perfect tree over `hashes`: 1 to 256 of them, a power of two.
pub(crate) fn perfect(hashes: &[Hash]) -> Hash {
    let mut nodes = [[0; 32]; TILE_WIDTH];
    let mut width = hashes.len().min(TILE_WIDTH);
    nodes[..width].copy_from_slice(&hashes[..width]);
    while width > 1 {
        width /= 2;
        for i in 0..width {
            nodes[i] = node_hash(&nodes[2 * i], &nodes[2 * i + 1]);
        }
    }
    nodes[0]
}
