//! The one file a whole log is exported in: an uncompressed ustar archive in exactly one form.
//!
//! Its members are the files of a C2SP tlog-tiles log, so that any tool for those can read it after `tar x`,
//! with the bodies beside them. Every byte of it is determined by the log: the same log makes the same file, and a
//! changed byte anywhere, be it in a header or in padding, is noticed. `docs/reference/log-bundle.md` describes it.

mod build;

pub use build::{BuildError, Builder};

use crate::tile::Numbered;
use crate::{Checkpoint, Hash, Tile, TilePath, salted_hash};

/// The version of the form.
pub const FORMAT: u32 = 1;
/// The archive's block, in bytes.
pub const BLOCK: usize = 512;
/// The name of the member that says what the file is.
pub const MANIFEST: &str = "chancery.json";
/// The name of the member with the log's key.
pub const KEY: &str = "vkey";
/// The name of the member with the signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// What the archive ends with: two empty blocks.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Bytes that are not a member's header, or not in the one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a member's header in the form this archive has (a header's byte was changed, or another tool packed it)")]
pub struct BadHeader;

/// The manifest of the log at `checkpoint`.
pub fn manifest(checkpoint: &Checkpoint) -> String {
    let origin = checkpoint.origin.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{{\"format\":{FORMAT},\"origin\":\"{origin}\",\"size\":{}}}\n", checkpoint.size)
}

/// The members of a log of `size` entries, in the order they stand in the archive.
///
/// Each group of 256 entries is followed by its bodies and by the hash tiles it fills, so that one pass suffices;
/// the partial tiles of the right edge come last.
pub fn members(size: u64) -> impl Iterator<Item = Member> {
    let groups = (0..size.div_ceil(256)).flat_map(move |index| {
        let width = u16::try_from((size - index * 256).min(256)).unwrap_or(256);
        let content = [Member::Entries { index, width }, Member::Bodies { index, width }];
        content.into_iter().chain(filled_by(index, width).map(Member::Hashes))
    });
    let edge = crate::Tree::edge(size).into_iter().map(Member::Hashes);
    [Member::Manifest, Member::Key, Member::Checkpoint].into_iter().chain(groups).chain(edge)
}

/// The tiles that are full once group `index` is.
fn filled_by(index: u64, width: u16) -> impl Iterator<Item = Tile> {
    let size = (index + 1) << 8;
    let levels = if width == 256 { size.trailing_zeros() / 8 } else { 0 };
    (0..8).take(levels as usize).map(move |level: u8| Tile { level, index: (size >> (8 * level) >> 8) - 1, width: 256 })
}

/// What a member of the archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// [`manifest`].
    Manifest,
    /// The log's vkey and a newline.
    Key,
    /// The signed checkpoint.
    Checkpoint,
    /// Up to 256 entries, see [`crate::Entries`].
    Entries {
        /// Which group of 256.
        index: u64,
        /// How many.
        width: u16,
    },
    /// Their bodies, see [`push_body`].
    Bodies {
        /// Which group of 256.
        index: u64,
        /// How many entries, with or without bodies.
        width: u16,
    },
    /// A tile of hashes.
    Hashes(Tile),
}

impl std::fmt::Display for Member {
    /// Its path.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Manifest => f.write_str(MANIFEST),
            Self::Key => f.write_str(KEY),
            Self::Checkpoint => f.write_str(CHECKPOINT),
            Self::Entries { index, width } => write!(f, "{}", TilePath::Entries { index, width }),
            Self::Bodies { index, width } => write!(f, "bodies/{}", Numbered(index, width)),
            Self::Hashes(tile) => write!(f, "{tile}"),
        }
    }
}

/// Appends a member: header, content, padding.
pub fn push_member(archive: &mut Vec<u8>, path: &str, content: &[u8]) {
    archive.extend_from_slice(&header(path, content.len() as u64));
    archive.extend_from_slice(content);
    archive.resize(archive.len() + padding(content.len() as u64), 0);
}

/// How many zero bytes follow a content of `length` bytes.
pub fn padding(length: u64) -> usize {
    (BLOCK - (length % BLOCK as u64) as usize) % BLOCK
}

/// The one header a member has: a regular file, mode 0644, owner 0, time 0. Paths have at most 100 bytes.
pub fn header(path: &str, length: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &path.as_bytes()[..path.len().min(100)]);
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{:011o}\0{:011o}\0", length & 0o77_777_777_777, 0).as_bytes());
    put(148, b"        0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\x000000000\0");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Reads a header: the member's path and its content's length. Only the one form is accepted.
pub fn read_header(block: &[u8; BLOCK]) -> Result<(&str, u64), BadHeader> {
    let end = block.iter().take(100).position(|&b| b == 0).unwrap_or(100);
    let path = std::str::from_utf8(&block[..end]).map_err(|_| BadHeader)?;
    let digits = std::str::from_utf8(&block[124..135]).map_err(|_| BadHeader)?;
    let length = u64::from_str_radix(digits, 8).map_err(|_| BadHeader)?;
    if header(path, length) == *block { Ok((path, length)) } else { Err(BadHeader) }
}

/// One body of a group of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRecord<'a> {
    /// The entry's place in its group: 0 to 255.
    pub entry: u8,
    /// Which of the entry's commitments it is the body of, from 0.
    pub commitment: u8,
    /// The salt it was committed to with.
    pub salt: &'a [u8; 32],
    /// The body.
    pub content: &'a [u8],
}

impl BodyRecord<'_> {
    /// What must stand in the entry: SHA-256(salt || content).
    pub fn hash(&self) -> Hash {
        salted_hash(self.salt, self.content)
    }
}

/// Appends a body to the bodies of a group: `entry`, `commitment`, length (4 bytes, big-endian), salt, content.
/// Bodies stand in ascending order of (`entry`, `commitment`). Refuses a content of 4 GiB or more.
pub fn push_body(bodies: &mut Vec<u8>, body: &BodyRecord<'_>) -> Result<(), std::num::TryFromIntError> {
    let length = u32::try_from(body.content.len())?;
    bodies.extend_from_slice(&[body.entry, body.commitment]);
    bodies.extend_from_slice(&length.to_be_bytes());
    bodies.extend_from_slice(body.salt);
    bodies.extend_from_slice(body.content);
    Ok(())
}

/// Takes the first body off `rest`; nothing if `rest` does not begin with a whole one.
pub fn take_body<'a>(rest: &mut &'a [u8]) -> Option<BodyRecord<'a>> {
    let (&[entry, commitment, a, b, c, d], after) = rest.split_first_chunk::<6>()?;
    let (salt, after) = after.split_first_chunk::<32>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(BodyRecord { entry, commitment, salt, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_is_fixed() {
        let paths: Vec<_> = members(300).map(|m| m.to_string()).collect();
        let expected = [
            "chancery.json",
            "vkey",
            "checkpoint",
            "tile/entries/000",
            "bodies/000",
            "tile/0/000",
            "tile/entries/001.p/44",
            "bodies/001.p/44",
            "tile/0/001.p/44",
            "tile/1/000.p/1",
        ];
        assert_eq!(paths, expected);
        assert_eq!(members(0).count(), 3);
    }

    #[test]
    fn every_tile_of_a_log_is_a_member_once() {
        for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000] {
            let mut tiles: Vec<_> =
                members(size).filter_map(|m| if let Member::Hashes(t) = m { Some(t) } else { None }).collect();
            tiles.sort();
            assert_eq!(tiles, Tile::all(size).collect::<Vec<_>>(), "size {size}");
        }
    }

    #[test]
    fn a_header_is_read_back_and_every_changed_bit_is_noticed() {
        let block = header("tile/0/x001/067.p/12", 8192);
        assert_eq!(read_header(&block), Ok(("tile/0/x001/067.p/12", 8192)));
        for bit in 0..BLOCK * 8 {
            let mut changed = block;
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = read_header(&changed);
            assert!(read.is_err(), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn bodies_come_back_as_they_went_in() {
        let records = [
            BodyRecord { entry: 0, commitment: 1, salt: &[3; 32], content: b"hello" },
            BodyRecord { entry: 255, commitment: 0, salt: &[4; 32], content: b"" },
        ];
        let mut bodies = Vec::new();
        records.iter().for_each(|r| push_body(&mut bodies, r).unwrap());
        let mut rest = &bodies[..];
        assert_eq!([take_body(&mut rest).unwrap(), take_body(&mut rest).unwrap()], records);
        assert!(rest.is_empty());
        let mut cut = &bodies[..bodies.len() - 1];
        take_body(&mut cut).unwrap();
        assert_eq!(take_body(&mut cut), None);
    }
}
