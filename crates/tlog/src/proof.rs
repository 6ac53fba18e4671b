//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2): made from tiles, and verified.

use crate::tree::perfect;
use crate::{Hash, Tile, node_hash};

/// Why a proof cannot be made or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// The leaf asked for, from 0.
        index: u64,
        /// The leaves of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of {new} leaves cannot extend one of {old} leaves")]
    Shrunk {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree.
        new: u64,
    },
    /// A tile that is needed is not there or too short.
    #[error("tile `{0}` is needed for the proof, and is missing or too short")]
    MissingTile(Tile),
    /// The proof has too many or too few hashes.
    #[error("the proof has {found} hashes, and that is not how many a proof for this place has")]
    Length {
        /// Hashes in the proof.
        found: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to another root than the checkpoint states")]
    OtherRoot,
}

/// A perfect subtree: the leaves `index << level` up to `(index + 1) << level`.
#[derive(Debug, Clone, Copy)]
struct Node {
    level: u32,
    index: u64,
}

impl Node {
    fn tile(self, size: u64) -> Option<Tile> {
        let level = u8::try_from(self.level / 8).ok()?;
        Tile::in_tree(level, self.first() >> 8, size)
    }

    /// The number, within its tile level, of its first hash.
    fn first(self) -> u64 {
        self.index << (self.level % 8)
    }

    fn read(self, tile: &[u8]) -> Option<Hash> {
        let from = usize::try_from(self.first() % 256).ok()?;
        let hashes = tile.as_chunks::<32>().0.get(from..from + (1 << (self.level % 8)))?;
        Some(perfect(hashes))
    }
}

/// Which hashes a proof consists of, before any tile is read.
#[derive(Debug, Clone)]
pub struct Plan {
    size: u64,
    /// Each hash of the proof, as the perfect subtrees it is made of, from the left.
    hashes: Vec<Vec<Node>>,
}

impl Plan {
    /// The proof that leaf `index` is in the tree of `size` leaves.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        if index >= size {
            return Err(ProofError::NoSuchLeaf { index, size });
        }
        let (mut from, mut to) = (0, size);
        let mut hashes = Vec::new();
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                hashes.push(subtrees(middle, to));
                to = middle;
            } else {
                hashes.push(subtrees(from, middle));
                from = middle;
            }
        }
        hashes.reverse();
        Ok(Self { size, hashes })
    }

    /// The proof that the tree of `new` leaves extends the tree of `old` leaves. Empty for `old` 0 or equal sizes.
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        if old > new {
            return Err(ProofError::Shrunk { old, new });
        }
        let mut hashes = Vec::new();
        if old == 0 {
            return Ok(Self { size: new, hashes });
        }
        let (mut from, mut to) = (0, new);
        while old != to {
            let middle = from + split(to - from);
            if old <= middle {
                hashes.push(subtrees(middle, to));
                to = middle;
            } else {
                hashes.push(subtrees(from, middle));
                from = middle;
            }
        }
        if from > 0 {
            hashes.push(subtrees(from, to));
        }
        hashes.reverse();
        Ok(Self { size: new, hashes })
    }

    /// The tiles to read, each once, at the width they have in the tree.
    pub fn tiles(&self) -> Vec<Tile> {
        let mut tiles: Vec<Tile> = self.hashes.iter().flatten().filter_map(|node| node.tile(self.size)).collect();
        tiles.sort_unstable();
        tiles.dedup();
        tiles
    }

    /// The proof's hashes. `tile` gives the bytes of a tile named by [`Plan::tiles`], or of a wider one in its place.
    pub fn resolve<'a>(&self, tile: impl Fn(Tile) -> Option<&'a [u8]>) -> Result<Vec<Hash>, ProofError> {
        let shrunk = ProofError::Shrunk { old: self.size, new: 0 };
        let read = |node: &Node| {
            let coordinates = node.tile(self.size).ok_or_else(|| shrunk.clone())?;
            tile(coordinates).and_then(|bytes| node.read(bytes)).ok_or(ProofError::MissingTile(coordinates))
        };
        self.hashes.iter().map(|nodes| join(nodes.iter().map(read))).collect()
    }
}

/// Joins the roots of neighbouring subtrees, given from the left (largest first).
fn join(roots: impl DoubleEndedIterator<Item = Result<Hash, ProofError>>) -> Result<Hash, ProofError> {
    let mut roots = roots.rev();
    let last = roots.next().unwrap_or(Ok(crate::EMPTY_ROOT))?;
    roots.try_fold(last, |right, left| Ok(node_hash(&left?, &right)))
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The leaves `from..to` as perfect subtrees, largest first.
fn subtrees(mut from: u64, to: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    while from < to {
        let level = (to - from).ilog2();
        nodes.push(Node { level, index: from >> level });
        from += 1 << level;
    }
    nodes
}

/// Verifies that `leaf` is leaf `index` of the tree of `size` leaves with `root` (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length { found: proof.len() });
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    ends_at(last, proof, &[(hash, root)])
}

/// Verifies that the tree of `new` leaves extends that of `old` leaves (RFC 9162, section 2.1.4.2).
///
/// The tree without leaves is extended by every tree; the proof of that is empty.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    if old == 0 || old == new {
        let equal = if old == 0 { (crate::EMPTY_ROOT, old_root) } else { (*old_root, new_root) };
        only_if_empty(proof)?;
        return ends_at(0, proof, &[equal]);
    }
    let mut hashes = proof.iter();
    let (mut node, mut last) = (old - 1, new - 1);
    let left = node.trailing_ones();
    (node, last) = (node >> left, last >> left);
    let seed = if old.is_power_of_two() { old_root } else { next(&mut hashes, proof)? };
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for sibling in hashes {
        if last == 0 {
            return Err(ProofError::Length { found: proof.len() });
        }
        if node % 2 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    ends_at(last, proof, &[(old_hash, old_root), (new_hash, new_root)])
}

fn next<'a>(hashes: &mut std::slice::Iter<'a, Hash>, proof: &[Hash]) -> Result<&'a Hash, ProofError> {
    hashes.next().ok_or(ProofError::Length { found: proof.len() })
}

fn only_if_empty(proof: &[Hash]) -> Result<(), ProofError> {
    if proof.is_empty() { Ok(()) } else { Err(ProofError::Length { found: proof.len() }) }
}

/// The walk must have reached the root, and each hash found must be the one stated.
fn ends_at(last: u64, proof: &[Hash], pairs: &[(Hash, &Hash)]) -> Result<(), ProofError> {
    if last != 0 {
        return Err(ProofError::Length { found: proof.len() });
    }
    if pairs.iter().all(|(found, stated)| found == *stated) { Ok(()) } else { Err(ProofError::OtherRoot) }
}
