//! The whole log in one file that verifies offline: see `docs/reference/log-bundle.md`.

use std::collections::{HashSet, VecDeque};
use std::io::Write;

use chancery_model::{HeaderRef, Kind, Position};
use chancery_store::bodies::{self, StoredBody};
use chancery_store::log::{self, Scan, Segment, Sequenced};
use chancery_tlog::bundle::Builder;

use crate::intents::decode_if;
use crate::{RecordError, Recorder, Signed};

/// An export in the making: ask for its pieces with [`Export::next`] and write them one after the other.
#[derive(Debug)]
pub struct Export {
    recorder: Recorder,
    signed: Signed,
    builder: Option<Builder>,
    /// Runs of the tree's order that are still to come.
    runs: VecDeque<Sequenced>,
    scan: Option<(Sequenced, Scan)>,
    done: u64,
    missing: HashSet<(Position, String)>,
    erased: HashSet<(Position, String)>,
}

impl Recorder {
    /// Begins an export of everything that is durable now.
    pub async fn export(&self) -> Result<Export, RecordError> {
        let signed = self.checkpoint_now().await?;
        let builder = Builder::new(&signed.checkpoint, &signed.note, self.key());
        Ok(Export {
            recorder: self.clone(),
            signed,
            builder: Some(builder),
            runs: VecDeque::new(),
            scan: None,
            done: 0,
            missing: HashSet::new(),
            erased: HashSet::new(),
        })
    }

    /// Exports into `out`; tells `progress` how many entries of how many are done. Returns the checkpoint.
    pub async fn export_to(
        &self,
        out: &mut impl Write,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Signed, RecordError> {
        let mut export = self.export().await?;
        while let Some(piece) = export.next().await? {
            out.write_all(&piece)?;
            progress(export.done(), export.total());
        }
        out.flush()?;
        Ok(export.signed)
    }
}

impl Export {
    /// The checkpoint it is an export of.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// Entries in it so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Entries it will have.
    pub fn total(&self) -> u64 {
        self.signed.checkpoint.size
    }

    /// The next piece of the file; nothing after the last.
    ///
    /// # Errors
    /// [`RecordError::Inconsistent`] if the entries do not lead to the signed root: the pieces are of no use then.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        loop {
            let Some(builder) = &mut self.builder else { return Ok(None) };
            let piece = builder.take();
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            match self.segment().await? {
                Some((run, segment)) => self.add(run, &segment).await?,
                None => return self.finish(),
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        if !self.missing.is_subset(&self.erased) {
            return Err(RecordError::ErasedMeanwhile);
        }
        let Some(builder) = self.builder.take() else { return Ok(None) };
        Ok(Some(builder.finish(&self.signed.checkpoint)?))
    }

    /// The next commit in the order of the tree, and the run it belongs to.
    async fn segment(&mut self) -> Result<Option<(Sequenced, Segment)>, RecordError> {
        let store = &self.recorder.inner.store;
        while self.done < self.total() {
            if let Some((run, scan)) = &mut self.scan
                && self.done < run.first_index + run.count
            {
                let gone = || RecordError::Inconsistent(format!("entry {} of the tree is gone", self.done));
                return Ok(Some((*run, scan.next().await?.ok_or_else(gone)?)));
            }
            if self.runs.is_empty() {
                let following = log::sequenced(store, self.done, 1024).await?;
                self.runs.extend(following.into_iter().filter(|run| run.first_index + run.count > self.done));
            }
            let Some(run) = self.runs.pop_front() else {
                return Err(RecordError::Inconsistent(format!("the order of the tree ends at {}", self.done)));
            };
            let first = Position { writer: run.writer, seq: run.first_seq };
            self.scan = Some((run, log::forward(store, first)));
        }
        Ok(None)
    }

    async fn add(&mut self, run: Sequenced, segment: &Segment) -> Result<(), RecordError> {
        let end = run.first_seq + run.count.min(self.total() - run.first_index);
        let seqs = segment.first_seq.max(run.first_seq)..segment.end().min(end);
        let stored = bodies::between(&self.recorder.inner.store, run.writer, seqs.clone()).await?;
        let mut stored = stored.as_slice();
        for (position, entry) in segment.entries().filter(|(position, _)| seqs.contains(&position.seq)) {
            let own = stored.iter().take_while(|body| body.position == position).count();
            let (of_entry, rest) = stored.split_at(own);
            stored = rest;
            self.push(position, entry, of_entry)?;
        }
        Ok(())
    }

    fn push(&mut self, position: Position, entry: &[u8], stored: &[StoredBody]) -> Result<(), RecordError> {
        let header = HeaderRef::decode(entry)
            .map_err(|e| RecordError::Inconsistent(format!("entry {} cannot be read: {e}", position.seq)))?;
        if header.kind == Kind::Change {
            self.note_erasure(position, entry)?;
        }
        let mut present = Vec::new();
        for (number, (name, _)) in (0u8..=255).zip(header.commitments()) {
            match stored.get(usize::from(number)).and_then(|body| body.kept.as_ref()) {
                Some(kept) => present.push((number, &kept.salt, kept.content.as_slice())),
                None => drop(self.missing.insert((position, name.to_owned()))),
            }
        }
        if let Some(builder) = &mut self.builder {
            builder.push(entry, present)?;
            self.done += 1;
        }
        Ok(())
    }

    fn note_erasure(&mut self, position: Position, entry: &[u8]) -> Result<(), RecordError> {
        let change = decode_if(entry, position, |_| true)?.and_then(|entry| entry.draft.change);
        let erased = change.as_ref().and_then(|change| change.erased());
        self.erased.extend(erased.map(|(position, name)| (position, name.to_owned())));
        Ok(())
    }
}
