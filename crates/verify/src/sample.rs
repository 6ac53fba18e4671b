//! A sample log, made fast: what benchmarks measure on and tests bend.

use std::io::{self, Write};

use chancery_model::{
    Authority, Change, Clock, Commitment, Draft, Kind, Outcome, Position, Span, Timestamp, What, Who, Why,
};
use chancery_tlog::bundle::Builder;
use chancery_tlog::{Checkpoint, Hash, Signer, Tree, leaf_hash, salted_hash, sha256};

use crate::{Options, verify};

/// A log that looks like that of a gateway: intents with arguments and outcomes with results in turn.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Entries.
    pub entries: u64,
    /// Nodes that write them in turn; at least 1.
    pub writers: u32,
    /// Every how-manieth entry is an erasure of an earlier body; 0 for none.
    pub erase_every: u64,
}

/// How long the verification of a sample took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Entries verified.
    pub entries: u64,
    /// Bytes of the bundle.
    pub bytes: u64,
    /// Time the one pass took, on one core.
    pub took: Span,
}

impl Measured {
    /// Entries verified in a second.
    pub fn entries_per_second(&self) -> u64 {
        self.entries * 1_000_000 / u64::try_from(self.took.0.max(1)).unwrap_or(1)
    }
}

/// One entry with its body.
struct Made {
    entry: Vec<u8>,
    /// Salt and content, unless it has none or it was erased.
    body: Option<([u8; 32], Vec<u8>)>,
}

impl Sample {
    /// Writes its bundle to `out`, signed by `signer`; returns the checkpoint.
    pub fn write(&self, signer: &Signer, out: &mut impl Write) -> io::Result<Checkpoint> {
        let mut tree = Tree::new();
        self.each(|made| {
            tree.push(leaf_hash(&made.entry));
            Ok(())
        })?;
        let checkpoint = Checkpoint::new(signer.key().name(), self.entries, tree.root());
        let note = checkpoint.sign(signer).map_err(io::Error::other)?;
        let mut builder = Builder::new(&checkpoint, &note, signer.key());
        self.each(|made| {
            let body = made.body.as_ref().map(|(salt, content)| (0, salt, content.as_slice()));
            builder.push(&made.entry, body).map_err(io::Error::other)?;
            out.write_all(&builder.take())
        })?;
        out.write_all(&builder.finish(&checkpoint).map_err(io::Error::other)?)?;
        Ok(checkpoint)
    }

    /// Makes the bundle in memory (about 500 bytes an entry) and measures its verification with every check on.
    pub fn measure(&self, signer: &Signer, clock: &dyn Clock) -> io::Result<Measured> {
        let mut bundle = Vec::new();
        self.write(signer, &mut bundle)?;
        let options = Options { checkpoint: Some(self.checkpoint_at(self.entries / 2, signer)?), ..Options::default() };
        let start = clock.monotonic();
        let report = verify(bundle.as_slice(), &options).map_err(io::Error::other)?;
        let took = clock.monotonic() - start;
        Ok(Measured { entries: report.entries, bytes: bundle.len() as u64, took })
    }

    /// The signed checkpoint at an earlier size.
    pub fn checkpoint_at(&self, size: u64, signer: &Signer) -> io::Result<String> {
        let mut tree = Tree::new();
        self.each(|made| {
            if tree.size() < size {
                tree.push(leaf_hash(&made.entry));
            }
            Ok(())
        })?;
        Checkpoint::new(signer.key().name(), size, tree.root()).sign(signer).map_err(io::Error::other)
    }

    fn each(&self, mut see: impl FnMut(&Made) -> io::Result<()>) -> io::Result<()> {
        let writers = u64::from(self.writers.max(1));
        let mut last: Vec<Hash> = vec![[0; 32]; self.writers.max(1) as usize];
        for i in 0..self.entries {
            let writer = (i % writers) as usize;
            let position = Position { writer: writer as u32, seq: i / writers };
            let made = self.make(i, position, &last[writer]);
            last[writer] = leaf_hash(&made.entry);
            see(&made)?;
        }
        Ok(())
    }

    fn make(&self, i: u64, position: Position, prev: &Hash) -> Made {
        let mut draft = act(i);
        let mut commitments = Vec::new();
        let mut body = None;
        match self.erases(i) {
            Some(erased) => draft = erasure(i, self.position(erased)),
            None => {
                let salt = sha256(&i.to_be_bytes());
                let content = format!("{{\"customer\":{i},\"note\":\"what only the people concerned should read\"}}");
                let name = if draft.kind == Kind::Intent { "arguments" } else { "result" };
                commitments.push(Commitment { name: name.into(), hash: salted_hash(&salt, content.as_bytes()) });
                body = Some((salt, content.into_bytes()));
            }
        }
        if self.erased_later(i) {
            body = None;
        }
        let mut entry = Vec::with_capacity(512);
        draft.seal(&commitments).finish(position, prev, &mut entry);
        Made { entry, body }
    }

    fn position(&self, i: u64) -> Position {
        let writers = self.writers.max(1);
        Position { writer: (i % u64::from(writers)) as u32, seq: i / u64::from(writers) }
    }

    /// Which entry's body entry `i` erases: the one before it.
    fn erases(&self, i: u64) -> Option<u64> {
        let turn = self.erase_every > 1 && i % self.erase_every == self.erase_every - 1;
        i.checked_sub(1).filter(|_| turn)
    }

    fn erased_later(&self, i: u64) -> bool {
        i + 1 < self.entries && self.erases(i + 1) == Some(i)
    }
}

fn act(i: u64) -> Draft {
    let intent = i.is_multiple_of(2);
    Draft {
        kind: if intent { Kind::Intent } else { Kind::Outcome },
        at: Timestamp(1_795_000_000_000_000 + i as i64 * 100),
        who: Who {
            agent: Some("agt_01hzx3v9k8m2q4r6t8w0y2a4c6".into()),
            name: Some("crm-assistant".into()),
            human: Some("mara@acme.example".into()),
            chain: vec!["mara@acme.example".into(), "crm-assistant".into()],
            ..Who::default()
        },
        what: What {
            server: Some("billing".into()),
            action: Some("tools/call".into()),
            tool: Some("refund".into()),
            ..What::default()
        },
        why: Why { reason: Some("the customer was charged twice".into()), ..Why::default() },
        authority: Authority {
            session: Some("ses_01hzx3v9k8m2q4r6t8w0y2a4c6".into()),
            policies: vec!["refund-small".into()],
            ..Authority::default()
        },
        decision: intent.then_some(Outcome::Allow),
        ..Draft::default()
    }
}

fn erasure(i: u64, erased: Position) -> Draft {
    let name = if act(i - 1).kind == Kind::Intent { "arguments" } else { "result" };
    Draft {
        kind: Kind::Change,
        at: Timestamp(1_795_000_000_000_000 + i as i64 * 100),
        change: Some(Change::erasure(erased, name)),
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_verifies() {
        let signer = Signer::from_seed("log.example/sample", &[1; 32]).unwrap();
        for (entries, writers) in [(0, 1), (1, 1), (255, 2), (256, 1), (257, 3), (700, 2)] {
            let sample = Sample { entries, writers, erase_every: 7 };
            let mut bundle = Vec::new();
            sample.write(&signer, &mut bundle).unwrap();
            let checkpoint = Some(sample.checkpoint_at(entries / 2, &signer).unwrap());
            let options = Options { checkpoint, ..Options::default() };
            let report = verify(&bundle[..], &options).unwrap_or_else(|e| panic!("{entries}: {e}"));
            assert_eq!((report.entries, report.erased), (entries, entries / 7));
            assert_eq!(report.bodies, entries - 2 * (entries / 7));
        }
    }

    #[test]
    fn the_usual_tar_reader_finds_the_same_files() {
        use std::io::Read;
        let signer = Signer::from_seed("log.example/sample", &[1; 32]).unwrap();
        let mut bundle = Vec::new();
        Sample { entries: 300, writers: 1, erase_every: 0 }.write(&signer, &mut bundle).unwrap();
        let mut archive = tar::Archive::new(&bundle[..]);
        let mut paths = Vec::new();
        for member in archive.entries().unwrap() {
            let mut member = member.unwrap();
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            assert_eq!((member.size(), member.header().mode().unwrap()), (content.len() as u64, 0o644));
            paths.push(member.path().unwrap().display().to_string());
        }
        let expected: Vec<_> = chancery_tlog::bundle::members(300).map(|member| member.to_string()).collect();
        assert_eq!(paths, expected);
    }
}
