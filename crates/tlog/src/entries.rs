//! C2SP entry bundles: 256 entries, each behind its length in two bytes, big-endian.

use crate::TILE_WIDTH;

/// The longest entry a C2SP entry bundle can hold, in bytes: its length is written in 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// An entry is too large for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of {length} bytes does not fit the log: at most {MAX_ENTRY} bytes; put large values in bodies")]
pub struct TooLarge {
    /// The entry's length in bytes.
    pub length: usize,
}

/// Bytes that are not an entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// The bytes end in the middle of an entry.
    #[error("the entry bundle ends inside its entry number {entry} (counted from 0)")]
    Truncated {
        /// The entry's place in the bundle.
        entry: usize,
    },
    /// More entries than a tile is wide.
    #[error("the entry bundle holds more than 256 entries")]
    TooMany,
}

/// Appends an entry to a bundle.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TooLarge> {
    let length = u16::try_from(entry.len()).map_err(|_| TooLarge { length: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, borrowed from it. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Entries<'a> {
    /// The entries of `bundle`.
    pub fn new(bundle: &'a [u8]) -> Self {
        Self { rest: bundle, number: 0 }
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.rest = rest;
        Some(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], BadBundle>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.number;
        self.number += 1;
        let taken = if entry == TILE_WIDTH {
            Err(BadBundle::TooMany)
        } else {
            self.take().ok_or(BadBundle::Truncated { entry })
        };
        if taken.is_err() {
            self.rest = &[];
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_went_in() {
        let longest = vec![7; MAX_ENTRY];
        let entries: [&[u8]; 4] = [b"a", b"", &longest, b"tail"];
        let mut bundle = Vec::new();
        for entry in entries {
            push_entry(&mut bundle, entry).unwrap();
        }
        let back: Vec<_> = Entries::new(&bundle).map(Result::unwrap).collect();
        assert_eq!(back, entries);
    }

    #[test]
    fn an_entry_too_large_is_refused_and_leaves_the_bundle_alone() {
        let mut bundle = vec![1];
        let refused = push_entry(&mut bundle, &vec![0; MAX_ENTRY + 1]).unwrap_err();
        assert_eq!(refused.length, MAX_ENTRY + 1);
        assert_eq!(bundle, [1]);
    }

    #[test]
    fn a_truncated_bundle_names_the_entry() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"first").unwrap();
        push_entry(&mut bundle, b"second").unwrap();
        bundle.pop();
        let last = Entries::new(&bundle).last().unwrap();
        assert_eq!(last, Err(BadBundle::Truncated { entry: 1 }));
    }

    #[test]
    fn more_than_256_entries_are_refused() {
        let bundle = [0; 2 * 257];
        assert_eq!(Entries::new(&bundle).filter(Result::is_ok).count(), 256);
        assert_eq!(Entries::new(&bundle).last(), Some(Err(BadBundle::TooMany)));
    }
}
