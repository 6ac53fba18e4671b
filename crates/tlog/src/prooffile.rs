//! C2SP tlog-proof: one text that proves, without the log, that an entry is in it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{BadCheckpoint, Checkpoint, Hash, ProofError, VerifierKey, leaf_hash, verify_inclusion};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A proof with everything it takes but the log's key. `extra` is the entry itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// The entry, which the proof's extra data carries.
    pub entry: Vec<u8>,
    /// Which leaf it is, from 0.
    pub index: u64,
    /// The inclusion proof, from the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// A proof file that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProofFile {
    /// Not such a file.
    #[error("not a proof file: {0}")]
    Format(&'static str),
    /// The checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl ProofFile {
    /// Reads a proof file with an `extra` line.
    pub fn parse(text: &str) -> Result<Self, BadProofFile> {
        let refuse = BadProofFile::Format;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(refuse("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(refuse("the first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let entry = lines.next().and_then(|l| STANDARD.decode(l.strip_prefix("extra ")?).ok());
        let index = lines.next().and_then(|l| l.strip_prefix("index ")?.parse().ok());
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let read = Self {
            entry: entry.ok_or(refuse("no `extra` line with the entry"))?,
            index: index.ok_or(refuse("no `index` line"))?,
            hashes: lines.map(|l| hash(l).ok_or(refuse("a line is not a hash"))).collect::<Result<_, _>>()?,
            checkpoint: checkpoint.to_owned(),
        };
        if read.to_string() == text { Ok(read) } else { Err(refuse("not in canonical form")) }
    }

    /// Verifies the whole proof with nothing but the log's key; returns the checkpoint it leads to.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, BadProofFile> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let leaf = leaf_hash(&self.entry);
        verify_inclusion(&leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for ProofFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", STANDARD.encode(&self.entry), self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
