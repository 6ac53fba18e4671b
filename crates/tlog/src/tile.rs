//! Tile coordinates and their C2SP tlog-tiles paths.

use std::fmt;

/// Hashes in a full tile: height 8.
pub const TILE_WIDTH: usize = 256;

/// One tile of hashes: `width` hashes of level 8 x `level`, from number 256 x `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// 0 for leaf hashes; at most 7, since a tree has at most 2^64 leaves.
    pub level: u8,
    /// Which tile of its level, from the left.
    pub index: u64,
    /// How many hashes it holds: 1 to 256.
    pub width: u16,
}

/// What a C2SP path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`.
    Hashes(Tile),
    /// `tile/entries/<N>[.p/<W>]`.
    Entries {
        /// Which bundle of 256 entries.
        index: u64,
        /// How many entries it holds: 1 to 256.
        width: u16,
    },
}

/// A path that is not in the one form C2SP tlog-tiles gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tile's path: expected `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`")]
pub struct BadTilePath(pub String);

impl Tile {
    /// The widest tile of `level` at `index` in a tree of `size` leaves, or nothing where it would be empty.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let left = hashes.checked_sub(index.checked_mul(256)?)?.min(256);
        let width = u16::try_from(left).ok().filter(|&w| w > 0)?;
        Some(Self { level, index, width })
    }

    /// Every tile of a tree of `size` leaves, at its widest; level by level, each from the left.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        (0..8).flat_map(move |level| (0..).map_while(move |index| Self::in_tree(level, index, size)))
    }

    /// Whether it holds all 256 hashes.
    pub fn is_full(self) -> bool {
        usize::from(self.width) == TILE_WIDTH
    }
}

impl fmt::Display for Tile {
    /// Its C2SP path, for instance `tile/0/x001/067.p/12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}", self.level, Numbered(self.index, self.width))
    }
}

impl TilePath {
    /// Reads a path. Only the one canonical form is accepted.
    pub fn parse(path: &str) -> Result<Self, BadTilePath> {
        Self::read(path).filter(|read| read.to_string() == path).ok_or_else(|| BadTilePath(path.to_owned()))
    }

    fn read(path: &str) -> Option<Self> {
        let (kind, number) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match number.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|w| (1..256).contains(w))?),
            None => (number, 256),
        };
        let index = read_index(index)?;
        match kind {
            "entries" => Some(Self::Entries { index, width }),
            level => {
                let level = level.parse().ok().filter(|&l| l < 8)?;
                Some(Self::Hashes(Tile { level, index, width }))
            }
        }
    }
}

fn read_index(text: &str) -> Option<u64> {
    text.split('/').try_fold(0u64, |index, group| {
        let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index.checked_mul(1000)?.checked_add(digits)
    })
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes(tile) => tile.fmt(f),
            Self::Entries { index, width } => write!(f, "tile/entries/{}", Numbered(*index, *width)),
        }
    }
}

/// `x001/x234/067[.p/W]`: the number in groups of three digits, and the width of a partial tile.
pub(crate) struct Numbered(pub(crate) u64, pub(crate) u16);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = 1000u64.pow(6);
        while group > 1 {
            if self.0 >= group {
                write!(f, "x{:03}/", self.0 / group % 1000)?;
            }
            group /= 1000;
        }
        write!(f, "{:03}", self.0 % 1000)?;
        if usize::from(self.1) < TILE_WIDTH { write!(f, ".p/{}", self.1) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, index, width| Tile { level, index, width }.to_string();
        assert_eq!(path(0, 0, 256), "tile/0/000");
        assert_eq!(path(0, 1067, 256), "tile/0/x001/067");
        assert_eq!(path(1, 1_234_067, 8), "tile/1/x001/x234/067.p/8");
        assert_eq!(TilePath::Entries { index: 1_000_000, width: 1 }.to_string(), "tile/entries/x001/x000/000.p/1");
    }

    #[test]
    fn other_spellings_are_refused() {
        for path in [
            "tile/0/0",
            "tile/0/1067",
            "tile/00/000",
            "tile/0/x000/001",
            "tile/0/000.p/256",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/8/000",
            "tile/entries/000/",
            "/tile/0/000",
            "tile/0/+01",
            "tile/data/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "",
        ] {
            assert!(TilePath::parse(path).is_err(), "`{path}` was accepted");
        }
    }

    #[test]
    fn the_tiles_of_a_tree_are_counted() {
        let tiles: Vec<_> = Tile::all(70_000).map(|t| t.to_string()).collect();
        assert_eq!(tiles.len(), 274 + 2 + 1);
        assert_eq!(tiles[273], "tile/0/273.p/112");
        assert_eq!(tiles[274..], ["tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]);
        assert_eq!(Tile::all(0).count(), 0);
    }

    proptest! {
        #[test]
        fn a_path_names_its_tile(level in 0u8..8, index in any::<u64>(), width in 1u16..=256) {
            let tile = TilePath::Hashes(Tile { level, index, width });
            prop_assert_eq!(TilePath::parse(&tile.to_string()), Ok(tile));
            let entries = TilePath::Entries { index, width };
            prop_assert_eq!(TilePath::parse(&entries.to_string()), Ok(entries));
        }
    }
}
