//! Making a bundle, entry by entry.

use super::{BodyRecord, CHECKPOINT, END, KEY, MANIFEST, Member, manifest, push_body, push_member};
use crate::{Checkpoint, Hash, Tile, TooLarge, Tree, VerifierKey, leaf_hash, push_entry};

/// Makes the bundle of a log from its entries in tree order. It holds at most one group of 256 entries at a time:
/// take what is ready with [`Builder::take`] as often as you like.
///
/// The tiles are computed anew from the entries, so that [`Builder::finish`] can tell whether the entries given are
/// those of the checkpoint.
#[derive(Debug)]
pub struct Builder {
    tree: Tree,
    entries: Vec<u8>,
    bodies: Vec<u8>,
    in_group: u16,
    ready: Vec<u8>,
}

/// A bundle that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// An entry is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A body is too large.
    #[error("a body of {0} bytes does not fit a bundle: less than 4 GiB")]
    BodyTooLarge(usize),
    /// Other entries than the checkpoint states.
    #[error("{found} entries lead to another root than the checkpoint of {stated} entries states")]
    OtherRoot {
        /// Entries given.
        found: u64,
        /// Entries of the checkpoint.
        stated: u64,
    },
}

impl Builder {
    /// Begins with the log's key and its signed checkpoint.
    pub fn new(checkpoint: &Checkpoint, note: &str, key: &VerifierKey) -> Self {
        let mut ready = Vec::new();
        push_member(&mut ready, MANIFEST, manifest(checkpoint).as_bytes());
        push_member(&mut ready, KEY, format!("{key}\n").as_bytes());
        push_member(&mut ready, CHECKPOINT, note.as_bytes());
        Self { tree: Tree::new(), entries: Vec::new(), bodies: Vec::new(), in_group: 0, ready }
    }

    /// Adds the next entry with its bodies: `(which commitment, salt, content)` in ascending order, erased ones left out.
    pub fn push<'b>(
        &mut self,
        entry: &[u8],
        bodies: impl IntoIterator<Item = (u8, &'b [u8; 32], &'b [u8])>,
    ) -> Result<(), BuildError> {
        push_entry(&mut self.entries, entry)?;
        let place = u8::try_from(self.in_group).unwrap_or(u8::MAX);
        for (commitment, salt, content) in bodies {
            let body = BodyRecord { entry: place, commitment, salt, content };
            push_body(&mut self.bodies, &body).map_err(|_| BuildError::BodyTooLarge(content.len()))?;
        }
        self.tree.push(leaf_hash(entry));
        self.in_group += 1;
        if self.in_group == 256 {
            self.close_group();
        }
        Ok(())
    }

    fn close_group(&mut self) {
        let (index, width) = ((self.tree.size() - 1) >> 8, self.in_group);
        self.member(Member::Entries { index, width }, |b| std::mem::take(&mut b.entries));
        self.member(Member::Bodies { index, width }, |b| std::mem::take(&mut b.bodies));
        for (tile, hashes) in self.tree.take_filled() {
            self.tile(tile, &hashes);
        }
        self.in_group = 0;
    }

    fn member(&mut self, member: Member, content: impl FnOnce(&mut Self) -> Vec<u8>) {
        let content = content(self);
        push_member(&mut self.ready, &member.to_string(), &content);
    }

    fn tile(&mut self, tile: Tile, hashes: &[u8]) {
        push_member(&mut self.ready, &Member::Hashes(tile).to_string(), hashes);
    }

    /// What is ready to be written, and not yet taken.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ready)
    }

    /// The entries added so far.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root over the entries added so far.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The end of the archive, if the entries are those of `checkpoint`.
    pub fn finish(mut self, checkpoint: &Checkpoint) -> Result<Vec<u8>, BuildError> {
        if (self.size(), self.root()) != (checkpoint.size, checkpoint.root) {
            return Err(BuildError::OtherRoot { found: self.size(), stated: checkpoint.size });
        }
        Ok(self.close())
    }

    /// The end of the archive, whatever the entries: how a test makes a bundle that must not verify.
    pub fn close(&mut self) -> Vec<u8> {
        if self.in_group > 0 {
            self.close_group();
        }
        let partial: Vec<_> = self.tree.partial().collect();
        for (tile, hashes) in partial {
            self.tile(tile, &hashes);
        }
        self.ready.extend_from_slice(&END);
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signer;

    #[test]
    fn a_bundle_has_the_members_it_should_in_their_order() {
        let signer = Signer::from_seed("log.example", &[1; 32]).unwrap();
        let mut tree = Tree::new();
        (0..300u32).for_each(|i| tree.push(leaf_hash(&i.to_be_bytes())));
        let checkpoint = Checkpoint::new("log.example", 300, tree.root());
        let mut builder = Builder::new(&checkpoint, &checkpoint.sign(&signer).unwrap(), signer.key());
        for i in 0..300u32 {
            builder.push(&i.to_be_bytes(), [(0, &[0; 32], &b"body"[..])]).unwrap();
        }
        let mut archive = builder.take();
        archive.extend(builder.finish(&checkpoint).unwrap());
        let mut rest = &archive[..];
        for member in super::super::members(300) {
            let (path, length) = super::super::read_header(rest.first_chunk().unwrap()).unwrap();
            assert_eq!(path, member.to_string());
            rest = &rest[512 + (length as usize).next_multiple_of(512)..];
        }
        assert_eq!(rest, END);
    }

    #[test]
    fn other_entries_than_the_checkpoint_states_are_refused() {
        let signer = Signer::from_seed("log.example", &[1; 32]).unwrap();
        let checkpoint = Checkpoint::new("log.example", 1, leaf_hash(b"one"));
        let mut builder = Builder::new(&checkpoint, &checkpoint.sign(&signer).unwrap(), signer.key());
        builder.push(b"other", []).unwrap();
        assert_eq!(builder.finish(&checkpoint), Err(BuildError::OtherRoot { found: 1, stated: 1 }));
    }
}
